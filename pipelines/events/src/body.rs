//! What each event says besides its envelope.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decode::DecodeError;
use crate::envelope::Exchange;
use crate::ids::{GRAMMAR, PolicyId, RecordingId};
use crate::word::{self, LANGUAGE, MODEL};

/// No recording lasts longer, whatever was asked for: a forgotten room must end.
pub const LONGEST: Duration = Duration::from_secs(12 * 3600);

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
    /// A short word for machines, such as `destroyed` or `empty`.
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
    pub reason: String,
}

/// `participant.joined` and `participant.left`. The id is the platform's number, never a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParticipantNews {
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
    pub participant: String,
}

/// `track.published` and `track.unpublished`: the participant sends media, or no longer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackNews {
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
    pub participant: String,
}

/// A person wants a room recorded by a rule that records on request. For the bridge, which knows the run that is under
/// way and answers with [`RecordingRequested`]. Who asks knows no run, so `sessionid` repeats the message's own `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingWanted {
    /// The rule to record by; without it, the first that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyId>,
    /// An opaque id of who asks.
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
    pub requested_by: String,
}

/// A policy, a lecturer or an operator wants this room run recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingRequested {
    pub policy: PolicyId,
    /// `policy`, or an opaque id of who asked.
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
    pub requested_by: String,
    pub layout: LayoutName,
    /// BCP 47, such as `nb` or `en`.
    #[serde(deserialize_with = "word::language")]
    #[schemars(extend("pattern" = LANGUAGE))]
    pub language: String,
    pub basis: Basis,
    /// Days until disposal, counted from the end.
    pub retention_days: u32,
    /// Also publish it live.
    pub webinar: bool,
    /// Longest duration in seconds. Nothing, less and more than twelve hours all come to twelve hours.
    pub max_seconds: i64,
}

impl RecordingRequested {
    /// How long this recording may last. A wish of nothing, of less, or of more than [`LONGEST`] comes to [`LONGEST`].
    #[must_use]
    pub fn longest(&self) -> Duration {
        match u64::try_from(self.max_seconds) {
            Ok(seconds @ 1..) => Duration::from_secs(seconds).min(LONGEST),
            Ok(0) | Err(_) => LONGEST,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingStopped {
    pub policy: PolicyId,
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
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
    #[serde(deserialize_with = "word::language")]
    #[schemars(extend("pattern" = LANGUAGE))]
    pub language: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingReady {
    pub recording: RecordingId,
    pub generation: u32,
    pub duration_ms: u64,
    #[serde(deserialize_with = "word::language")]
    #[schemars(extend("pattern" = LANGUAGE))]
    pub language: String,
    /// False when a stretch is missing; the manifest says which.
    pub complete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingFailed {
    pub recording: RecordingId,
    /// A short word for machines, such as `room-full`, `empty`, `refused-pin`.
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
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
    #[serde(deserialize_with = "word::language")]
    #[schemars(extend("pattern" = LANGUAGE))]
    pub language: String,
    /// The model's file name and SHA-256, for the record.
    #[serde(deserialize_with = "word::model")]
    #[schemars(extend("pattern" = MODEL))]
    pub model: String,
    pub cues: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptFailed {
    pub recording: RecordingId,
    #[serde(deserialize_with = "word::word")]
    #[schemars(extend("pattern" = GRAMMAR))]
    pub reason: String,
    pub retryable: bool,
}

/// One row per event: variant, data, kind, exchange.
macro_rules! bodies {
    ($($variant:ident($data:ty) = $kind:literal on $exchange:ident,)*) => {
        /// Every event there is. A new one is a row here and a fixture in `samples/events`; tests ask for both.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Body {
            $($variant($data),)*
        }

        impl Body {
            /// The kinds of all events, as [`Body::kind`] tells them.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// `entity.verb`, as it stands in the CloudEvents type and in the routing key.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }

            /// Where it is published.
            #[must_use]
            pub fn exchange(&self) -> Exchange {
                match self {
                    $(Self::$variant(_) => Exchange::$exchange,)*
                }
            }

            pub(crate) fn read(kind: &str, data: Value) -> Result<Self, DecodeError> {
                match kind {
                    $($kind => serde_json::from_value(data).map(Self::$variant).map_err(|_| DecodeError::Data($kind)),)*
                    _ => Err(DecodeError::UnknownType),
                }
            }

            pub(crate) fn data(&self) -> Value {
                let data = match self {
                    $(Self::$variant(data) => serde_json::to_value(data),)*
                };
                data.expect("structs of strings and integers serialise")
            }

            /// Where events of `kind` are published.
            pub(crate) fn exchange_of(kind: &str) -> Option<Exchange> {
                match kind {
                    $($kind => Some(Exchange::$exchange),)*
                    _ => None,
                }
            }

            /// The schema of `kind`'s data.
            pub(crate) fn schema_of(kind: &str, generator: &mut schemars::SchemaGenerator) -> Option<Value> {
                match kind {
                    $($kind => Some(generator.subschema_for::<$data>().into()),)*
                    _ => None,
                }
            }
        }
    };
}

bodies! {
    RoomStarted(RoomStarted) = "room.started" on Events,
    RoomEnded(RoomEnded) = "room.ended" on Events,
    ParticipantJoined(ParticipantNews) = "participant.joined" on Events,
    ParticipantLeft(ParticipantNews) = "participant.left" on Events,
    TrackPublished(TrackNews) = "track.published" on Events,
    TrackUnpublished(TrackNews) = "track.unpublished" on Events,
    RecordingWanted(RecordingWanted) = "recording.wanted" on Commands,
    RecordingRequested(RecordingRequested) = "recording.requested" on Commands,
    RecordingStopped(RecordingStopped) = "recording.stopped" on Commands,
    RecorderJoined(RecorderJoined) = "recorder.joined" on Events,
    RecordingStarted(RecordingStarted) = "recording.started" on Events,
    EpochStored(EpochStored) = "epoch.stored" on Events,
    RecordingReady(RecordingReady) = "recording.ready" on Events,
    RecordingFailed(RecordingFailed) = "recording.failed" on Events,
    StreamLive(StreamLive) = "stream.live" on Events,
    StreamEnded(StreamEnded) = "stream.ended" on Events,
    TranscriptReady(TranscriptReady) = "transcript.ready" on Events,
    TranscriptFailed(TranscriptFailed) = "transcript.failed" on Events,
}
