//! The text's side of the store: sealed in four forms, listed in the next manifest, and what tries left behind swept.

use std::time::SystemTime;

use media::WallTime;
use sha2::{Digest, Sha256};
use storage::manifest::{Manifest, Object, Published};
use storage::tries::{self, Kind};
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
    let attempt = tries::next(store, path, Kind::Text, 1).await?;
    let writer = Kind::Text.writer(attempt);
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
