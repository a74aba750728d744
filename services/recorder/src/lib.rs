//! The recorder: takes a request from the queue, claims the recording, joins the room, and puts what it sees and hears
//! into the store, sealed. The worker ([`run`]) holds keys, queue and store; its child ([`media_child`]) joins, decodes and
//! composes, and holds nothing. [`replay`] runs a session's log again.
//!
//! ```text
//! worker -> take -> drive <-> session            (what is to be done)
//!                     |
//!                  effects -> process ==pipe== child     (room and pipeline, in a child)
//!                          -> keep               (seal, spool, upload, journal)
//!                          -> clerk              (state.json, events)
//!                          -> origin             (webinars)
//! ```
//!
//! # Design
//! - **Follow a stop through three files.** `worker::listen` hears the event, `drive` hands it to `session`, `effects`
//!   performs what comes back. Nothing else waits or decides.
//! - **Handing over.** A worker that is told to stop while recording drains, stores and says that this was the last epoch,
//!   so that the recording is made into a file at once; nobody takes over a live recording yet. A worker that breaks
//!   while it goes on running, or that has captured nothing, offers the recording in `state.json` and asks for it anew:
//!   whoever is free, itself included, goes on as the next epoch, and the finalizer merges them. At most [`claim::EPOCHS`]
//!   try, for a room may send what kills every decoder.
//! - **After a crash** of the worker, what lies in the spool is uploaded before any new work is taken. The epoch has no
//!   journal then, and its record still names the worker that died; who takes up such records is another matter.
//! - **Webinars** are pushed to the origin beside the recording and never before it: what the origin does not take in time
//!   is dropped and counted.

mod attendance;
mod child;
mod clerk;
mod config;
mod drive;
mod effects;
mod epoch;
mod faults;
mod keep;
mod log;
mod origin;
mod process;
mod take;
mod telemetry;
mod wire;
mod worker;

#[cfg(test)]
mod rehearsal;

pub use child::media_child;
pub use log::{ReplayError, replay};
pub use worker::run;

/// Reads the configuration as the recorder will, and joins nothing.
///
/// # Errors
/// When something is wrong with it, with what to do.
pub fn check(sections: &chassis::Sections) -> anyhow::Result<()> {
    config::Config::read(sections).map(drop)
}
