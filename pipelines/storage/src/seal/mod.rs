//! "age envelope 1" (DESIGN D4): each writer has an age key of its own, stored sealed to the institution; what it
//! writes are plain age files to that key. `age -d` twice opens everything.
//!
//! Sealing needs no secret: a recorder that is stolen cannot open what it has stored. age does not say who wrote a
//! file, so verify the signed manifest before trusting what opens.
//!
//! # Design
//! age's stream must be finished or it cannot be opened, and dropping it says nothing. Here the ciphertext comes out
//! of finishing alone: [`Sealed`] cannot be built otherwise, and [`SealWriter::finish`] is the only way back to the
//! sink.

mod envelope;
mod key;
mod open;
mod reader;
mod recipients;

use std::path::PathBuf;

use serde::Deserialize;

pub use key::{SealKey, SealWriter, Sealed};
pub use open::{Identity, OpenKey};
pub use reader::SealedReader;
pub use recipients::Recipients;

use crate::store::StoreError;

/// `[seal]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Public keys (`age1…`) that every writer's key is sealed to: at least two, one of them kept offline.
    pub recipients: Vec<String>,
    /// The online secret. Only the finalizer, the transcriber and the portal have it.
    pub pipeline_identity_file: Option<PathBuf>,
    /// OpenSSH ed25519 private key. Only the finalizer has it.
    pub signing_key_file: Option<PathBuf>,
    /// OpenSSH `allowed_signers`: whose manifests are believed.
    pub signers_file: Option<PathBuf>,
}

/// Sealing or opening failed. No message repeats a key or plaintext.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    #[error("{0}")]
    Recipients(String),
    #[error("could not read the key file {path}")]
    KeyFile { path: PathBuf, source: std::io::Error },
    #[error("{0} holds no age identity (AGE-SECRET-KEY-1…); make one with `lectern keys new`")]
    NotAnIdentity(PathBuf),
    /// The key file is there, and sealed to others.
    #[error("{key} is not sealed to this identity; use the archive key, or the pipeline key of that time")]
    WrongIdentity { key: String },
    /// The media may be there, and cannot be read without it. Never a reason to delete anything.
    #[error("{key} is missing, so what it opens is unreadable; restore it from a backup of the keys bucket")]
    KeyMissing { key: String },
    #[error("{what} is not an age file of ours: {why}")]
    Malformed { what: String, why: &'static str },
    #[error("{what} was altered or cut short, or belongs to another key")]
    Tampered { what: String },
    #[error("{what} holds more than {limit} bytes")]
    TooLong { what: String, limit: u64 },
    #[error("opening {what} was broken off")]
    Interrupted { what: String },
    #[error("could not reach what is sealed")]
    Store(#[from] StoreError),
}

impl SealError {
    /// Whether the same call may go well later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Store(why) if why.is_passing())
    }
}
