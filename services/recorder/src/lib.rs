//! The recorder: takes a request from the queue, claims the recording, joins the room, and puts what it sees and hears
//! into the store, sealed. The worker ([`run`]) holds keys, queue and store; its child ([`media_child`]) joins, decodes and
//! composes, and holds nothing. [`replay`] runs a session's log again.
//!
//! ```text
//! worker -> take -> epoch -> drive <-> session   (what is to be done)
//! steward --^                 |
//!                  effects -> process ==pipe== child     (room and pipeline, in a child)
//!                          -> keep               (seal, spool, upload, journal)
//!                          -> clerk              (state.json, events)
//!                          -> origin             (webinars)
//! ```
//!
//! # Design
//! - **Follow a stop through three files.** `line::listen` hears the event, `drive` hands it to `session`, `effects`
//!   performs what comes back. Nothing else waits or decides.
//! - **A media process dies**: this worker goes on with the next epoch at once, with a fresh process and a fresh key,
//!   while what the first has recorded is still on its way into the store.
//! - **A worker dies**: its record falls silent, and the steward of any worker with a free slot takes it over after six
//!   seconds; the same worker, started again over its spool, takes it up at once, after uploading what the
//!   spool holds. No clock of one machine is compared with another's, and a steward that could not look has seen nothing.
//! - **A worker is told to stop**: it takes no more requests, offers the recording, goes on until its successor's first
//!   segment is stored, and leaves then. Meanwhile it hears its rooms as before, and an end or a stop ends the recording.
//!   If nobody comes in `hand_over_seconds`, it stores what it has and leaves the recording open, for whoever comes next:
//!   this worker after its restart, for one.
//! - **A worker that is ill** offers the recording, and is shy of it for a minute.
//! - **Epochs overlap without harm**: each writes under its own folder, and the finalizer merges them on wall time. Only
//!   the holder announces; who was superseded stores what it has, and says no more than that.
//! - **What every worker fails at** ends: [`claim::TRIES`] epochs in a row that store nothing are all there are.
//! - **Without a broker** recordings go on, and are taken over; only new requests wait for it.
//! - **A full disk** costs pictures first, then the end of recordings, and nothing that was said before: `keep` asks the
//!   spool how full it is for each segment, and [`storage::spool::Level`] is the ladder. There are no tracks of single
//!   participants yet, which would go before pictures.
//! - **A store that is away** is asked now and then, by a few of all that waits, with pauses that grow to 15 s.
//! - **A store that is found unfit** at one of its hourly probes gets no new recordings, and keeps those that it has.
//! - **Webinars** are pushed to the origin beside the recording and never before it: what the origin does not take in time
//!   is dropped and counted.

mod attendance;
mod backoff;
mod blame;
mod cell;
mod child;
mod clerk;
mod config;
mod drive;
mod effects;
mod epoch;
mod faults;
mod held;
mod keep;
mod line;
mod log;
mod origin;
mod orphans;
mod outbox;
mod process;
mod steward;
mod take;
mod telemetry;
mod wire;
mod worker;

#[cfg(test)]
mod rehearsal;

pub use child::{cage, media_child};
pub use log::{ReplayError, replay};
pub use worker::run;

#[doc = include_str!("../PROMISES.md")]
pub mod promises {}

/// Reads the configuration as the recorder will, and joins nothing.
///
/// # Errors
/// When something is wrong with it, with what to do.
pub fn check(sections: &chassis::Sections) -> anyhow::Result<()> {
    config::Config::read(sections).map(drop)
}
