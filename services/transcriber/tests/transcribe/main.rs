//! Transcribing real synthetic speech in a sealed film, with the fixture model. Needs espeak-ng, ffmpeg, age and
//! rabbitmq-server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../../pipelines/broker/tests/server/mod.rs"]
mod server;

mod archive;
#[path = "../../../finalizer/tests/finalize/gate.rs"]
mod gate;
mod model;
mod once;
mod queue;
mod samples;
mod sound;
mod text;
mod tools;
mod trouble;
