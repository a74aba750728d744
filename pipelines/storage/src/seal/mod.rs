//! "age envelope 1" (DESIGN D4).

mod reader;

use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

pub use reader::SealedReader;

use crate::path::{RecordingPath, Writer};
use crate::store::{Store, StoreError};

/// `[seal]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub recipients: Vec<String>,
    pub pipeline_identity_file: Option<PathBuf>,
    pub signing_key_file: Option<PathBuf>,
    pub signers_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    #[error("{0}")]
    Recipients(String),
    #[error("could not read the key file {path}")]
    KeyFile { path: PathBuf, source: std::io::Error },
    #[error("{0} is not an age identity (AGE-SECRET-KEY-1…); make one with `lectern keys new`")]
    NotAnIdentity(PathBuf),
    #[error("the key {key} is not sealed to this identity")]
    WrongIdentity { key: String },
    #[error("{what} is not an age file of ours: {why}")]
    Malformed { what: String, why: String },
    #[error("{what} was altered or cut short")]
    Tampered { what: String },
    #[error("{what} holds more than {limit} bytes")]
    TooLong { what: String, limit: u64 },
    #[error("the key of this recording could not be stored or fetched")]
    Store(#[from] StoreError),
}

/// Who may open keys: at least two.
#[derive(Debug, Clone)]
pub struct Recipients;

impl Recipients {
    pub fn parse(_keys: &[String]) -> Result<Self, SealError> {
        todo!()
    }
    /// Their public keys, as in the manifest.
    #[must_use]
    pub fn public(&self) -> Vec<String> {
        todo!()
    }
}

/// The public half of a writer's key.
#[derive(Debug, Clone)]
pub struct SealKey;

/// Ciphertext of a `T`, complete: it comes from finishing alone.
#[derive(Debug, Clone)]
pub struct Sealed<T> {
    bytes: Bytes,
    plain_len: u64,
    sha256: [u8; 32],
    of: PhantomData<fn() -> T>,
}

impl<T> Sealed<T> {
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// Of the ciphertext.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }
    /// Of the ciphertext.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

impl SealKey {
    pub async fn create(
        _store: &Store,
        _path: &RecordingPath,
        _writer: &Writer,
        _to: &Recipients,
    ) -> Result<Self, SealError> {
        todo!()
    }
    #[must_use]
    pub fn seal<T: AsRef<[u8]>>(&self, _plain: T) -> Sealed<T> {
        todo!()
    }
    /// Seals a stream. Only [`SealWriter::finish`] gives `to` back.
    pub fn writer<W: Write>(&self, _to: W) -> std::io::Result<SealWriter<W>> {
        todo!()
    }
}

#[derive(Debug)]
pub struct SealWriter<W> {
    _to: W,
}

impl<W: Write> SealWriter<W> {
    /// The sink, and how many bytes of plaintext went in.
    pub fn finish(self) -> std::io::Result<(W, u64)> {
        todo!()
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, _plain: &[u8]) -> std::io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> std::io::Result<()> {
        todo!()
    }
}

/// The pipeline's secret. Wiped on drop, never printed.
#[derive(Clone)]
pub struct Identity;

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    pub fn load(_path: &Path) -> Result<Self, SealError> {
        todo!()
    }
}

/// A writer's secret, unwrapped.
#[derive(Clone)]
pub struct OpenKey;

impl std::fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenKey")
    }
}

impl OpenKey {
    pub async fn fetch(
        _store: &Store,
        _path: &RecordingPath,
        _writer: &Writer,
        _identity: &Identity,
    ) -> Result<Self, SealError> {
        todo!()
    }
    pub fn open(&self, _sealed: &[u8], _limit: u64) -> Result<Vec<u8>, SealError> {
        todo!()
    }
}
