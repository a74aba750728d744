//! What an earlier run left in the spool, whatever epoch it is of: brought into the store, with pauses that grow while the
//! store is away. Decides nothing about recordings.

use std::collections::VecDeque;
use std::time::Instant;

use storage::{Spool, Spooled, Store};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::pause;

pub(crate) struct Orphans {
    spool: Spool,
    store: Store,
    found: VecDeque<Spooled>,
    /// How often in a row the store was away.
    away: u32,
    /// When it is asked again.
    again: Instant,
}

impl Orphans {
    pub(crate) fn new(spool: Spool, store: Store, found: Vec<Spooled>) -> Self {
        Self { spool, store, found: found.into(), away: 0, again: Instant::now() }
    }

    pub(crate) fn left(&self) -> usize {
        self.found.len()
    }

    /// Uploads until `until`. True when nothing is left that could be uploaded, or when told to stop. The pauses go on
    /// where an earlier call ended.
    pub(crate) async fn upload(&mut self, until: Instant, stop: &CancellationToken) -> bool {
        while let Some(orphan) = self.found.front() {
            let next = tokio::time::sleep_until(self.again.min(until).into());
            if stop.run_until_cancelled(next).await.is_none() {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            info!(key = orphan.key(), size = orphan.size(), "uploading what an earlier run left");
            match self.spool.upload(&self.store, orphan.clone()).await {
                Ok(_) => {
                    self.away = 0;
                    self.found.pop_front();
                }
                Err(why) => {
                    warn!(error = &why as &dyn std::error::Error, "it stays in the spool");
                    if why.is_passing() {
                        self.away = self.away.saturating_add(1);
                    } else {
                        self.away = 0;
                        self.found.pop_front();
                    }
                    self.again = Instant::now() + pause(self.away, rand::random());
                }
            }
        }
        true
    }
}
