//! In-memory words shared by everything that touches sound and picture: tracks, frames, parts, segments and the
//! three times. Values only: no clock is read here, nothing is encoded, nothing does I/O.
//!
//! # Design
//! The three times are three types, so that a wall time can never be added to a position in a file (DESIGN D18).
//! Frames travel by push ([`FrameSink`]): the receiving side decides what to do on the caller's thread, so there is
//! no queue between a meeting and the compositor that could hide a delay.

mod frame;
mod output;
mod time;
mod track;

pub use frame::{Frame, FrameSink, Pcm};
pub use output::{Canvas, Init, Output, Part, PipelineSpec, Rendition, SegmentClosed};
pub use time::{MediaTime, RunningTime, WallTime};
pub use track::{Codec, Kind, Participant, ParticipantId, Source, Track, TrackId};
