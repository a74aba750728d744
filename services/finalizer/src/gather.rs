//! Fetches what the recorders of one recording stored, checks each object against its receipt, and reads where the
//! samples lie. What is missing or altered becomes a [`Lost`] with its name; it never stops the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use claim::Record;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use media::{MediaTime, Rendition, WallTime};
use sha2::{Digest, Sha256};
use storage::journal::{Description, Entry, Gap, Journal};
use storage::manifest::Object;
use storage::seal::SealError;
use storage::{Bucket, Identity, OpenKey, RecordingPath, Store, StoreError, Writer};

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
    pub(crate) key: String,
    pub(crate) sha256: String,
    pub(crate) samples: Vec<Sample>,
}

/// A segment that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) rendition: Rendition,
    pub(crate) epoch: u32,
    pub(crate) number: u64,
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
    /// What the recorder itself could not record.
    pub(crate) gaps: Vec<Gap>,
}

/// All of a recording that can be used, and what cannot.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) epochs: Vec<Epoch>,
    /// In order of epoch and number.
    pub(crate) segments: Vec<Segment>,
    pub(crate) lost: Vec<Lost>,
    /// Whole epochs that say less than they should: number and why.
    pub(crate) doubts: Vec<(u32, String)>,
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
    let mut gathered = Gathered::default();
    for number in 1..=record.epoch {
        Reading { store, path, number, into: &mut gathered }.epoch(record, identity).await?;
    }
    Ok(gathered)
}

struct Reading<'a> {
    store: &'a Store,
    path: &'a RecordingPath,
    number: u32,
    into: &'a mut Gathered,
}

impl Reading<'_> {
    async fn epoch(mut self, record: &Record, identity: &Identity) -> Result<(), FinalizeError> {
        let writer = Writer::Epoch(self.number);
        let key_key = self.path.key(&writer);
        let open = match OpenKey::fetch(self.store, self.path, &writer, identity).await {
            Ok(open) => open,
            // It never came to sealing anything, or its key is gone; the listing tells which.
            Err(SealError::KeyMissing { .. }) => return self.without_key("its key is missing").await,
            // Altered, it takes its own epoch and no other.
            Err(SealError::Malformed { .. } | SealError::Tampered { .. }) => {
                return self.without_key("its key was altered").await;
            }
            Err(other) => return Err(other.into()),
        };
        let (key, _) = self.store.get(Bucket::Keys, &key_key, LONGEST_KEY).await?;
        self.vouch(Bucket::Keys, &key_key, &key, None);
        self.metadata().await?;
        let (journal, entries) = match or_lost(self.journal(&open).await)? {
            Ok(journal) => {
                let entries = journal.entries.clone();
                (Some(journal), entries)
            }
            Err(why) => {
                let entries = self.salvage().await?;
                if entries.is_empty() {
                    return Ok(());
                }
                let doubt = format!("its journal {why}; its segments were taken as they lie in the store");
                self.into.doubts.push((self.number, doubt));
                (None, entries)
            }
        };
        let zero = match entries.iter().find(|entry| entry.wall != WallTime::default()) {
            Some(entry) => WallTime(entry.wall.0 - micros(entry.begins)),
            None => self.told_by_description(&open).await?.unwrap_or(record.created),
        };
        let inits = self.inits(&open, &entries).await?;
        let gaps = journal.map(|journal| journal.gaps).unwrap_or_default();
        self.into.epochs.push(Epoch { number: self.number, open, zero, inits, gaps });
        self.segments(entries).await
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
        let description = self.path.description(self.number);
        let folder = description.rsplit_once('/').map_or(description.as_str(), |(folder, _)| folder);
        for entry in self.store.list(Bucket::Media, &format!("{folder}/")).await? {
            match or_lost(self.store.get(Bucket::Media, &entry.key, LONGEST_META).await.map_err(Into::into))? {
                Ok((sealed, _)) => self.vouch(Bucket::Media, &entry.key, &sealed, None),
                Err(why) => self.into.doubts.push((self.number, format!("{} {why}", entry.key))),
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
    async fn salvage(&self) -> Result<Vec<Entry>, FinalizeError> {
        let mut entries = Vec::new();
        for rendition in [Rendition::video(), Rendition::audio()] {
            let init = self.path.init(self.number, &rendition);
            let folder = init.rsplit_once('/').map_or("", |(folder, _)| folder);
            for found in self.store.list(Bucket::Media, &format!("{folder}/")).await? {
                let name = found.key.rsplit('/').next().and_then(|name| name.strip_suffix(".m4s.age"));
                let Some(number) = name.and_then(|name| name.parse().ok()) else { continue };
                entries.push(Entry {
                    rendition: rendition.clone(),
                    number,
                    key: found.key,
                    size: found.size,
                    sha256: String::new(),
                    begins: MediaTime::default(),
                    lasts: Duration::ZERO,
                    wall: WallTime::default(),
                });
            }
        }
        Ok(entries)
    }

    async fn without_key(&mut self, why: &str) -> Result<(), FinalizeError> {
        let entries = self.salvage().await?;
        if !entries.is_empty() {
            self.into.locked = true;
            let why = format!("{why}, so its {} segments cannot be read; restore the key", entries.len());
            self.into.doubts.push((self.number, why));
        }
        Ok(())
    }

    async fn inits(&mut self, open: &OpenKey, entries: &[Entry]) -> Result<BTreeMap<Rendition, Init>, FinalizeError> {
        let mut inits = BTreeMap::new();
        for rendition in [Rendition::video(), Rendition::audio()] {
            if !entries.iter().any(|entry| entry.rendition == rendition) {
                continue;
            }
            match or_lost(self.init(open, &rendition).await)? {
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

    async fn segments(self, entries: Vec<Entry>) -> Result<(), FinalizeError> {
        let at = self.into.epochs.len() - 1;
        let (store, epoch) = (self.store, &self.into.epochs[at]);
        let mut reading = stream::iter(entries)
            .map(|entry| {
                let reading = async move {
                    let read = or_lost(read(store, epoch, &entry).await)?;
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
                        key: entry.key,
                        sha256: object.sha256.clone(),
                        samples,
                    });
                    self.into.objects.push(object);
                }
                Err(why) => {
                    tracing::warn!(recording = %self.path.recording, key = entry.key, why, "a segment is not used");
                    let from = zero.plus(Duration::from_nanos(entry.begins.0));
                    let Entry { rendition, number: segment, lasts, .. } = entry;
                    self.into.lost.push(Lost { rendition, epoch: number, number: segment, from, lasts, why });
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
    let (sealed, _) = store.get(Bucket::Media, &segment.key, LONGEST_SEGMENT).await?;
    if hex::encode(Sha256::digest(&sealed)) != segment.sha256 {
        return Err(FinalizeError::Changed { key: segment.key.clone() });
    }
    Ok(epoch.open.open(&sealed, LONGEST_SEGMENT)?)
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
