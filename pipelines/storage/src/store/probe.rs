//! Proves that a store can carry recordings: both buckets there, and conditions honoured.
//!
//! A store that answers 200 to a condition that does not hold is worse than one that refuses it: two recorders would
//! each believe to hold the same recording (DESIGN D2).

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Bucket, Condition, Store, StoreError};

const WHAT_TO_DO: &str = "use a store with conditional writes, such as AWS S3, a recent Ceph, MinIO, versitygw, or the \
                          one built into `lectern up`";

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
    // Eight at once, of which one may win: a check that is apart from its write shows here.
    let tries = (0..8).map(|n| store.put(bucket, key, Bytes::from(format!("probe {n}")), Condition::Absent));
    let mut won = Vec::new();
    for outcome in join_all(tries).await {
        match outcome {
            Ok(receipt) => won.push(receipt),
            Err(StoreError::Exists { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let [first] = won.as_slice() else {
        return Err(unfit(store, bucket, &format!("let {} of 8 writers create the same object", won.len())));
    };
    if first.etag.is_empty() {
        return Err(unfit(store, bucket, "gives no ETag"));
    }

    let second = Bytes::from_static(b"second");
    let swapped = store.put(bucket, key, second.clone(), Condition::Match(first.etag.clone())).await?;
    if swapped.etag == first.etag {
        return Err(unfit(store, bucket, "gives a changed object the same ETag"));
    }
    match store.put(bucket, key, Bytes::from_static(b"stale"), Condition::Match(first.etag.clone())).await {
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
