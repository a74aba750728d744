//! Reads a recording back and names what is wrong with it. Needs no secret key.

use crate::manifest::{Manifest, Signers};
use crate::path::RecordingPath;
use crate::store::{Bucket, Store, StoreError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub manifest: Manifest,
    /// Empty when all is as it was signed.
    pub findings: Vec<Finding>,
    pub objects: usize,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub bucket: Bucket,
    pub key: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Missing,
    Altered {
        expected: String,
        found: String,
    },
    Resized {
        expected: u64,
        found: u64,
    },
    /// Holds what the manifest says of another object.
    Swapped {
        with: String,
    },
    /// In the recording's folder, and not in the manifest.
    Extra,
    BadSignature,
    /// This generation does not name the one before it by its hash.
    BrokenChain,
    /// A manifest that cannot be read or names objects outside its recording.
    BadManifest(String),
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    #[error("the recording has no manifest: it was not finalized, or the manifest was removed")]
    NoManifest,
    #[error("no manifest of the recording can be read: {0}")]
    BadManifest(String),
    #[error("could not read the recording")]
    Store(#[from] StoreError),
}

pub async fn verify(_store: &Store, _path: &RecordingPath, _signers: &Signers) -> Result<Report, VerifyError> {
    todo!()
}
