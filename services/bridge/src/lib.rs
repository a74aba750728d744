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
//! - **Nothing is stored.** A bridge that starts anew finds running rooms by its first look. It does not know their
//!   earlier ids; where one of our bots is in the room the recording was asked for already, and it is not asked again.
//!   Where the bot is away in that very moment a second recording of the same run begins: too much rather than nothing.
//!   For the same reason one bridge serves a server, not two.
//! - **Titles are asked for.** VideoRoom's news of 1.1.2 holds no title (its `created` is a number), so rules with a
//!   title pattern read it from the server's list, in which rooms with `is_private` do not stand.
//! - **Who asks names a room, not a run.** `recording.wanted` comes on a queue that all bridges share and is held
//!   unsettled until its room is open, so that a restart loses none. The answer's id derives from run and rule: a second
//!   wish is no second recording.

pub mod config;
mod janus;
pub mod news;
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
        let (desk, wanted) = mpsc::channel(16);
        desks.insert(server.instance.clone(), desk);
        let watch = Watch::new(server, tenant.clone(), broker.clone(), policy.clone(), empty_after, stop.clone());
        watches.spawn(watch.run(news, wanted));
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
