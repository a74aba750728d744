//! The portal over real HTTP on loopback, in front of a real store with sealed and signed recordings.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

#[path = "../../../origin/tests/http/browser.rs"]
mod browser;
mod campus;
mod door;
mod look;
mod pages;
mod playback;
mod start;
