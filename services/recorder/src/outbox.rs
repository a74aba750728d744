//! Events that must go out, on disk until the broker has them. What [`Outbox::put`] has answered `Disk` for survives
//! kill -9 and a power cut, and is published by whoever opens the folder next, in order and under the same id. Decides
//! nothing about what is told, and makes no recording wait for a broker.
//!
//! A folder holds one file per event, named by a number that grows and by its kind, with the message as it will go out;
//! `tmp/` is what is being written, `torn/` what a disk spoiled or a broker would never take, kept for a person to look
//! at. Events hold ids only, so these files hold nobody's name.
//!
//! # Design
//! - **Bounded.** An outage of a day costs a file of less than a kilobyte for each event. Past [`MANY`] the oldest *news*
//!   makes room, with an alarm: what happened, which the record in the store tells too. What somebody acts on never does:
//!   commands, and `epoch.stored`, without which no file is made.
//! - **A disk that refuses costs no event.** It waits in memory, as all did before there was a disk, and an alarm says
//!   that this worker must not be restarted meanwhile.
//! - **One at a time.** An event is published, confirmed, and then its file removed; killed in between, it goes out
//!   twice, and whoever hears it drops the second by its id.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use events::{Event, Exchange, MAX_BYTES};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clerk::Herald;

/// A busy worker tells some hundred events a day. At this many a person is needed, and the disk holds 400 MB of them.
const MANY: usize = 100_000;
/// Between two tries, at first and at most; the broker's own reconnects are paced by itself.
const SOONEST: Duration = Duration::from_millis(200);
const LATEST: Duration = Duration::from_secs(30);

/// Where an event that was put waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// On disk: it goes out, whatever happens to this process.
    Disk,
    /// The disk refused: it goes out if this process lives.
    Memory,
}

/// A folder of events. Cheap to clone; one process at a time may use it, which the spool's lock sees to.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    many: usize,
    lane: Mutex<Lane>,
    /// Something was put, or taken.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Lane {
    next: u64,
    waiting: BTreeMap<u64, Item>,
    dropped: u64,
}

#[derive(Debug, Clone)]
enum Item {
    Disk { path: PathBuf, news: bool },
    Memory { event: Box<Event>, news: bool },
}

impl Item {
    fn is_news(&self) -> bool {
        match self {
            Self::Disk { news, .. } | Self::Memory { news, .. } => *news,
        }
    }
}

