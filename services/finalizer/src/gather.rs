//! Fetches what the recorders of one recording stored, checks each object against its receipt, and reads where the
//! samples lie. What is missing or altered becomes a [`Lost`] with its name; it never stops the rest.
//!
//! Of an epoch that left nothing in the store, the ledger alone knows: it has begun, and nobody has said that it captured
//! nothing. Then something is missing, wherever among the others its time was.
//!
//! A worker that was killed left no journal. Then the listing says what there is, and the stamp on its init sections
//! when that was: no receipts to check against, but each segment opens with the epoch's key or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use claim::{EPOCHS, Record};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use media::{MediaTime, Rendition, WallTime};
use sha2::{Digest, Sha256};
use storage::journal::{Description, Entry, Gap, Journal};
use storage::manifest::{Account, Object};
use storage::seal::SealError;
use storage::{Bucket, Identity, OpenKey, RecordingPath, Store, StoreError, Writer, ledger};

use crate::account;
use crate::finalize::FinalizeError;
use crate::fragment::{Init, Sample, samples};

/// Segments fetched at once: the store's latency is hidden, and memory stays at a few segments.
pub(crate) const AT_ONCE: usize = 6;
/// A segment of 3.2 s at 8 Mbit/s has 3 MB.
const LONGEST_SEGMENT: u64 = 32 << 20;
/// A day of entries has 20 MB.
const LONGEST_JOURNAL: u64 = 128 << 20;
/// Twice what a recorder's log of its inputs may have.
const LONGEST_META: u64 = 32 << 20;
pub(crate) const LONGEST_KEY: u64 = 64 << 10;

/// A segment that was read and found good.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) rendition: Rendition,
    /// Index into [`Gathered::epochs`].
    pub(crate) epoch: usize,
    pub(crate) number: u64,
    pub(crate) key: String,
    pub(crate) sha256: String,
    pub(crate) samples: Vec<Sample>,
}

/// A segment that cannot be used, or a run of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) rendition: Rendition,
    pub(crate) epoch: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// By the journal, on the wall.
    pub(crate) from: WallTime,
    pub(crate) lasts: Duration,
    pub(crate) why: String,
}

#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u32,
    pub(crate) open: OpenKey,
    /// Wall time of its media time zero.
    pub(crate) zero: WallTime,
    pub(crate) inits: BTreeMap<Rendition, Init>,
    /// What the recorder itself could not record, and no [`Lost`] speaks of.
    pub(crate) gaps: Vec<Gap>,
    /// It came to its end and wrote its journal. One that did not was killed, or its spool is not emptied yet.
    pub(crate) told: bool,
}

/// All of a recording that can be used, and what cannot.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) epochs: Vec<Epoch>,
    /// In order of epoch and number.
    pub(crate) segments: Vec<Segment>,
    pub(crate) lost: Vec<Lost>,
    /// Of every epoch that stored anything, in order.
    pub(crate) accounts: Vec<Account>,
    /// Whole epochs that say less than they should: number and why.
    pub(crate) doubts: Vec<(u32, String)>,
    /// Epochs that began to record, and of which nothing lies in the store, in order.
    pub(crate) vanished: Vec<ledger::Entry>,
    /// There are segments whose key is missing or altered.
    pub(crate) locked: bool,
    /// What the manifest vouches for.
    pub(crate) objects: Vec<Object>,
}

/// Why an object is not used.
enum Unusable {
    Why(String),
    Failed(FinalizeError),
}

impl From<StoreError> for Unusable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing { .. } => Self::Why("is missing".into()),
            StoreError::TooLong { .. } => Self::Why("is longer than was stored".into()),
            other => Self::Failed(other.into()),
        }
    }
}

/// Reads that are unlike what was stored, before that is believed of the store and not of the way.
const READS: usize = 3;

