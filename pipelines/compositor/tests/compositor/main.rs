//! Known signals in, output decoded by ffmpeg and looked at: what is where, what is heard when, and whether anything
//! is ever missing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first surprise")]

mod support;

mod branches;
mod cost;
mod grid;
mod picture;
mod sound;
