//! What tries of one kind of writer leave beside each other, and who clears it away: each writes under a number of its
//! own, and whoever finds the recording finished removes what its manifest does not name.
//!
//! A try may end after another has published and cleared up, so clearing up goes by what lies there, not by what began;
//! and it is done at each call that ends with a finished recording, so that the last one to end leaves nothing. Once a
//! generation stands, no other try can come to be published in its place. Parts of an upload that nobody ended cannot
//! be seen; the store's own rule forgets them (see [`crate::store::Upload`]).

use crate::manifest::Manifest;
use crate::path::{RecordingPath, Writer};
use crate::store::{Bucket, Store, StoreError};

/// Whose tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The finalizers', under `final/`.
    Film,
    /// The transcribers', under `text/`.
    Text,
}

impl Kind {
    /// The try of this number, as a writer.
    #[must_use]
    pub fn writer(self, number: u32) -> Writer {
        match self {
            Self::Film => Writer::Final(number),
            Self::Text => Writer::Text(number),
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Film => "final/",
            Self::Text => "text/",
        }
    }

    fn is_key(self, path: &RecordingPath, key: &str) -> bool {
        let name = key.strip_prefix(&path.keys_prefix()).and_then(|name| name.strip_suffix(".key.age"));
        match name.map(str::parse) {
            Some(Ok(Writer::Final(_))) => self == Self::Film,
            Some(Ok(Writer::Text(_))) => self == Self::Text,
            _ => false,
        }
    }
}

/// The first number that no try has taken.
///
/// # Errors
/// When the store does not answer.
pub async fn next(store: &Store, path: &RecordingPath, kind: Kind) -> Result<u32, StoreError> {
    let keys = store.list(Bucket::Keys, &path.keys_prefix()).await?;
    let used = (1..).take_while(|n| keys.iter().any(|entry| entry.key == path.key(&kind.writer(*n)))).count();
    Ok(u32::try_from(used).unwrap_or(u32::MAX).saturating_add(1))
}

/// Removes every object and every key of this `kind` that `standing` does not name. What cannot be removed is in
/// nobody's way.
pub async fn sweep(store: &Store, path: &RecordingPath, kind: Kind, standing: &Manifest) {
    let media = format!("{}{}", path.prefix(), kind.folder());
    for (bucket, prefix) in [(Bucket::Media, media), (Bucket::Keys, path.keys_prefix())] {
        let listed = store.list(bucket, &prefix).await.unwrap_or_else(|error| {
            tracing::warn!(prefix, %error, "could not look for what other tries left");
            Vec::new()
        });
        for entry in listed {
            let key = entry.key;
            let ours = bucket == Bucket::Media || kind.is_key(path, &key);
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