/// Whether what was read is worth reading again: it came altered, cut short, or not at all.
fn doubtful<T>(read: &Result<T, Unusable>) -> bool {
    match read {
        Ok(_) => false,
        Err(Unusable::Why(_)) => true,
        Err(Unusable::Failed(why)) => why.is_passing(),
    }
}

/// What may be lost stays inside; what must stop the work comes out.
fn or_lost<T>(tried: Result<T, Unusable>) -> Result<Result<T, String>, FinalizeError> {
    match tried {
        Ok(good) => Ok(Ok(good)),
        Err(Unusable::Why(why)) => Ok(Err(why)),
        Err(Unusable::Failed(error)) => Err(error),
    }
}

/// Reads a whole recording.
///
/// # Errors
/// When the store does not answer, or our identity is not one that the recording is sealed to.
pub(crate) async fn gather(
    store: &Store,
    path: &RecordingPath,
    record: &Record,
    identity: &Identity,
) -> Result<Gathered, FinalizeError> {
    let lying = Lying::list(store, path).await?;
    let mut gathered = Gathered::default();
    // A record that somebody put back from a backup knows fewer epochs than there are.
    for number in 1..=record.epoch.max(lying.last_epoch(path)).min(EPOCHS) {
        Reading { store, path, lying: &lying, number, into: &mut gathered }.epoch(record, identity).await?;
    }
    let there = gathered.epochs.iter().map(|epoch| epoch.number);
    let there = there.chain(gathered.accounts.iter().map(|account| account.epoch)).collect();
    gathered.vanished = ledger::lost_of(store, path, &there).await?;
    gathered.vanished.sort_by_key(|entry| entry.epoch);
    Ok(gathered)
}

/// What there is of a recording, by key: asked for once, since it may have thousands of epochs of which most stored
/// nothing.
struct Lying {
    /// And its size.
    media: BTreeMap<String, u64>,
    keys: BTreeSet<String>,
}

impl Lying {
    async fn list(store: &Store, path: &RecordingPath) -> Result<Self, StoreError> {
        let media = store.list(Bucket::Media, &path.prefix()).await?;
        let keys = store.list(Bucket::Keys, &path.keys_prefix()).await?;
        Ok(Self {
            media: media.into_iter().map(|entry| (entry.key, entry.size)).collect(),
            keys: keys.into_iter().map(|entry| entry.key).collect(),
        })
    }

    /// The highest epoch of which anything lies here.
    fn last_epoch(&self, path: &RecordingPath) -> u32 {
        let live = format!("{}live/", path.prefix());
        let numbers = self.media.range(live.clone()..).map_while(|(key, _)| key.strip_prefix(&live));
        numbers.filter_map(|rest| rest.split('/').next()?.parse().ok()).max().unwrap_or(0)
    }

    /// Everything in the folder of `key`.
    fn beside<'a>(&'a self, key: &str) -> impl Iterator<Item = (&'a String, u64)> {
        let folder = key.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"));
        let from = self.media.range(folder.clone()..);
        from.take_while(move |(key, _)| key.starts_with(&folder)).map(|(key, size)| (key, *size))
    }
}

struct Reading<'a> {
    store: &'a Store,
    path: &'a RecordingPath,
    lying: &'a Lying,
    number: u32,
    into: &'a mut Gathered,
}

