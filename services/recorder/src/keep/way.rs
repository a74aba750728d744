//! The way of one object: sealed, durable in the spool, put in its turn, read back. Each is one try; whoever asked says
//! when the next one is due. What is decided here is how crowded the way is: a few at once, none while the store was
//! away a moment ago, and no pictures into a spool that has no room for them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use storage::spool::Level;
use storage::{Bucket, Receipt, Sealed, Spooled, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::Place;
use crate::backoff::pause;

/// Uploads at once: enough to catch up after an outage, few enough to leave the line to the room.
const AT_ONCE: usize = 4;

/// What the journal says of a stretch without a picture.
pub(super) const NO_ROOM: &str = "no room in the spool: audio alone was kept";
pub(super) const SPOILT: &str = "lost in the spool";

/// And of its end, which is not the lecture's.
pub(super) const CUT: &str = "no room in the spool: this worker recorded no further";

/// What an object is to the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Picture,
    Sound,
    /// Init sections, the journal and what goes with it: little, and nothing can be read without.
    Small,
}

/// One sealed object that can be tried again.
#[derive(Clone)]
pub(super) enum Lot {
    Disk(Spooled),
    Memory(String, Sealed<Vec<u8>>),
}

/// A try that failed, and what is left to try. With nothing left, `lost` is what the journal says.
pub(super) struct Failed {
    pub(super) why: StoreError,
    pub(super) left: VecDeque<Lot>,
    pub(super) lost: &'static str,
}

/// Shared by all tries of one epoch.
pub(super) struct Way {
    pub(super) place: Place,
    turns: Semaphore,
    /// Pictures that do not wait for a turn: one, so that they never pile up in memory.
    pictures: Semaphore,
    away: Mutex<Away>,
    /// The disk under the spool fails.
    ailing: AtomicBool,
    full: Notify,
}

/// How long the store has been away: until when it is left alone, and how often it was away in a row.
#[derive(Default)]
struct Away {
    until: Option<Instant>,
    times: u32,
}

impl Way {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            turns: Semaphore::new(AT_ONCE),
            pictures: Semaphore::new(1),
            away: Mutex::default(),
            ailing: AtomicBool::new(false),
            full: Notify::new(),
        }
    }

    /// Comes when the spool turns out to be full. Cancel-safe.
    pub(super) async fn full(&self) {
        self.full.notified().await;
    }

    /// Seals and spools at once, so that a crash loses nothing that was closed; then uploads in its turn. The receipt is
    /// the last object's.
    pub(super) async fn keep(self: Arc<Self>, kind: Kind, plain: Vec<(String, Vec<u8>)>) -> Result<Receipt, Failed> {
        let sealing = tokio::task::spawn_blocking({
            let way = self.clone();
            move || way.seal(kind, plain)
        });
        // The blocking closure does not panic, and this runtime outlives it; an empty queue says otherwise in `upload`.
        match sealing.await.unwrap_or_else(|_| Ok(VecDeque::new())) {
            Ok(lots) => self.upload(lots).await,
            Err((key, sealed)) => self.pass_by(&key, &sealed).await,
        }
    }

    /// What was spooled, or a picture for which there is no room.
    fn seal(&self, kind: Kind, plain: Vec<(String, Vec<u8>)>) -> Result<VecDeque<Lot>, (String, Sealed<Vec<u8>>)> {
        let level = self.place.spool.level();
        if level == Level::Full && kind != Kind::Small {
            self.full.notify_one();
        }
        let mut lots = VecDeque::new();
        for (key, plain) in plain {
            let sealed = self.place.key.seal(plain);
            if kind == Kind::Picture && !level.takes_video() {
                return Err((key, sealed));
            }
            lots.push_back(self.spool(key, sealed));
        }
        Ok(lots)
    }

    fn spool(&self, key: String, sealed: Sealed<Vec<u8>>) -> Lot {
        match self.place.spool.add(&key, &sealed) {
            Ok(spooled) => {
                if self.ailing.swap(false, Ordering::Relaxed) {
                    info!("the spool takes segments again");
                }
                Lot::Disk(spooled)
            }
            Err(why) => {
                let error = &why as &dyn std::error::Error;
                if self.ailing.swap(true, Ordering::Relaxed) {
                    debug!(error, "kept in memory");
                } else {
                    error!(
                        error,
                        "the spool takes nothing, and segments are kept in memory until they are stored, where a crash \
                         would lose them; see to the disk under [recorder].work"
                    );
                }
                Lot::Memory(key, sealed)
            }
        }
    }

    /// One try for each lot in turn, up to the first that fails.
    pub(super) async fn upload(&self, mut lots: VecDeque<Lot>) -> Result<Receipt, Failed> {
        // Never closed, so this waits and succeeds.
        let _turn = self.turns.acquire().await;
        self.leave_alone().await;
        let Place { spool, store, .. } = &self.place;
        let mut receipt = None;
        while let Some(lot) = lots.front().cloned() {
            let tried = match lot {
                Lot::Disk(spooled) => spool.upload(store, spooled).await,
                Lot::Memory(key, sealed) => store.put_verified(Bucket::Media, &key, sealed.bytes().clone()).await,
            };
            self.heed(&tried);
            match tried {
                Ok(done) => receipt = Some(done),
                Err(why) => return Err(Failed { why, left: lots, lost: SPOILT }),
            }
            lots.pop_front();
        }
        receipt.ok_or_else(|| {
            let source = std::io::Error::other("sealing ended oddly");
            let why = StoreError::Spool { key: self.place.path.prefix(), source };
            Failed { why, left: lots, lost: SPOILT }
        })
    }

    /// A picture's one chance while the spool has no room: from memory into the store, past all that waits.
    async fn pass_by(&self, key: &str, sealed: &Sealed<Vec<u8>>) -> Result<Receipt, Failed> {
        let tried = match self.pictures.try_acquire() {
            Ok(_alone) => {
                let tried = sealed.put(&self.place.store, key).await;
                self.heed(&tried);
                tried
            }
            Err(_) => {
                let source = "the picture before it is still on its way".into();
                Err(StoreError::Busy { doing: format!("put {key}"), code: "too slow".into(), source })
            }
        };
        tried.map_err(|why| Failed { why, left: VecDeque::new(), lost: NO_ROOM })
    }

    /// Waits while the store is not to be asked: all that an outage has heaped up would else ask it without a break.
    async fn leave_alone(&self) {
        let until = self.away.lock().unwrap_or_else(PoisonError::into_inner).until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn heed(&self, tried: &Result<Receipt, StoreError>) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match tried {
            Err(why) if why.is_passing() => {
                // Those that were under way together found the same outage once.
                if away.until.is_none_or(|until| until <= now) {
                    away.times = away.times.saturating_add(1);
                    away.until = Some(now + pause(away.times, rand::random()));
                }
            }
            // The disk's fault says nothing about the store.
            Err(StoreError::Spool { .. } | StoreError::Spoilt { .. }) => {}
            _ => *away = Away::default(),
        }
    }
}
