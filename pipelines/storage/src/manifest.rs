//! The signed list of all that makes up a recording.

use std::path::{Path, PathBuf};

use events::{RecordingId, TenantId};
use media::WallTime;
use serde::{Deserialize, Serialize};

use crate::journal::Gap;
use crate::store::Bucket;
pub use crate::verify::{Finding, Report, VerifyError, What, verify};

/// What `format` says.
pub const FORMAT: &str = "lectern-manifest-1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub recording: RecordingId,
    pub tenant: TenantId,
    pub generation: u32,
    pub created: WallTime,
    pub complete: bool,
    pub duration_ms: u64,
    pub gaps: Vec<Gap>,
    pub objects: Vec<Object>,
    /// Hex SHA-256 of the manifest before this one.
    pub previous: Option<String>,
    pub software: String,
    pub recipients: Vec<String>,
    pub language: String,
    pub webinar: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    pub bucket: Bucket,
    pub key: String,
    pub size: u64,
    /// Hex, of the ciphertext.
    pub sha256: String,
    pub plain_len: Option<u64>,
    /// Whose key opens it: `0001`, `f01`, `t01`.
    pub writer: String,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    #[error("the manifest is not understood: {0}")]
    Malformed(String),
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not an OpenSSH ed25519 key; make one with `lectern keys new`")]
    NotAKey { path: PathBuf },
    #[error("the signature does not fit the manifest, or its signer is not in the signers file")]
    BadSignature,
}

impl Manifest {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    pub fn parse(_bytes: &[u8]) -> Result<Self, ManifestError> {
        todo!()
    }
}

#[derive(Debug)]
pub struct SigningKey;

impl SigningKey {
    pub fn load(_path: &Path) -> Result<Self, SignError> {
        todo!()
    }
    /// A new key: the private half in OpenSSH's PEM, and the public line.
    #[must_use]
    pub fn generate() -> (String, String) {
        todo!()
    }
}

#[must_use]
pub fn sign(_key: &SigningKey, _manifest: &[u8]) -> String {
    todo!()
}

#[derive(Debug, Clone)]
pub struct Signers;

impl Signers {
    pub fn load(_path: &Path) -> Result<Self, SignError> {
        todo!()
    }
}

pub fn verify_signature(_signers: &Signers, _bytes: &[u8], _signature: &str) -> Result<(), SignError> {
    todo!()
}
