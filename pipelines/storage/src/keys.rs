//! An institution's first keys, as files.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    #[error("{0} exists already; keys are never overwritten: choose another folder")]
    Exists(PathBuf),
    #[error("could not write {path}")]
    Write { path: PathBuf, source: std::io::Error },
}

/// What `generate` wrote, without the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Institution {
    /// age1…, of `archive.key`: to be taken offline.
    pub archive: String,
    /// age1…, of `pipeline.key`.
    pub pipeline: String,
    /// ssh-ed25519 …, of `signing.key`.
    pub signer: String,
}

impl Institution {
    /// Writes `archive.key`, `pipeline.key`, `signing.key`, `allowed_signers` and `recipients.txt` into `dir`.
    pub fn generate(_dir: &Path, _name: &str) -> Result<Self, KeysError> {
        todo!()
    }
}
