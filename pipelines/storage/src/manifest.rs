//! The signed list of all that makes up a recording: written last, and what every proof begins with.
//!
//! Signed as SSHSIG (OpenSSH PROTOCOL.sshsig) with Ed25519, so that `ssh-keygen -Y verify` and `sha256sum` are all an
//! archivist needs in twenty years. Holds ids, sizes and hashes of ciphertext; no personal data.

mod account;
mod publish;
mod signature;

use std::collections::HashSet;

use events::{RecordingId, TenantId};
use media::WallTime;
use serde::{Deserialize, Serialize};

pub use account::{Account, Missing, Sum};
pub use publish::{PublishError, Published, publish, published};
pub use signature::{NAMESPACE, SignError, Signers, SigningKey, sign, verify_signature};

use crate::journal::Gap;
use crate::path::RecordingPath;
use crate::store::Bucket;
pub use crate::verify::{Finding, Report, VerifyError, What, verify};

/// What `format` says.
pub const FORMAT: &str = "lectern-manifest-1";

/// A day of segments in ten renditions has a third of this.
pub(crate) const LONGEST: u64 = 256 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    pub recording: RecordingId,
    pub tenant: TenantId,
    /// From 1. A later one repeats what still holds and adds to it.
    pub generation: u32,
    pub created: WallTime,
    /// False when a stretch is missing; `gaps` says which.
    pub complete: bool,
    pub duration_ms: u64,
    pub gaps: Vec<Gap>,
    /// By epoch and rendition. Empty in manifests from before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// Epochs that began to record, and of which nothing was stored. `gaps` says so, too; this is for machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<u32>,
    /// Everything but the manifests, their signatures and `state.json`.
    pub objects: Vec<Object>,
    /// Hex SHA-256 of the manifest of the generation before.
    pub previous: Option<String>,
    /// Name and version of what wrote it.
    pub software: String,
    /// The public keys that the writers' keys are sealed to.
    pub recipients: Vec<String>,
    /// BCP 47.
    pub language: String,
    pub webinar: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    pub bucket: Bucket,
    pub key: String,
    /// Of the ciphertext.
    pub size: u64,
    /// Hex, of the ciphertext: a hash of a short plaintext would give it away.
    pub sha256: String,
    /// Where it is known without a secret.
    pub plain_len: Option<u64>,
    /// Whose key opens it (or is in it): `0001`, `f01`, `t01`.
    pub writer: String,
}

/// The bytes are not a manifest of ours. To be taken as tampering, whatever its signature says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    #[error("the manifest is not JSON of our kind")]
    Json(#[from] serde_json::Error),
    #[error("the manifest says {0}")]
    Says(&'static str),
}

impl Manifest {
    /// The file, whose bytes are signed. The same manifest gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "only maps with odd keys and failing Serialize fail; here are neither")]
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain structs are JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a manifest and checks that it speaks of one recording only.
    ///
    /// # Errors
    /// For anything else: another format, a field too many or given twice, a key outside the recording, an object
    /// listed twice, a hash that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(bytes)?;
        let says = |odd, what| if odd { Err(ManifestError::Says(what)) } else { Ok(()) };
        says(manifest.format != FORMAT, "it has another format; read it with the version that wrote it")?;
        says(manifest.generation == 0, "it has generation 0")?;
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        says(
            !manifest.previous.as_deref().is_none_or(is_hash),
            "its previous generation by something else than a hash",
        )?;
        let mut seen = HashSet::new();
        for object in &manifest.objects {
            says(!manifest.owns(object), "it holds an object of another recording")?;
            says(!is_hash(&object.sha256), "an object's hash is not SHA-256 in hex")?;
            says(!seen.insert((object.bucket, &object.key)), "it holds an object twice")?;
        }
        Ok(manifest)
    }

    /// Whether it is what stands at `path` as `generation`: a manifest of ours that was copied elsewhere is signed, too.
    pub(crate) fn is_of(&self, path: &RecordingPath, generation: u32) -> bool {
        let inside = |object: &Object| match object.bucket {
            Bucket::Media => object.key.starts_with(&path.prefix()),
            Bucket::Keys => object.key.starts_with(&path.keys_prefix()),
        };
        let same = (&self.tenant, self.recording, self.generation) == (&path.tenant, path.recording, generation);
        same && self.objects.iter().all(inside)
    }

    fn owns(&self, object: &Object) -> bool {
        let mut parts = object.key.split('/');
        let plain = object.key.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let ours = parts.next() == Some("v1") && parts.next() == Some(self.tenant.as_str());
        // The media bucket has the year between the two.
        let year = object.bucket == Bucket::Keys || parts.next().is_some();
        plain && ours && year && parts.next() == Some(self.recording.to_string().as_str()) && parts.next().is_some()
    }
}
