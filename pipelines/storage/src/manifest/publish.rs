//! Puts a generation's manifest and its signature, of which one writer can be the author.
//!
//! A generation is published when a manifest and a valid signature of it stand together. A writer that died between
//! the two leaves an unsigned manifest, which the next one replaces; a signed one is never replaced.
//!
//! # Design
//! The signature's cell decides. A writer that is only slow may sign its manifest at any later time, also between another's
//! look and its replacing the manifest. So whoever replaces a manifest reads the signature first and the manifest then,
//! puts a fence into the signature's place on the condition that nothing has changed there since, replaces exactly the
//! manifest that it read, and signs over its own fence; any refusal ends the try. Whoever finds something else than its
//! own signature beside its own manifest gives way. The simulator found what happens without, and with less.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::signature::{SignError, Signers, SigningKey, fits, sign, verify_signature};
use super::{LONGEST, Manifest, ManifestError};
use crate::path::RecordingPath;
use crate::store::{Bucket, Condition, Store, StoreError};

/// Between a manifest and its signature lies one put. A manifest that is unsigned for longer has lost its writer.
const SIGNING: Duration = Duration::from_secs(3);

/// An SSH signature has 300 bytes.
const LONGEST_SIGNATURE: u64 = 16 << 10;

/// The first puts the signature, the second sees it. More are wanted only while others sign at the same moment.
const SIGNATURE_TRIES: usize = 8;

/// A generation was not published by this call, or cannot be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Read what stands there and publish the generation after it, if anything is left to add.
    #[error("generation {generation} was published by another writer")]
    Taken { generation: u32 },
    /// To be taken as tampering.
    #[error("the manifest of generation {generation} is signed, and yet none of ours")]
    Malformed { generation: u32, source: ManifestError },
    #[error("the manifest of generation {generation} does not prove itself; restore it, or see who could write there")]
    Unproven { generation: u32, source: SignError },
    #[error("could not reach the recording's manifest")]
    Store(#[from] StoreError),
}

impl PublishError {
    /// Whether the same call may go well later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Store(why) if why.is_passing())
    }
}

/// A published manifest, proven by its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub manifest: Manifest,
    /// Hex SHA-256 of its bytes: what the next generation calls `previous`.
    pub sha256: String,
}

/// The manifest of `generation`, if it is there.
///
/// # Errors
/// [`PublishError::Unproven`] when no one of `signers` signed it, [`PublishError::Malformed`] when it is a manifest of
/// another recording or generation.
pub async fn published(
    store: &Store,
    path: &RecordingPath,
    generation: u32,
    signers: &Signers,
) -> Result<Option<Published>, PublishError> {
    let Some((bytes, _)) = find(store, &path.manifest(generation), LONGEST).await? else { return Ok(None) };
    let signature = find(store, &path.signature(generation), LONGEST_SIGNATURE).await?;
    let signature = signature.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    verify_signature(signers, &bytes, &signature).map_err(|source| PublishError::Unproven { generation, source })?;
    let malformed = |source| PublishError::Malformed { generation, source };
    let manifest = Manifest::parse(&bytes).map_err(malformed)?;
    if !manifest.is_of(path, generation) {
        return Err(malformed(ManifestError::Says("that it is of another recording or generation")));
    }
    Ok(Some(Published { manifest, sha256: hex::encode(Sha256::digest(&bytes)) }))
}

/// Publishes `manifest` as its generation. When this returns, it stands there, signed.
///
/// # Errors
/// [`PublishError::Taken`] when another writer's does. After any other error it may stand there or not.
pub async fn publish(
    store: &Store,
    path: &RecordingPath,
    manifest: &Manifest,
    key: &SigningKey,
) -> Result<(), PublishError> {
    let generation = manifest.generation;
    let (manifest_key, signature_key) = (path.manifest(generation), path.signature(generation));
    let bytes = Bytes::from(manifest.to_bytes());
    let signature = Bytes::from(sign(key, &bytes));
    let mine = key.signers();
    let proves = |manifest: &[u8], signature: &[u8]| {
        verify_signature(&mine, manifest, &String::from_utf8_lossy(signature)).is_ok()
    };

    if !create(store, &manifest_key, &bytes).await? {
        tokio::time::sleep(SIGNING).await;
        let signed = find(store, &signature_key, LONGEST_SIGNATURE).await?;
        let Some((found, etag)) = find(store, &manifest_key, LONGEST).await? else {
            return Err(PublishError::Taken { generation });
        };
        if found != bytes {
            // By any key: the signing key may have been changed since.
            let fitting = |(signature, _): &(Bytes, String)| fits(&found, &String::from_utf8_lossy(signature));
            if signed.as_ref().is_some_and(fitting) {
                return Err(PublishError::Taken { generation });
            }
            let unchanged = signed.map_or(Condition::Absent, |(_, etag)| Condition::Match(etag));
            let fence = Bytes::from(format!("fence of {}\n", hex::encode(Sha256::digest(&bytes))));
            let fenced = put(store, &signature_key, &fence, unchanged, generation).await?;
            put(store, &manifest_key, &bytes, Condition::Match(etag), generation).await?;
            put(store, &signature_key, &signature, Condition::Match(fenced), generation).await?;
            return Ok(());
        }
    }
    for _ in 0..SIGNATURE_TRIES {
        // The signature is read before the manifest: whoever finds its own manifest then, and replaces the signature
        // it read, cannot overwrite one that was put for a later manifest.
        let standing = find(store, &signature_key, LONGEST_SIGNATURE).await?;
        match find(store, &manifest_key, LONGEST).await? {
            Some((found, _)) if found == bytes => {}
            _ => return Err(PublishError::Taken { generation }),
        }
        let condition = match standing {
            Some((found, _)) if proves(&bytes, &found) => return Ok(()),
            // Another is about to replace our manifest, or has died of it.
            Some(_) => return Err(PublishError::Taken { generation }),
            None => Condition::Absent,
        };
        match store.put(Bucket::Media, &signature_key, signature.clone(), condition).await {
            // Looked at again either way: what counts is what stands there in the end.
            Ok(_) | Err(StoreError::Exists { .. } | StoreError::Conflict { .. } | StoreError::Missing { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(PublishError::Taken { generation })
}

async fn create(store: &Store, key: &str, body: &Bytes) -> Result<bool, StoreError> {
    match store.put(Bucket::Media, key, body.clone(), Condition::Absent).await {
        Ok(_) => Ok(true),
        Err(StoreError::Exists { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// The new ETag.
async fn put(
    store: &Store,
    key: &str,
    body: &Bytes,
    condition: Condition,
    generation: u32,
) -> Result<String, PublishError> {
    match store.put(Bucket::Media, key, body.clone(), condition).await {
        Ok(receipt) => Ok(receipt.etag),
        Err(StoreError::Exists { .. } | StoreError::Conflict { .. } | StoreError::Missing { .. }) => {
            Err(PublishError::Taken { generation })
        }
        Err(other) => Err(other.into()),
    }
}

async fn find(store: &Store, key: &str, limit: u64) -> Result<Option<(Bytes, String)>, StoreError> {
    match store.get(Bucket::Media, key, limit).await {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}
