//! What one epoch stored, and what only the institution may read about it.

use std::time::Duration;

use events::{Basis, PolicyId, RecordingId};
use media::{Canvas, MediaTime, PipelineSpec, Rendition, WallTime};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    pub recording: RecordingId,
    pub epoch: u32,
    pub began: WallTime,
    pub ended: WallTime,
    pub spec: PipelineSpec,
    pub entries: Vec<Entry>,
    pub gaps: Vec<Gap>,
    pub renditions: Vec<RenditionInfo>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub rendition: Rendition,
    pub number: u64,
    pub key: String,
    pub size: u64,
    /// Hex, of the ciphertext.
    pub sha256: String,
    pub begins: MediaTime,
    #[serde(with = "nanos")]
    pub lasts: Duration,
    pub wall: WallTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    pub from: MediaTime,
    pub to: MediaTime,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenditionInfo {
    pub rendition: Rendition,
    /// RFC 6381.
    pub codec: String,
    pub picture: Option<Canvas>,
    pub init_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    #[error("the journal is cut short: {0}")]
    Short(String),
    #[error("line {line} of the journal is not understood: {why}")]
    Line { line: usize, why: String },
}

impl Journal {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    pub fn parse(_bytes: &[u8]) -> Result<Self, JournalError> {
        todo!()
    }
}

/// Title, participants, consent: sealed at [`crate::RecordingPath::description`]. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub title: Option<String>,
    pub participants: Vec<Attendance>,
    pub consent: Consent,
}

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description").field("participants", &self.participants.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attendance {
    pub id: String,
    pub name: String,
    pub arrived: WallTime,
    pub left: Option<WallTime>,
}

impl std::fmt::Debug for Attendance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attendance").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who asked, on what basis, and how the room was told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    pub policy: PolicyId,
    pub basis: Basis,
    pub requested_by: String,
    /// How the platform showed that it is being recorded.
    pub sign: String,
    pub sign_set: WallTime,
}

impl std::fmt::Debug for Consent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consent").field("policy", &self.policy).finish_non_exhaustive()
    }
}

mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}
