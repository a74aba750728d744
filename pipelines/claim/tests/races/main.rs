//! `Claimer` and `Holder` of several workers over one cell, whatever the way to it does: calls land in any order and at
//! any time, also after they were given up; answers are lost or late. What the cell has held one after the other must be
//! a legal history by a model that knows nothing of how the rules are written.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

mod honest;
mod lying;
mod model;
mod store;
mod world;
