//! What was begun, and what became of it, apart from the recordings themselves: so that one whose objects and record are
//! all gone is still missed.
//!
//! Per epoch two entries in the bucket of keys: `started` before its first frame is captured, `stored` when it is known
//! what became of it: a manifest accounts for it or names it as lost, or its recorder ended it in order and has captured
//! nothing. Each is written once and never changed. Holds ids and times, no personal data.
//!
//! # Design
//! Entries are objects, not lines of a file, so that any number of workers write them without meeting. They lie in the
//! bucket of keys since that one has the versions and holds. They are not signed yet: what they tell is "look here", not
//! a proof.

use std::collections::BTreeSet;

use bytes::Bytes;
use events::{RecordingId, TenantId};
use futures_util::{StreamExt, TryStreamExt, stream};
use media::WallTime;
use serde::{Deserialize, Serialize};

use crate::path::RecordingPath;
use crate::store::{Bucket, Condition, Store, StoreError};

/// An entry has a hundred bytes.
const LONGEST: u64 = 4 << 10;

/// Entries read at once.
const AT_ONCE: usize = 16;

const ROOT: &str = "ledger/v1/";

/// An epoch that started, by the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: RecordingPath,
    pub epoch: u32,
    /// None when the entry itself cannot be read: somebody wrote there.
    pub at: Option<WallTime>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Started {
    recording: RecordingId,
    epoch: u32,
    at: WallTime,
}

/// What is known of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    pub epoch: u32,
    pub at: WallTime,
    /// The manifest that accounts for it; 0 when nothing was captured, and so there is none.
    pub generation: u32,
    pub segments: u64,
    /// Segments that were made and are named as missing; 1 for an epoch of which nothing was stored, whatever it made.
    pub gaps: u64,
}

impl Stored {
    /// What a recorder says of an epoch that has captured nothing.
    #[must_use]
    pub fn nothing(epoch: u32, at: WallTime) -> Self {
        Self { epoch, at, generation: 0, segments: 0, gaps: 0 }
    }
}

/// Writes that `epoch` is about to capture. May be repeated; the first entry stands.
///
/// # Errors
/// When the store does not answer.
pub async fn started(store: &Store, path: &RecordingPath, epoch: u32, at: WallTime) -> Result<(), StoreError> {
    let entry = Started { recording: path.recording, epoch, at };
    write(store, key(path, epoch, "started"), &entry).await
}

/// Writes what is known of an epoch. May be repeated; the first entry stands.
///
/// # Errors
/// When the store does not answer.
pub async fn stored(store: &Store, path: &RecordingPath, entry: &Stored) -> Result<(), StoreError> {
    write(store, key(path, entry.epoch, "stored"), entry).await
}

/// Every epoch of every recording, or of a tenant's, that started and was never stored. In order of tenant, year,
/// recording and epoch.
///
/// # Errors
/// When the store does not answer.
pub async fn open(store: &Store, tenant: Option<&TenantId>) -> Result<Vec<Entry>, StoreError> {
    let prefix = tenant.map_or_else(|| ROOT.to_owned(), |tenant| format!("{ROOT}{tenant}/"));
    unstored(store, &prefix).await
}

/// As [`open`], for one recording.
///
/// # Errors
/// When the store does not answer.
pub async fn open_of(store: &Store, path: &RecordingPath) -> Result<Vec<Entry>, StoreError> {
    unstored(store, &folder(path)).await
}

/// The epochs of one recording that began to capture, and of which there should be something, without those that are
/// `there`. Nobody has said that they captured nothing; a manifest may have named them as lost.
///
/// # Errors
/// When the store does not answer.
pub async fn lost_of(store: &Store, path: &RecordingPath, there: &BTreeSet<u32>) -> Result<Vec<Entry>, StoreError> {
    let keys = store.list(Bucket::Keys, &folder(path)).await?;
    let begun = keys.iter().filter_map(|entry| parse(&entry.key)).map(|(_, epoch)| epoch);
    let missing: Vec<u32> = begun.filter(|epoch| !there.contains(epoch)).collect();
    let reading = stream::iter(missing).map(|epoch| async move {
        let lost = !captured_nothing(store, path, epoch).await?;
        Ok(if lost { Some(Entry { path: path.clone(), epoch, at: at(store, path, epoch).await? }) } else { None })
    });
    reading.buffered(AT_ONCE).try_filter_map(|entry| async move { Ok(entry) }).try_collect().await
}

/// Whether that is on record. What cannot be read says nothing.
async fn captured_nothing(store: &Store, path: &RecordingPath, epoch: u32) -> Result<bool, StoreError> {
    match store.get(Bucket::Keys, &key(path, epoch, "stored"), LONGEST).await {
        Ok((bytes, _)) => {
            let stored: Option<Stored> = serde_json::from_slice(&bytes).ok();
            Ok(stored.is_some_and(|stored| (stored.epoch, stored.segments, stored.gaps) == (epoch, 0, 0)))
        }
        Err(StoreError::Missing { .. } | StoreError::TooLong { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

async fn unstored(store: &Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    let keys: Vec<String> = store.list(Bucket::Keys, prefix).await?.into_iter().map(|entry| entry.key).collect();
    let stored = |key: &str| keys.binary_search(&key.replace(".started.json", ".stored.json")).is_ok();
    let open: Vec<(RecordingPath, u32)> = keys.iter().filter(|key| !stored(key)).filter_map(|key| parse(key)).collect();
    let reading = stream::iter(open).map(|(path, epoch)| async move {
        let at = at(store, &path, epoch).await?;
        Ok(Entry { path, epoch, at })
    });
    reading.buffered(AT_ONCE).try_collect().await
}

async fn at(store: &Store, path: &RecordingPath, epoch: u32) -> Result<Option<WallTime>, StoreError> {
    match store.get(Bucket::Keys, &key(path, epoch, "started"), LONGEST).await {
        Ok((bytes, _)) => {
            let entry: Option<Started> = serde_json::from_slice(&bytes).ok();
            Ok(entry.filter(|entry| (entry.recording, entry.epoch) == (path.recording, epoch)).map(|entry| entry.at))
        }
        Err(StoreError::Missing { .. } | StoreError::TooLong { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

async fn write(store: &Store, key: String, entry: &impl Serialize) -> Result<(), StoreError> {
    let bad = |why: serde_json::Error| StoreError::BadRecord { key: key.clone(), why: why.to_string() };
    let bytes = Bytes::from(serde_json::to_vec(entry).map_err(bad)?);
    match store.put(Bucket::Keys, &key, bytes, Condition::Absent).await {
        Ok(_) | Err(StoreError::Exists { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

fn folder(path: &RecordingPath) -> String {
    format!("{ROOT}{}/{:04}/{}/", path.tenant, path.year, path.recording)
}

fn key(path: &RecordingPath, epoch: u32, what: &str) -> String {
    format!("{}{epoch:04}.{what}.json", folder(path))
}

/// Whose entry of a start this key is; none for any other key.
fn parse(key_: &str) -> Option<(RecordingPath, u32)> {
    let path = RecordingPath::of_key(key_.strip_prefix("ledger/")?)?;
    let epoch = key_.strip_prefix(&folder(&path))?.strip_suffix(".started.json")?.parse().ok()?;
    (key(&path, epoch, "started") == key_).then_some((path, epoch))
}
