//! The text's side of the store: sealed in four forms, listed in the next manifest, and what tries left behind swept.

use std::time::SystemTime;

use media::WallTime;
use sha2::{Digest, Sha256};
use storage::manifest::{Manifest, Object, Published};
use storage::{Bucket, Recipients, RecordingPath, SealKey, Store, StoreError, Writer};
use transcript::Transcript;

use crate::error::TranscribeError;

const LONGEST_KEY: u64 = 64 << 10;

/// Seals the text in its four forms under a key of its own. The five objects.
pub(crate) async fn put(
    store: &Store,
    path: &RecordingPath,
    recipients: &Recipients,
    transcript: &Transcript,
) -> Result<Vec<Object>, TranscribeError> {
    let attempt = next_attempt(store, path).await?;
    let writer = Writer::Text(attempt);
    let seal = SealKey::create(store, path, &writer, recipients).await?;
    let forms =
        [("json", transcript.json()), ("vtt", transcript.vtt()), ("srt", transcript.srt()), ("txt", transcript.txt())];
    let mut objects = Vec::new();
    for (extension, text) in forms {
        let key = path.transcript(attempt, &transcript.language, extension);
        let sealed = seal.seal(text.into_bytes());
        let receipt = sealed.put(store, &key).await?;
        objects.push(Object {
            bucket: Bucket::Media,
            key,
            size: receipt.size,
            sha256: receipt.sha256_hex(),
            plain_len: Some(sealed.plain_len()),
            writer: writer.to_string(),
        });
    }
    objects.push(key_object(store, path, &writer).await?);
    Ok(objects)
}

/// A writer's key as a manifest lists it.
pub(crate) async fn key_object(store: &Store, path: &RecordingPath, writer: &Writer) -> Result<Object, StoreError> {
    let key = path.key(writer);
    let (envelope, _) = store.get(Bucket::Keys, &key, LONGEST_KEY).await?;
    Ok(Object {
        bucket: Bucket::Keys,
        key,
        size: envelope.len() as u64,
        sha256: hex::encode(Sha256::digest(&envelope)),
        plain_len: None,
        writer: writer.to_string(),
    })
}

/// Each try has a key and a folder of its own, so that it never meets what another try left.
async fn next_attempt(store: &Store, path: &RecordingPath) -> Result<u32, StoreError> {
    let keys = store.list(Bucket::Keys, &path.keys_prefix()).await?;
    let used = (1..).take_while(|n| keys.iter().any(|entry| entry.key == path.key(&Writer::Text(*n)))).count();
    Ok(u32::try_from(used).unwrap_or(u32::MAX).saturating_add(1))
}

/// Removes every text and every transcriber's key that `standing` does not name. A text of another try may land later
/// still; that try finds its generation taken, and sweeps when it ends. What cannot be removed is in nobody's way.
pub(crate) async fn sweep(store: &Store, path: &RecordingPath, standing: &Manifest) {
    for (bucket, prefix) in [(Bucket::Media, format!("{}text/", path.prefix())), (Bucket::Keys, path.keys_prefix())] {
        let listed = store.list(bucket, &prefix).await.unwrap_or_else(|error| {
            tracing::warn!(prefix, %error, "could not look for what other tries left");
            Vec::new()
        });
        for entry in listed {
            let key = entry.key;
            let ours = bucket == Bucket::Media || is_transcribers(path, &key);
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

fn is_transcribers(path: &RecordingPath, key: &str) -> bool {
    let name = key.strip_prefix(&path.keys_prefix()).and_then(|name| name.strip_suffix(".key.age"));
    matches!(name.map(str::parse), Some(Ok(Writer::Text(_))))
}

/// The next generation: what there was, and the text.
pub(crate) fn next(newest: &Published, text: Vec<Object>, recipients: &Recipients) -> Manifest {
    let mut manifest = newest.manifest.clone();
    manifest.objects.extend(text);
    manifest.objects.sort_by(|a, b| (a.bucket, &a.key).cmp(&(b.bucket, &b.key)));
    manifest.generation += 1;
    manifest.created = WallTime::from_system(SystemTime::now());
    manifest.previous = Some(newest.sha256.clone());
    manifest.software = concat!("lectern transcriber ", env!("CARGO_PKG_VERSION")).into();
    manifest.recipients = recipients.public();
    manifest
}
