//! The two secrets that open: the institution's, and through it a writer's. Neither prints; both are wiped on drop.

use std::io::Read;
use std::path::Path;

use age::x25519;
use zeroize::Zeroizing;

use super::SealError;
use super::envelope::{self, KEY_STANZAS, MEDIA_STANZAS};
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
        let mut text = Zeroizing::new(String::new());
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
        let key = path.key(writer);
        let envelope = match store.get(Bucket::Keys, &key, LONGEST_KEY_FILE).await {
            Err(StoreError::Missing { key }) => return Err(SealError::KeyMissing { key }),
            other => other?.0,
        };
        envelope::check(&envelope, &KEY_STANZAS).map_err(|why| SealError::Malformed { what: key.clone(), why })?;
        let mut text = Zeroizing::new(String::new());
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