impl Reading<'_> {
    async fn epoch(mut self, record: &Record, identity: &Identity) -> Result<(), FinalizeError> {
        let writer = Writer::Epoch(self.number);
        let key_key = self.path.key(&writer);
        if !self.lying.keys.contains(&key_key) {
            self.without_key("its key is missing");
            return Ok(());
        }
        let open = match OpenKey::fetch(self.store, self.path, &writer, identity).await {
            Ok(open) => open,
            Err(SealError::KeyMissing { .. }) => {
                self.without_key("its key is missing");
                return Ok(());
            }
            // Altered, it takes its own epoch and no other.
            Err(SealError::Malformed { .. } | SealError::Tampered { .. }) => {
                self.without_key("its key was altered");
                return Ok(());
            }
            Err(other) => return Err(other.into()),
        };
        let (key, _) = self.store.get(Bucket::Keys, &key_key, LONGEST_KEY).await?;
        self.vouch(Bucket::Keys, &key_key, &key, None);
        self.metadata().await?;
        let Some((journal, entries)) = self.entries(&open).await? else { return Ok(()) };
        let inits = self.inits(&open, &entries).await?;
        let stamped = inits.values().find_map(|init| init.zero);
        let zero = match entries.iter().find(|entry| entry.wall != WallTime::default()) {
            Some(entry) => WallTime(entry.wall.0 - micros(entry.begins)),
            None if stamped.is_some() => stamped.unwrap_or_default(),
            None => self.told_by_description(&open).await?.unwrap_or(record.created),
        };
        let told = journal.is_some();
        let (gaps, closed) = journal.map(|journal| (journal.gaps, journal.closed)).unwrap_or_default();
        self.into.epochs.push(Epoch { number: self.number, open, zero, inits, gaps, told });
        self.segments(entries).await?;
        account::epoch(self.into, &closed);
        Ok(())
    }

    /// What the epoch stored, by its journal or else by what lies there; none if that is nothing.
    async fn entries(&mut self, open: &OpenKey) -> Result<Option<(Option<Journal>, Vec<Entry>)>, FinalizeError> {
        let salvaged = match self.lying.media.contains_key(&self.path.journal(self.number)) {
            true => match or_lost(self.doubted_journal(open).await)? {
                Ok(journal) => {
                    let entries = journal.entries.clone();
                    return Ok(Some((Some(journal), entries)));
                }
                Err(why) => {
                    let doubt = format!("its journal {why}; its segments were taken as they lie in the store");
                    self.into.doubts.push((self.number, doubt));
                    self.salvage()
                }
            },
            false => self.salvage(),
        };
        Ok((!salvaged.is_empty()).then_some((None, salvaged)))
    }

    async fn doubted_journal(&mut self, open: &OpenKey) -> Result<Journal, Unusable> {
        let mut journal = self.journal(open).await;
        for _ in 1..READS {
            if doubtful(&journal) {
                journal = self.journal(open).await;
            }
        }
        journal
    }

    async fn journal(&mut self, open: &OpenKey) -> Result<Journal, Unusable> {
        let key = self.path.journal(self.number);
        let (sealed, _) = self.store.get(Bucket::Media, &key, LONGEST_JOURNAL).await?;
        let plain = open_sealed(open, &sealed, LONGEST_JOURNAL)?;
        let journal = Journal::parse(&plain).map_err(|why| Unusable::Why(format!("cannot be read: {why}")))?;
        let ours = (journal.recording, journal.epoch) == (self.path.recording, self.number);
        let prefix = self.path.prefix();
        if !ours || journal.entries.iter().any(|entry| !entry.key.starts_with(&prefix)) {
            return Err(Unusable::Why("is another recording's".into()));
        }
        self.vouch(Bucket::Media, &key, &sealed, Some(plain.len()));
        Ok(journal)
    }

    /// Everything under `meta/` for this epoch: descriptions, logs of the session.
    async fn metadata(&mut self) -> Result<(), FinalizeError> {
        for (key, _) in self.lying.beside(&self.path.description(self.number)) {
            match or_lost(self.store.get(Bucket::Media, key, LONGEST_META).await.map_err(Into::into))? {
                Ok((sealed, _)) => self.vouch(Bucket::Media, key, &sealed, None),
                Err(why) => self.into.doubts.push((self.number, format!("{key} {why}"))),
            }
        }
        Ok(())
    }

    /// The sign that a recording runs is set just before the first frame: the best that a worker without a journal
    /// left behind to say when it began.
    async fn told_by_description(&self, open: &OpenKey) -> Result<Option<WallTime>, FinalizeError> {
        let key = self.path.description(self.number);
        let Ok((sealed, _)) = or_lost(self.store.get(Bucket::Media, &key, LONGEST_META).await.map_err(Into::into))?
        else {
            return Ok(None);
        };
        let plain = open.open(&sealed, LONGEST_META).ok();
        let told: Option<Description> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        Ok(told.map(|description| description.consent.sign_set))
    }

    /// What lies in the store of an epoch that left no journal: entries without receipts or times.
    fn salvage(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for rendition in [Rendition::video(), Rendition::audio()] {
            for (key, size) in self.lying.beside(&self.path.init(self.number, &rendition)) {
                let name = key.rsplit('/').next().and_then(|name| name.strip_suffix(".m4s.age"));
                let Some(number) = name.and_then(|name| name.parse().ok()) else { continue };
                entries.push(Entry {
                    rendition: rendition.clone(),
                    number,
                    key: key.clone(),
                    size,
                    sha256: String::new(),
                    begins: MediaTime::default(),
                    lasts: Duration::ZERO,
                    wall: WallTime::default(),
                });
            }
        }
        entries
    }

    /// It never came to sealing anything, or its key is gone; the listing tells which.
    fn without_key(&mut self, why: &str) {
        let entries = self.salvage();
        if !entries.is_empty() {
            self.into.locked = true;
            account::locked(self.into, self.number, &entries, why);
            let why = format!("{why}, so its {} segments cannot be read; restore the key", entries.len());
            self.into.doubts.push((self.number, why));
        }
    }

    async fn inits(&mut self, open: &OpenKey, entries: &[Entry]) -> Result<BTreeMap<Rendition, Init>, FinalizeError> {
        let mut inits = BTreeMap::new();
        for rendition in [Rendition::video(), Rendition::audio()] {
            if !entries.iter().any(|entry| entry.rendition == rendition) {
                continue;
            }
            let mut init = self.init(open, &rendition).await;
            for _ in 1..READS {
                if doubtful(&init) {
                    init = self.init(open, &rendition).await;
                }
            }
            match or_lost(init)? {
                Ok(init) => drop(inits.insert(rendition, init)),
                Err(why) => self.into.doubts.push((self.number, format!("the beginning of its {rendition} {why}"))),
            }
        }
        Ok(inits)
    }

    async fn init(&mut self, open: &OpenKey, rendition: &Rendition) -> Result<Init, Unusable> {
        let key = self.path.init(self.number, rendition);
        let (sealed, _) = self.store.get(Bucket::Media, &key, LONGEST_META).await?;
        let plain = open_sealed(open, &sealed, LONGEST_META)?;
        let init = Init::parse(&plain).map_err(|odd| Unusable::Why(format!("cannot be read: {odd}")))?;
        let mut before = self.into.epochs.iter().filter_map(|epoch| epoch.inits.get(rendition));
        if before.any(|before| before.timescale != init.timescale) {
            return Err(Unusable::Why("counts time in other units than the epoch before".into()));
        }
        self.vouch(Bucket::Media, &key, &sealed, Some(plain.len()));
        Ok(init)
    }

    async fn segments(&mut self, entries: Vec<Entry>) -> Result<(), FinalizeError> {
        let at = self.into.epochs.len() - 1;
        let (store, epoch) = (self.store, &self.into.epochs[at]);
        let mut reading = stream::iter(entries)
            .map(|entry| {
                let reading = async move {
                    let read = or_lost(doubted(store, epoch, &entry).await)?;
                    Ok::<_, FinalizeError>((entry, read))
                };
                reading.boxed()
            })
            .buffered(AT_ONCE);
        let mut all = Vec::new();
        while let Some(one) = reading.try_next().await? {
            all.push(one);
        }
        drop(reading);
        let (zero, number) = (epoch.zero, epoch.number);
        for (entry, read) in all {
            match read {
                Ok(Read { samples, object }) => {
                    self.into.segments.push(Segment {
                        rendition: entry.rendition,
                        epoch: at,
                        number: entry.number,
                        key: entry.key,
                        sha256: object.sha256.clone(),
                        samples,
                    });
                    self.into.objects.push(object);
                }
                Err(why) => {
                    tracing::warn!(recording = %self.path.recording, key = entry.key, why, "a segment is not used");
                    let from = zero.plus(Duration::from_nanos(entry.begins.0));
                    let Entry { rendition, number: first, lasts, .. } = entry;
                    self.into.lost.push(Lost { rendition, epoch: number, first, last: first, from, lasts, why });
                }
            }
        }
        Ok(())
    }

    fn vouch(&mut self, bucket: Bucket, key: &str, sealed: &Bytes, plain: Option<usize>) {
        let writer = Writer::Epoch(self.number).to_string();
        self.into.objects.push(object(bucket, key, sealed, plain.map(|len| len as u64), writer));
    }
}

