//! The catalogue as the bucket has it: each recording's `state.json`, read whole and changed by compare-and-swap.
//! Who may change it, and to what, is `claim`'s to say; here stands what no writer may do: grow it without end, make
//! it another's, or go back an epoch.
//!
//! # Design
//! Stewards look every second at what is being recorded, and a bucket holds years of what is not. So there is an index of
//! open recordings beside them, `open/v1/{tenant}/{yyyy}/{recording}`: an empty object that is put before the record is,
//! and taken away by whoever finds the record closed, which it then stays. An entry that stays too long costs a look, and
//! none goes too early.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use claim::Record;
use events::{RecordingId, TenantId};
use futures_util::{StreamExt, TryStreamExt, stream};
use media::WallTime;

use crate::path::RecordingPath;
use crate::store::{Bucket, Condition, Store, StoreError};

/// A record has one kilobyte.
const LONGEST: u64 = 64 << 10;

/// An entry of the index whose record is not there belongs to a claim under way, for at most so long.
const CLAIMING: Duration = Duration::from_secs(3600);

/// Records read at once.
const AT_ONCE: usize = 16;

/// A recording, its record, and the record's ETag.
pub type Found = (RecordingPath, Record, String);

/// All recordings, or a tenant's, in order of tenant, year and id. A record that cannot be one is left out with a
/// warning: its recording needs a person.
///
/// # Errors
/// When the store does not answer.
pub async fn list(store: &Store, tenant: Option<&TenantId>) -> Result<Vec<Found>, StoreError> {
    let paths = paths(store, tenant).await?;
    let reading = stream::iter(paths).map(|path| async move {
        match state(store, &path).await {
            Ok((record, etag)) => Ok(Some((path, record, etag))),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(StoreError::BadRecord { key, why }) => {
                tracing::warn!(key, why, "a recording's record cannot be read; it is left as it is");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    });
    reading.buffered(AT_ONCE).try_filter_map(|found| async { Ok(found) }).try_collect().await
}

/// The tenant's recordings that somebody is at work on, or should be.
///
/// # Errors
/// When the store does not answer.
pub async fn open(store: &Store, tenant: &TenantId) -> Result<Vec<Found>, StoreError> {
    let entries = store.list(Bucket::Media, &format!("open/v1/{tenant}/")).await?;
    let now = WallTime::from_system(SystemTime::now());
    let reading = stream::iter(entries).map(|entry| async move {
        let Some(path) = entry.key.strip_prefix("open/").and_then(|key| RecordingPath::of_key(&format!("{key}/")))
        else {
            return Ok(None);
        };
        let closed = match state(store, &path).await {
            Ok((record, etag)) if record.phase.open() => return Ok(Some((path, record, etag))),
            Ok(_) => true,
            Err(StoreError::Missing { .. }) => now.since(entry.modified) > CLAIMING,
            Err(StoreError::BadRecord { key, why }) => {
                tracing::warn!(key, why, "a recording's record cannot be read; it is left as it is");
                false
            }
            Err(other) => return Err(other),
        };
        if closed {
            store.delete(Bucket::Media, &entry.key).await?;
        }
        Ok(None)
    });
    reading.buffered(AT_ONCE).try_filter_map(|found| async { Ok(found) }).try_collect().await
}

/// Every folder of a recording, whether its record can be read or not, in the order of [`list`].
///
/// # Errors
/// When the store does not answer.
pub async fn paths(store: &Store, tenant: Option<&TenantId>) -> Result<Vec<RecordingPath>, StoreError> {
    let mut paths = Vec::new();
    for year in years(store, tenant).await? {
        let names = store.folders(Bucket::Media, &year).await?;
        paths.extend(names.iter().filter_map(|name| RecordingPath::of_key(&format!("{year}{name}/"))));
    }
    Ok(paths)
}

/// One recording by its id alone.
///
/// # Errors
/// When the store does not answer, or the record cannot be one.
pub async fn find(store: &Store, recording: RecordingId) -> Result<Option<Found>, StoreError> {
    // The newest year first: most questions are about recordings of this week.
    for year in years(store, None).await?.into_iter().rev() {
        let Some(path) = RecordingPath::of_key(&format!("{year}{recording}/")) else { continue };
        match state(store, &path).await {
            Ok((record, etag)) => return Ok(Some((path, record, etag))),
            Err(StoreError::Missing { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// `v1/{tenant}/{yyyy}/` for all there are.
async fn years(store: &Store, tenant: Option<&TenantId>) -> Result<Vec<String>, StoreError> {
    let tenants = match tenant {
        Some(tenant) => vec![tenant.to_string()],
        None => store.folders(Bucket::Media, "v1/").await?,
    };
    let mut years = Vec::new();
    for tenant in tenants {
        let tenant = format!("v1/{tenant}/");
        let names = store.folders(Bucket::Media, &tenant).await?;
        years.extend(names.iter().map(|year| format!("{tenant}{year}/")));
    }
    Ok(years)
}

/// The record and its ETag.
///
/// # Errors
/// [`StoreError::Missing`]; [`StoreError::BadRecord`] when it is too long, is not a record, or is another
/// recording's.
pub async fn state(store: &Store, path: &RecordingPath) -> Result<(Record, String), StoreError> {
    let key = path.state();
    let bad = |why: String| StoreError::BadRecord { key: key.clone(), why };
    let (bytes, etag) = match store.get(Bucket::Media, &key, LONGEST).await {
        Err(StoreError::TooLong { limit, .. }) => return Err(bad(format!("it is longer than {limit} bytes"))),
        other => other?,
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|why| bad(why.to_string()))?;
    if !belongs(&record, path) {
        return Err(bad("it is another recording's".into()));
    }
    Ok((record, etag))
}

/// Replaces the record that has `etag`. The new ETag.
///
/// # Errors
/// [`StoreError::Conflict`] when another was faster; [`StoreError::BadRecord`] when the record is another recording's
/// or goes back to an earlier epoch.
pub async fn swap(store: &Store, path: &RecordingPath, record: &Record, etag: &str) -> Result<String, StoreError> {
    let key = path.state();
    let (current, found) = state(store, path).await?;
    if found != etag || etag.is_empty() {
        return Err(StoreError::Conflict { key });
    }
    if record.epoch < current.epoch {
        let why = format!("epoch {} would follow epoch {}", record.epoch, current.epoch);
        return Err(StoreError::BadRecord { key, why });
    }
    write(store, path, record, Condition::Match(etag.into())).await
}

/// Writes the first record. Its ETag.
///
/// # Errors
/// [`StoreError::Exists`] when the recording has a record already.
pub async fn create(store: &Store, path: &RecordingPath, record: &Record) -> Result<String, StoreError> {
    store.put(Bucket::Media, &path.open(), Bytes::new(), Condition::None).await?;
    write(store, path, record, Condition::Absent).await
}

/// A lost answer is settled by [`Store::put`]: `owner` and `changed` make each worker's record its own.
async fn write(
    store: &Store,
    path: &RecordingPath,
    record: &Record,
    condition: Condition,
) -> Result<String, StoreError> {
    let key = path.state();
    let bad = |why: &str| Err(StoreError::BadRecord { key: key.clone(), why: why.into() });
    if !belongs(record, path) {
        return bad("it is another recording's");
    }
    let bytes = match serde_json::to_vec_pretty(record) {
        Ok(bytes) if bytes.len() as u64 <= LONGEST => Bytes::from(bytes),
        Ok(_) => return bad("it is too long"),
        Err(_) => return bad("it cannot be written as JSON"),
    };
    Ok(store.put(Bucket::Media, &key, bytes, condition).await?.etag)
}

fn belongs(record: &Record, path: &RecordingPath) -> bool {
    (record.recording, &record.tenant) == (path.recording, &path.tenant)
}
