//! Ciphertext on disk until the store has it.

use std::path::{Path, PathBuf};

use crate::seal::Sealed;
use crate::store::{Receipt, Store, StoreError};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    #[error("could not {doing} {path}")]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
}

#[derive(Debug, Clone)]
pub struct Spool {
    _dir: PathBuf,
}

/// One durable file, waiting for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    key: String,
    size: u64,
    sha256: [u8; 32],
}

impl Spooled {
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

impl Spool {
    pub fn open(_dir: &Path) -> Result<Self, SpoolError> {
        todo!()
    }
    /// Returns when the bytes are durable. Blocks on the disk.
    pub fn add<T>(&self, _key: &str, _sealed: &Sealed<T>) -> Result<Spooled, SpoolError> {
        todo!()
    }
    /// One try: put, read back, and only then remove the file.
    pub async fn upload(&self, _store: &Store, _item: Spooled) -> Result<Receipt, StoreError> {
        todo!()
    }
    pub fn orphans(&self) -> Result<Vec<Spooled>, SpoolError> {
        todo!()
    }
}
