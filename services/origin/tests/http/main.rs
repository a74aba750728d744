//! The origin over real HTTP on loopback: a recorder pushes, players and browsers ask.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

mod browser;
mod footage;
mod handover;
mod ingest;
mod play;
mod server;
mod start;
mod watch;
