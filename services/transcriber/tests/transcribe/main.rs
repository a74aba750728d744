//! Transcribing real synthetic speech in a sealed film, with the fixture model. Needs espeak-ng, ffmpeg and age.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod archive;
mod model;
mod samples;
mod text;
mod tools;
mod trouble;