/// A segment and what the manifest says of it.
struct Read {
    samples: Vec<Sample>,
    object: Object,
}

async fn doubted(store: &Store, epoch: &Epoch, entry: &Entry) -> Result<Read, Unusable> {
    let mut segment = read(store, epoch, entry).await;
    for _ in 1..READS {
        if doubtful(&segment) {
            segment = read(store, epoch, entry).await;
        }
    }
    segment
}

async fn read(store: &Store, epoch: &Epoch, entry: &Entry) -> Result<Read, Unusable> {
    let Some(init) = epoch.inits.get(&entry.rendition) else {
        return Err(Unusable::Why("has no beginning to be read with".into()));
    };
    // A size that the receipt does not know is not worth fetching.
    let limit = if entry.sha256.is_empty() { LONGEST_SEGMENT } else { entry.size.min(LONGEST_SEGMENT) };
    let (sealed, _) = store.get(Bucket::Media, &entry.key, limit).await?;
    let object_of = |plain| object(Bucket::Media, &entry.key, &sealed, plain, Writer::Epoch(epoch.number).to_string());
    if !entry.sha256.is_empty() && object_of(None).sha256 != entry.sha256 {
        return Err(Unusable::Why("differs from its receipt".into()));
    }
    let plain = open_sealed(&epoch.open, &sealed, LONGEST_SEGMENT)?;
    let samples = samples(init, &plain).map_err(|odd| Unusable::Why(format!("cannot be used: {odd}")))?;
    Ok(Read { samples, object: object_of(Some(plain.len() as u64)) })
}

