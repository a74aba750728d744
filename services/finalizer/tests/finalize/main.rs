//! Finalizing real H.264 and AAC: made by ffmpeg, stored as a recorder stores it, opened with age, judged by decoding.
//! Needs ffmpeg, ffprobe and age.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bad;
mod film;
mod gate;
mod merge;
mod once;
mod studio;
mod whole;
