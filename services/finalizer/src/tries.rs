//! What tries write beside each other, and who clears it away: each writes under a number of its own, and whoever finds
//! the recording ready removes what its manifest does not name.
//!
//! A try may end after another has published and cleared up, so clearing up goes by what lies there, not by what began;
//! and it is done at each call that ends with a ready recording, so that the last one to end leaves nothing. Once a
//! generation stands, no other try can come to be published in its place. Parts of an upload that nobody ended cannot be
//! seen; the store's own rule forgets them (see [`storage::store::Upload`]).

use storage::manifest::Manifest;
use storage::{Bucket, RecordingPath, Store, StoreError, Writer};

/// The first number that no try has taken.
pub(crate) async fn next(store: &Store, path: &RecordingPath) -> Result<u32, StoreError> {
    let keys = store.list(Bucket::Keys, &path.keys_prefix()).await?;
    let used = (1..).take_while(|n| keys.iter().any(|entry| entry.key == path.key(&Writer::Final(*n)))).count();
    Ok(u32::try_from(used).unwrap_or(u32::MAX).saturating_add(1))
}

/// Removes every film and every finalizer's key that `standing` does not name. What cannot be removed is in nobody's
/// way.
pub(crate) async fn sweep(store: &Store, path: &RecordingPath, standing: &Manifest) {
    for (bucket, prefix) in [(Bucket::Media, format!("{}final/", path.prefix())), (Bucket::Keys, path.keys_prefix())] {
        let listed = store.list(bucket, &prefix).await.unwrap_or_else(|error| {
            tracing::warn!(prefix, %error, "could not look for what other tries left");
            Vec::new()
        });
        for entry in listed {
            let key = entry.key;
            let ours = bucket == Bucket::Media || is_finalizers(path, &key);
            if !ours || standing.objects.iter().any(|object| object.bucket == bucket && object.key == key) {
                continue;
            }
            match store.delete(bucket, &key).await {
                Ok(()) => tracing::info!(key, "removed what another try left"),
                Err(error) => tracing::warn!(key, %error, "could not remove what another try left"),
            }
        }
    }
}

fn is_finalizers(path: &RecordingPath, key: &str) -> bool {
    let name = key.strip_prefix(&path.keys_prefix()).and_then(|name| name.strip_suffix(".key.age"));
    matches!(name.map(str::parse), Some(Ok(Writer::Final(_))))
}
