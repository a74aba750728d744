//! From a meeting server's news to room events, and to wishes for recordings where the policy says so.
//!
//! ```text
//! Janus --event handler--> RabbitMQ --tap--> news -> rooms -> events, recording.requested
//! Janus <--listparticipants, list-- watch ----------^
//! ```
//! Tells ids only: names and titles are looked at (the recording sign, title patterns) and go no further.
//!
//! # Design
//! - **News is early, a look is true.** The handler's messages start things within milliseconds but may be lost: by its
//!   own queue, by a reconnect of either side. So each server is also asked every 15 s what its rooms hold, and that
//!   wins: a missed departure cannot keep a run open for ever, and so pass the next lecture off as the last one's rest.
//! - **A run's id is derived** from server, room and the first news' time stamp, so a repeated message makes no second
//!   run. The stamp is only a number: a server with a wrong clock is recorded like any other. Nothing is old here
//!   either, for the queue of news lives for a minute; age and tombstones are judged by receivers ([`events::Gate`]).
//! - **Runs outlive the bridge**, in a durable queue of RabbitMQ that holds the newest list of them and no more
//!   (`lectern.bridge.runs.{instance}`, [`memory::Memory`]): ids and times, nobody's name. There is no database to run,
//!   the bridge needs this broker anyway, and a file would die with its machine. A run's id is written down before
//!   anybody hears it, and an end until it was told, so that being killed at any moment costs nothing but a repeat. A
//!   bridge that starts anew goes on under the old ids and looks: a room that is gone ends at once, one that is empty
//!   after its time, and one that was emptied and filled again meanwhile is one run. Its people are told of anew. What
//!   was asked for is not asked for again, and what was not yet decided is, under the same id, which is no second
//!   recording. If the broker lost its disk, running rooms get new ids, and those where a bot of ours is are taken for
//!   asked for. One bridge serves a server, not two.
//! - **Who comes late is told again.** A worker that takes over a recording did not hear what was said while nobody held
//!   it. So the bridge hears `recorder.joined` and `recording.started` on a durable queue
//!   (`lectern.bridge.heard.{instance}`), and where that run has ended, or that recording was stopped, says so again.
//!   Stops reach it there even when no recorder hears them. It remembers both for two days.
//! - **Titles are asked for.** VideoRoom's news of 1.1.2 holds no title (its `created` is a number), so rules with a
//!   title pattern read it from the server's list, in which rooms with `is_private` do not stand.
//! - **Who asks names a room, not a run.** `recording.wanted` comes on a queue that all bridges share and is held
//!   unsettled until its room is open, so that a restart loses none. The answer's id derives from run and rule: a second
//!   wish is no second recording.

pub mod config;
mod janus;
pub mod memory;
pub mod news;
pub mod past;
pub mod policy;
pub mod rooms;
mod watch;
pub mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use broker::{Broker, Work};
use chassis::Sections;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use config::Setup;
use watch::Watch;

/// Wishes held at a time; more wait in their queue. People ask, so handfuls come.
const WISHES: u16 = 256;

/// Bridges every server of `[bridge.janus]` until `stop`.
///
/// # Errors
/// When the configuration or the policy is wrong, or the broker refuses us.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let Setup { tenant, broker, policy, empty_after, servers } = Setup::read(sections)?;
    let policy = Arc::new(policy);
    let broker = match Broker::connect(&broker, stop.clone()).await {
        Err(broker::Error::Stopped) => return Ok(()),
        connected => connected.context("the bridge needs the broker")?,
    };
    let mut watches = JoinSet::new();
    let mut desks = BTreeMap::new();
    for server in servers {
        info!(instance = server.instance, exchange = server.exchange, rules = policy.rules().len(), "watching");
        let news = match broker.tap(&server.exchange).await {
            Err(broker::Error::Stopped) => break,
            tapped => tapped?,
        };
        let heard = match broker.desk(&tenant, &server.instance).await {
            Err(broker::Error::Stopped) => break,
            heard => heard?,
        };
        let (desk, wanted) = mpsc::channel(16);
        desks.insert(server.instance.clone(), desk);
        let watch = Watch::new(server, tenant.clone(), broker.clone(), policy.clone(), empty_after, stop.clone());
        watches.spawn(watch.run(news, heard, wanted));
    }
    if let Ok(wanted) = broker.work(Work::Want, WISHES).await {
        watches.spawn(wishes::deal(wanted, tenant, desks));
    }
    while let Some(ended) = watches.join_next().await {
        ended.context("a watch ended by a panic")?;
    }
    broker.close().await;
    Ok(())
}

/// Reads everything that [`run`] would, and starts nothing.
///
/// # Errors
/// What is wrong with the configuration or the policy, by section, rule and field.
pub fn check(sections: &Sections) -> anyhow::Result<()> {
    Setup::read(sections).map(drop)
}
