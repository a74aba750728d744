//! What each event says besides its envelope.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PolicyId, RecordingId};

/// How a recording is composed. `layout` turns the name into places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LayoutName {
    /// The screen share, or else who speaks, large; the others beside it.
    #[default]
    Speaker,
    /// All alike.
    Grid,
}

/// The lawful basis a policy records under (GDPR art. 6(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    PublicTask,
    Consent,
    Contract,
    LegitimateInterest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomStarted {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomEnded {
    pub reason: String,
}

/// `participant.joined` and `participant.left`. The id is the platform's number, never a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParticipantNews {
    pub participant: String,
}

/// `track.published` and `track.unpublished`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackNews {
    pub participant: String,
}

/// A policy, a lecturer or an operator wants this room run recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingRequested {
    pub policy: PolicyId,
    /// `policy`, or an opaque id of who asked.
    pub requested_by: String,
    pub layout: LayoutName,
    /// BCP 47, such as `nb` or `en`.
    pub language: String,
    pub basis: Basis,
    /// Days until disposal, counted from the end.
    pub retention_days: u32,
    /// Also publish it live.
    pub webinar: bool,
    /// Longest duration in seconds. Capped by the recorder's own limit.
    pub max_seconds: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingStopped {
    pub policy: PolicyId,
    pub requested_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecorderJoined {
    pub recording: RecordingId,
    pub epoch: u32,
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingStarted {
    pub recording: RecordingId,
    pub epoch: u32,
}

/// One worker's stretch lies in the store, journal and all. The finalizer's trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochStored {
    pub recording: RecordingId,
    pub epoch: u32,
    /// The recording is over; no further epoch is expected.
    pub last: bool,
    /// BCP 47; what the transcriber is to hear.
    pub language: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingReady {
    pub recording: RecordingId,
    pub generation: u32,
    pub duration_ms: u64,
    pub language: String,
    /// False when a stretch is missing; the manifest says which.
    pub complete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingFailed {
    pub recording: RecordingId,
    /// A short word for machines, such as `room-full`, `empty`, `refused-pin`.
    pub reason: String,
    pub retryable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamLive {
    pub recording: RecordingId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamEnded {
    pub recording: RecordingId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptReady {
    pub recording: RecordingId,
    pub generation: u32,
    pub language: String,
    /// The model's file name and SHA-256, for the record.
    pub model: String,
    pub cues: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptFailed {
    pub recording: RecordingId,
    pub reason: String,
    pub retryable: bool,
}

/// Every event there is. A new one is a variant here, an arm in [`Body::kind`] and a fixture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    RoomStarted(RoomStarted),
    RoomEnded(RoomEnded),
    ParticipantJoined(ParticipantNews),
    ParticipantLeft(ParticipantNews),
    TrackPublished(TrackNews),
    TrackUnpublished(TrackNews),
    RecordingRequested(RecordingRequested),
    RecordingStopped(RecordingStopped),
    RecorderJoined(RecorderJoined),
    RecordingStarted(RecordingStarted),
    EpochStored(EpochStored),
    RecordingReady(RecordingReady),
    RecordingFailed(RecordingFailed),
    StreamLive(StreamLive),
    StreamEnded(StreamEnded),
    TranscriptReady(TranscriptReady),
    TranscriptFailed(TranscriptFailed),
}

impl Body {
    /// `entity.verb`, as it stands in the CloudEvents type and in the routing key.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RoomStarted(_) => "room.started",
            Self::RoomEnded(_) => "room.ended",
            Self::ParticipantJoined(_) => "participant.joined",
            Self::ParticipantLeft(_) => "participant.left",
            Self::TrackPublished(_) => "track.published",
            Self::TrackUnpublished(_) => "track.unpublished",
            Self::RecordingRequested(_) => "recording.requested",
            Self::RecordingStopped(_) => "recording.stopped",
            Self::RecorderJoined(_) => "recorder.joined",
            Self::RecordingStarted(_) => "recording.started",
            Self::EpochStored(_) => "epoch.stored",
            Self::RecordingReady(_) => "recording.ready",
            Self::RecordingFailed(_) => "recording.failed",
            Self::StreamLive(_) => "stream.live",
            Self::StreamEnded(_) => "stream.ended",
            Self::TranscriptReady(_) => "transcript.ready",
            Self::TranscriptFailed(_) => "transcript.failed",
        }
    }
}