impl Outbox {
    /// Opens a folder, making it if need be, with what an earlier process left in it.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Self::with_room_for(dir, MANY)
    }

    fn with_room_for(dir: &Path, many: usize) -> io::Result<Self> {
        for folder in [dir.to_owned(), dir.join("tmp"), dir.join("torn")] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // Nobody was promised what was still being written.
        for entry in fs::read_dir(dir.join("tmp"))? {
            fs::remove_file(entry?.path())?;
        }
        let mut lane = Lane::default();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some((number, kind)) = path.file_name().and_then(|name| read_name(name.to_str()?)) else { continue };
            let news = is_news(&kind);
            lane.next = lane.next.max(number + 1);
            lane.waiting.insert(number, Item::Disk { path, news });
        }
        File::open(dir)?.sync_all()?;
        if !lane.waiting.is_empty() {
            info!(events = lane.waiting.len(), "an earlier run left events that were not brought out");
        }
        let inner = Inner { dir: dir.to_owned(), many, lane: Mutex::new(lane), changed: Notify::new() };
        Ok(Self(Arc::new(inner)))
    }

    /// Takes an event to be brought out after all that were put before it. Blocks on the disk for some milliseconds.
    pub(crate) fn put(&self, event: &Event) -> Ticket {
        let news = is_news(event.body.kind());
        let number = {
            let mut lane = self.lane();
            lane.next += 1;
            lane.next - 1
        };
        let (item, ticket) = match self.write(number, event) {
            Ok(path) => (Item::Disk { path, news }, Ticket::Disk),
            Err(error) => {
                let kind = event.body.kind();
                error!(%error, kind, "an event cannot be written down; it waits in memory, so do not restart this worker");
                (Item::Memory { event: Box::new(event.clone()), news }, Ticket::Memory)
            }
        };
        let spare = {
            let mut lane = self.lane();
            lane.waiting.insert(number, item);
            lane.spare(self.0.many)
        };
        if let Some(Item::Disk { path, .. }) = spare {
            self.remove(&path);
        }
        self.0.changed.notify_waiters();
        ticket
    }

    /// How many events wait.
    pub(crate) fn pending(&self) -> usize {
        self.lane().waiting.len()
    }

    /// Returns when no event waits, which while the broker is away is never.
    pub(crate) async fn empty(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.pending() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Brings events out, one after the other, until `stop`; the one under way then is still tried to its end. What is
    /// left lies in the folder for the next start.
    pub(crate) async fn drain(&self, herald: &dyn Herald, stop: &CancellationToken) {
        let mut tries = 0;
        while !stop.is_cancelled() {
            let changed = self.0.changed.notified();
            let first = self.lane().waiting.first_key_value().map(|(number, item)| (*number, item.clone()));
            let Some((number, item)) = first else {
                if stop.run_until_cancelled(changed).await.is_none() {
                    return;
                }
                continue;
            };
            let event = match &item {
                Item::Memory { event, .. } => Some((**event).clone()),
                Item::Disk { path, .. } => match self.read(path).await {
                    Ok(event) => event,
                    Err(error) => {
                        error!(%error, "an event cannot be read back; trying again");
                        tries += 1;
                        let _ = stop.run_until_cancelled(tokio::time::sleep(pause(tries))).await;
                        continue;
                    }
                },
            };
            let Some(event) = event else {
                error!("an event is torn; set aside in torn/ of the outbox");
                self.done(number, &item, Done::Torn);
                continue;
            };
            let kind = event.body.kind();
            match herald.tell(&event).await {
                Ok(()) => {
                    tries = 0;
                    self.done(number, &item, Done::Told);
                }
                Err(why) if why.is_passing() => {
                    tries += 1;
                    let waiting = self.pending();
                    warn!(error = &why as &dyn std::error::Error, kind, waiting, "event not brought out; trying again");
                    let _ = stop.run_until_cancelled(tokio::time::sleep(pause(tries))).await;
                }
                Err(why) => {
                    error!(error = &why as &dyn std::error::Error, kind, "event cannot be brought out; set aside");
                    self.done(number, &item, Done::Torn);
                }
            }
        }
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        // Nothing in it can be left half done.
        self.0.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, number: u64, event: &Event) -> io::Result<PathBuf> {
        let name = name_of(number, event.body.kind());
        let (tmp, path) = (self.0.dir.join("tmp").join(&name), self.0.dir.join(&name));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
            file.write_all(&event.to_json())?;
            file.sync_data()?;
            fs::rename(&tmp, &path)?;
            // A rename is durable once its folder is.
            File::open(&self.0.dir)?.sync_all()
        })();
        if written.is_err() {
            // A full disk must not stay full of what could not be written, nor may it go out twice.
            let _ = fs::remove_file(&tmp);
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }

    /// None when the file is not what was written.
    async fn read(&self, path: &Path) -> io::Result<Option<Event>> {
        let read = tokio::fs::symlink_metadata(path).await.map(|meta| meta.is_file() && meta.len() <= MAX_BYTES as u64);
        let bytes = match read {
            Ok(true) => tokio::fs::read(path).await?,
            Ok(false) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Event::parse(&bytes).ok())
    }

    fn done(&self, number: u64, item: &Item, done: Done) {
        if let Item::Disk { path, .. } = item {
            match done {
                Done::Told => self.remove(path),
                Done::Torn => {
                    let aside = self.0.dir.join("torn").join(path.file_name().unwrap_or_default());
                    if let Err(error) = fs::rename(path, aside) {
                        warn!(%error, "a torn event stays where it is");
                    }
                }
            }
        }
        self.lane().waiting.remove(&number);
        self.0.changed.notify_waiters();
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(%error, "an event that was told is still in the outbox; the next start tells it again");
        }
    }
}

#[derive(Clone, Copy)]
enum Done {
    Told,
    Torn,
}

impl Lane {
    /// What must make room for the newest.
    fn spare(&mut self, many: usize) -> Option<Item> {
        if self.waiting.len() <= many {
            return None;
        }
        let oldest = self.waiting.iter().find(|(_, item)| item.is_news()).map(|(number, _)| *number)?;
        // The first, and then a line for every thousand.
        if self.dropped.is_multiple_of(1000) {
            error!(
                waiting = self.waiting.len(),
                dropped = self.dropped + 1,
                "too many events wait for the broker; the oldest news is dropped"
            );
        }
        self.dropped += 1;
        self.waiting.remove(&oldest)
    }
}

/// What only tells what the record in the store tells too.
fn is_news(kind: &str) -> bool {
    kind != "epoch.stored" && exchange_of(kind) != Some(Exchange::Commands)
}

fn exchange_of(kind: &str) -> Option<Exchange> {
    match kind.split_once('.') {
        Some(("recording", "wanted" | "requested" | "stopped")) => Some(Exchange::Commands),
        Some(_) => Some(Exchange::Events),
        None => None,
    }
}

/// Numbers of one length, so that names are in order too.
fn name_of(number: u64, kind: &str) -> String {
    format!("{number:020}~{kind}.json")
}

fn read_name(name: &str) -> Option<(u64, String)> {
    let (number, kind) = name.strip_suffix(".json")?.split_once('~')?;
    Some((number.parse().ok()?, kind.to_owned()))
}

/// Doubling, and shortened by up to a half at random so that workers do not come back as one.
fn pause(tries: u32) -> Duration {
    let full = SOONEST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LATEST);
    let [byte, ..] = *uuid::Uuid::new_v4().as_bytes();
    full.mul_f64(0.5 + f64::from(byte) / 512.0)
}

#[cfg(test)]
mod tests;
