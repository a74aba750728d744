//! The RabbitMQ contract: room events in, recording events out, as CloudEvents 1.0 in structured JSON mode.
//!
//! Everything a worker may learn from a message or tell in one stands here as a type, together with the grammar of
//! ids, routing keys and limits. No I/O, no clock. Names, titles, tokens and keys never travel in an event.

pub mod body;
pub mod envelope;
pub mod ids;

pub use body::{
    Basis, Body, EpochStored, LayoutName, ParticipantNews, RecorderJoined, RecordingFailed, RecordingReady,
    RecordingRequested, RecordingStarted, RecordingStopped, RoomEnded, RoomStarted, StreamEnded, StreamLive, TrackNews,
    TranscriptFailed, TranscriptReady,
};
pub use envelope::{DecodeError, Event, Exchange, Meta};
pub use ids::{BadId, Platform, PolicyId, RecordingId, RoomId, SessionId, TenantId};
