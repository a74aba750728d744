//! Live webinars, pushed as a recorder pushes them and read as players read them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

mod ends;
mod goldens;
mod handover;
mod pushes;
mod rules;
mod worker;
mod world;