/// Fetches a segment again for its media.
///
/// # Errors
/// [`FinalizeError::Changed`] when it is no longer what it was.
pub(crate) async fn again(store: &Store, epoch: &Epoch, segment: &Segment) -> Result<Vec<u8>, FinalizeError> {
    for _ in 0..READS {
        match store.get(Bucket::Media, &segment.key, LONGEST_SEGMENT).await {
            Ok((sealed, _)) if hex::encode(Sha256::digest(&sealed)) == segment.sha256 => {
                return Ok(epoch.open.open(&sealed, LONGEST_SEGMENT)?);
            }
            Ok(_) => {}
            Err(why) if why.is_passing() => {}
            Err(why) => return Err(why.into()),
        }
    }
    Err(FinalizeError::Changed { key: segment.key.clone() })
}

fn open_sealed(open: &OpenKey, sealed: &[u8], limit: u64) -> Result<Vec<u8>, Unusable> {
    // Sealed to another key, altered or cut: in each case it is not what the recorder stored here.
    open.open(sealed, limit).map_err(|_| Unusable::Why("cannot be opened: it was altered or cut short".into()))
}

pub(crate) fn object(bucket: Bucket, key: &str, sealed: &[u8], plain_len: Option<u64>, writer: String) -> Object {
    let sha256 = hex::encode(Sha256::digest(sealed));
    Object { bucket, key: key.into(), size: sealed.len() as u64, sha256, plain_len, writer }
}

pub(crate) fn micros(at: MediaTime) -> i64 {
    i64::try_from(at.0 / 1000).unwrap_or(i64::MAX)
}
