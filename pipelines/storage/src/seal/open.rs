//! The two secrets that open: the institution's, and through it a writer's. Neither prints; both are wiped on drop.

use std::io::Read;
use std::path::Path;

use age::x25519;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::SealError;
use super::envelope::{self, KEY_STANZAS, MEDIA_STANZAS};
use crate::manifest::{Manifest, Object};
use crate::path::{RecordingPath, Writer};
use crate::store::{Bucket, Store, StoreError};

/// A key file for people is a few lines.
const LONGEST_KEY_FILE: u64 = 64 << 10;

/// The institution's secret (`pipeline.key`, or `archive.key` when that is at hand).
#[derive(Clone)]
pub struct Identity(x25519::Identity);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Reads an identity file as `age-keygen` writes it: comments, and one `AGE-SECRET-KEY-1…`.
    ///
    /// # Errors
    /// When it cannot be read, or holds no such line or several.
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let io = |source| SealError::KeyFile { path: path.into(), source };
        // A text that has to grow leaves what it was behind.
        let mut text = Zeroizing::new(String::with_capacity(LONGEST_KEY_FILE as usize + 1));
        let file = std::fs::File::open(path).map_err(io)?;
        file.take(LONGEST_KEY_FILE).read_to_string(&mut text).map_err(io)?;
        only_identity(&text).map(Self).ok_or_else(|| SealError::NotAnIdentity(path.into()))
    }

    /// The `age1…` that this opens for.
    #[must_use]
    pub fn public(&self) -> String {
        self.0.to_public().to_string()
    }
}

fn only_identity(text: &str) -> Option<x25519::Identity> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let identity = lines.next()?.parse().ok()?;
    lines.next().is_none().then_some(identity)
}

/// A writer's secret, unwrapped: opens what that writer sealed.
#[derive(Clone)]
pub struct OpenKey(x25519::Identity);

impl std::fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenKey")
    }
}

impl OpenKey {
    /// Fetches the key of `writer` and opens it.
    ///
    /// # Errors
    /// [`SealError::KeyMissing`] (unreadable, which is not corrupt), [`SealError::WrongIdentity`].
    pub async fn fetch(
        store: &Store,
        path: &RecordingPath,
        writer: &Writer,
        identity: &Identity,
    ) -> Result<Self, SealError> {
        let (key, envelope) = Self::envelope(store, path, writer).await?;
        Self::unwrap(key, &envelope, identity)
    }

    /// The key of `object`, if it is the one that `manifest` vouches for. What that key opens was sealed by whoever held
    /// it, so nothing can be slipped in under a listed object's name.
    ///
    /// # Errors
    /// As [`OpenKey::fetch`]; [`SealError::Malformed`] when the manifest lists no such key, [`SealError::Tampered`] when
    /// it lists another.
    pub async fn listed(
        store: &Store,
        path: &RecordingPath,
        manifest: &Manifest,
        object: &Object,
        identity: &Identity,
    ) -> Result<Self, SealError> {
        let why = "the manifest lists no key that could open it";
        let unlisted = || SealError::Malformed { what: object.key.clone(), why };
        let writer: Writer = object.writer.parse().map_err(|_| unlisted())?;
        let key = path.key(&writer);
        let listed = manifest.objects.iter().find(|listed| listed.bucket == Bucket::Keys && listed.key == key);
        let listed = listed.ok_or_else(unlisted)?;
        let (key, envelope) = Self::envelope(store, path, &writer).await?;
        if hex::encode(Sha256::digest(&envelope)) != listed.sha256 {
            return Err(SealError::Tampered { what: key });
        }
        Self::unwrap(key, &envelope, identity)
    }

    async fn envelope(store: &Store, path: &RecordingPath, writer: &Writer) -> Result<(String, Bytes), SealError> {
        let key = path.key(writer);
        match store.get(Bucket::Keys, &key, LONGEST_KEY_FILE).await {
            Err(StoreError::Missing { key }) => Err(SealError::KeyMissing { key }),
            other => Ok((key, other?.0)),
        }
    }

    fn unwrap(key: String, envelope: &Bytes, identity: &Identity) -> Result<Self, SealError> {
        envelope::check(envelope, &KEY_STANZAS).map_err(|why| SealError::Malformed { what: key.clone(), why })?;
        let mut text = Zeroizing::new(String::with_capacity(envelope.len()));
        let read =
            envelope::decrypt(envelope.as_ref(), &identity.0, &key)?.take(LONGEST_KEY_FILE).read_to_string(&mut text);
        read.map_err(|_| SealError::Tampered { what: key.clone() })?;
        only_identity(&text).map(Self).ok_or(SealError::Malformed { what: key, why: "it holds no age identity" })
    }

    /// Opens a whole object in memory: at most `limit` bytes of plaintext.
    ///
    /// # Errors
    /// [`SealError::Malformed`], [`SealError::WrongIdentity`], [`SealError::Tampered`], [`SealError::TooLong`]. Never
    /// part of the plaintext.
    pub fn open(&self, sealed: &[u8], limit: u64) -> Result<Vec<u8>, SealError> {
        let what = "this object";
        envelope::check(sealed, &MEDIA_STANZAS).map_err(|why| SealError::Malformed { what: what.into(), why })?;
        let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len().min(usize::try_from(limit).unwrap_or(0))));
        let mut stream = envelope::decrypt(sealed, &self.0, what)?.take(limit.saturating_add(1));
        stream.read_to_end(&mut plain).map_err(|_| SealError::Tampered { what: what.into() })?;
        if plain.len() as u64 > limit {
            return Err(SealError::TooLong { what: what.into(), limit });
        }
        Ok(std::mem::take(&mut plain))
    }

    pub(super) fn identity(&self) -> &x25519::Identity {
        &self.0
    }
}
