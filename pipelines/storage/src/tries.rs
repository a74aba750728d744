//! What tries of one kind of writer leave beside each other, and who clears it away: each writes under a number of its
//! own, and whoever finds the recording finished removes what its manifest does not name.
//!
//! A try may end after another has published and cleared up, so clearing up goes by what lies there, not by what began;
//! and it is done at each call that ends with a finished recording, so that the last one to end leaves nothing. Once a
//! generation stands, no other try can come to be published in its place, so that nothing is cleared away that could be:
//! a film is made for one generation, which its number tells, and what is made for a later one is left alone. Parts of an upload that nobody ended cannot
//! be seen; the store's own rule forgets them (see [`crate::store::Upload`]).

use crate::manifest::Manifest;
use crate::path::{RecordingPath, Writer};
use crate::store::{Bucket, Store, StoreError};

/// Tries for one generation. More than ever meet, and few enough for thousands of generations.
const ROOM: u32 = 1000;

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

    /// Whether the try of this number may still come to be published when `generation` stands. A text may be of any
    /// generation: who publishes it finds that out.
    fn may_come(self, number: u32, generation: u32) -> bool {
        self == Self::Film && number / ROOM >= generation
    }

    /// The number of the try that has this object or key.
    fn number(self, path: &RecordingPath, bucket: Bucket, key: &str) -> Option<u32> {
        match bucket {
            Bucket::Media => {
                let rest = key.strip_prefix(&path.prefix())?.strip_prefix(self.folder())?;
                rest.split('/').next()?.parse().ok()
            }
            Bucket::Keys => {
                let name = key.strip_prefix(&path.keys_prefix())?.strip_suffix(".key.age")?;
                match name.parse().ok()? {
                    Writer::Final(number) | Writer::Text(number) => Some(number),
                    Writer::Epoch(_) => None,
                }
            }
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

/// The first number that no try for `generation` has taken.
///
/// # Errors
/// When the store does not answer.
pub async fn next(store: &Store, path: &RecordingPath, kind: Kind, generation: u32) -> Result<u32, StoreError> {
    let keys = store.list(Bucket::Keys, &path.keys_prefix()).await?;
    let first = generation.saturating_sub(1).saturating_mul(ROOM).saturating_add(1);
    let free = |n: &u32| !keys.iter().any(|entry| entry.key == path.key(&kind.writer(*n)));
    Ok((first..).find(free).unwrap_or(u32::MAX))
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
            let number = kind.number(path, bucket, &key);
            let ours = ours && !number.is_some_and(|number| kind.may_come(number, standing.generation));
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
