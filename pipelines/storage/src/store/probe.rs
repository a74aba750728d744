//! Proves that a store can carry recordings: both buckets there, and conditions honoured.
//!
//! A store that answers 200 to a condition that does not hold is worse than one that refuses it: two recorders would
//! each believe to hold the same recording (DESIGN D2).

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Bucket, Condition, Store, StoreError};

const WHAT_TO_DO: &str = "use a store with atomic conditional writes, such as AWS S3, a recent Ceph or MinIO, versitygw \
                          from 1.8.0 on, or the one built into `lectern up`";

/// Writers that race for the same object, and how often. Some stores check a condition first and write later, which
/// shows in a race alone, and not in each. Of 50 checks of versitygw 1.7.0 (its pull request 2288) these numbers
/// refuse 49; they cost 4 MB and, on a laptop, most of a second.
const WRITERS: u8 = 16;
const ROUNDS: u8 = 12;

/// Long enough to leave time between a check and its write.
const BODY: usize = 300 * 36;

pub(super) async fn check(store: &Store) -> Result<(), StoreError> {
    for bucket in [Bucket::Media, Bucket::Keys] {
        let key = format!("probe/{}", uuid::Uuid::new_v4());
        let found = probe(store, bucket, &key).await.map_err(|why| advise(store, bucket, why));
        // What was put goes away whatever was found; what was found matters more than that.
        let removed = store.delete(bucket, &key).await;
        found?;
        removed?;
    }
    Ok(())
}

async fn probe(store: &Store, bucket: Bucket, key: &str) -> Result<(), StoreError> {
    let first = race(store, bucket, key, &Condition::Absent, "create").await?;
    let mut current = first.clone();
    for _ in 0..ROUNDS {
        current = race(store, bucket, key, &Condition::Match(current), "replace one version of").await?;
    }
    let second = Bytes::from_static(b"second");
    store.put(bucket, key, second.clone(), Condition::Match(current)).await?;
    match store.put(bucket, key, Bytes::from_static(b"stale"), Condition::Match(first)).await {
        Err(StoreError::Conflict { .. }) => {}
        Ok(_) => return Err(unfit(store, bucket, "overwrites an object although If-Match names an older one")),
        Err(other) => return Err(other),
    }

    let (found, _) = store.get(bucket, key, 64).await?;
    if found != second {
        return Err(unfit(store, bucket, "gives back something else than was put"));
    }
    if store.get_range(bucket, key, 1..4).await? != second.slice(1..4) {
        return Err(unfit(store, bucket, "gives back other bytes than a range asks for"));
    }
    if !store.list(bucket, key).await?.iter().any(|entry| entry.key == key) {
        return Err(unfit(store, bucket, "does not list an object right after it was put"));
    }
    Ok(())
}

/// Several writers at once, of which one may win. The winner's ETag.
async fn race(
    store: &Store,
    bucket: Bucket,
    key: &str,
    condition: &Condition,
    what: &str,
) -> Result<String, StoreError> {
    // Different bytes each, so that no two versions can share an ETag that is made of content.
    let tries = (0..WRITERS).map(|_| {
        let body = Bytes::from(uuid::Uuid::new_v4().to_string().repeat(BODY / 36));
        store.put(bucket, key, body, condition.clone())
    });
    let mut won = Vec::new();
    for outcome in join_all(tries).await {
        match outcome {
            Ok(receipt) => won.push(receipt.etag),
            Err(StoreError::Exists { .. } | StoreError::Conflict { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    match won.as_slice() {
        [etag] if etag.is_empty() => Err(unfit(store, bucket, "gives no ETag")),
        [etag] => Ok(etag.clone()),
        _ => Err(unfit(store, bucket, &format!("let {} of {WRITERS} writers {what} the same object", won.len()))),
    }
}

fn unfit(store: &Store, bucket: Bucket, what: &str) -> StoreError {
    StoreError::Unfit(format!("the store of bucket {} {what}; {WHAT_TO_DO}", store.name(bucket)))
}

/// Says what to do about the two commonest refusals.
fn advise(store: &Store, bucket: Bucket, why: StoreError) -> StoreError {
    let StoreError::Refused { code, .. } = &why else { return why };
    let name = store.name(bucket);
    match code.as_str() {
        "NoSuchBucket" => StoreError::Unfit(format!(
            "the bucket {name} does not exist; create it, or set store.create_buckets = true"
        )),
        "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "403" => StoreError::Unfit(format!(
            "the store refuses our keys for bucket {name} ({code}); check store.access_key_file and \
             store.secret_key_file, and that the key may read, write, list and delete there"
        )),
        "NotImplemented" | "501" => unfit(store, bucket, "does not know conditional writes"),
        _ => why,
    }
}
