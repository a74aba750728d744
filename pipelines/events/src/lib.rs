//! The RabbitMQ contract: room events in, recording events out, as CloudEvents 1.0 in structured JSON mode.
//!
//! Everything a worker may learn from a message or tell in one stands here as a type, together with the grammar of
//! ids, routing keys and limits. No I/O, no clock. Names, titles, tokens and keys never travel in an event.
//!
//! # Design
//! - **Read strictly, then believe.** A message is bounded, scanned and decoded once, by [`Event::parse`]; past it
//!   there are only values that cannot be a path, a wildcard, markup or a secret. Extension attributes of others are
//!   passed over as CloudEvents wants; an unknown field in `data` is refused, for it may be a wish that nobody heard.
//! - **Ids are derived.** A repeated event has the id it had before ([`event_id`]), and a recording's id follows from
//!   tenant, session and policy ([`RecordingId::derive`]), so at-least-once delivery needs no memory to be harmless.
//!   [`Gate`] spares the work and keeps out what is over or old.
//! - **The types are the contract.** Schemas and the AsyncAPI document are made from them ([`contract`]).

pub mod body;
pub mod contract;
pub mod decode;
pub mod envelope;
pub mod gate;
pub mod ids;
mod secrets;
mod strict;
mod word;

pub use body::{
    Basis, Body, EpochStored, LONGEST, LayoutName, ParticipantNews, RecorderJoined, RecordingFailed, RecordingReady,
    RecordingRequested, RecordingStarted, RecordingStopped, RecordingWanted, RoomEnded, RoomStarted, StreamEnded,
    StreamLive, TrackNews, TranscriptFailed, TranscriptReady,
};
pub use decode::DecodeError;
pub use envelope::{Event, Exchange, Meta, event_id, room_key};
pub use gate::{Gate, Verdict};
pub use ids::{BadId, Platform, PolicyId, RecordingId, RoomId, SessionId, TenantId};
pub use strict::{MAX_BYTES, MAX_DEPTH};
pub use word::is_language;
