//! Finalizing real H.264 and AAC: made by ffmpeg, stored as a recorder stores it, opened with age, judged by decoding.
//! Needs ffmpeg, ffprobe and age.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bad;
mod cut;
mod film;
mod gate;
mod late;
mod long;
mod merge;
mod once;
mod steward;
mod studio;
mod vanished;
mod whole;
