//! All that a session can be told. Every input can be written down and read again, so a session can be replayed.
//! Participants carry their names: a log of inputs is sealed before it is stored.

use media::{Participant, ParticipantId, Rendition, Track, TrackId};
use serde::{Deserialize, Serialize};

use crate::{Fault, Reason};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    Room(Room),
    Meeting(Meeting),
    Claim(Claim),
    Pipeline(Pipeline),
    Storage(Storage),
    /// This worker is to end. Said once.
    Shutdown,
    /// [`crate::Session::deadline`] has come. Said too early or twice, it does no harm.
    Timeout,
}

/// What is said about the room from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Room {
    StopRequested,
    Ended,
}

/// What our bot sees in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meeting {
    /// In the room, with the recording sign set. Comes before anything about people and tracks.
    Joined,
    Arrived(Participant),
    Departed(ParticipantId),
    Track(Track),
    Untrack(TrackId),
    Muted(TrackId),
    Unmuted(TrackId),
    /// Who speaks, the latest first.
    Speaking(Vec<ParticipantId>),
    /// Kicked by a host.
    Removed,
    Lost(Fault, Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Another worker has taken the recording from us.
    Superseded,
    /// Another worker has taken what we handed over, and is live.
    Taken,
}

/// What the pipeline says. `Playing` comes before the first `Init` and `Closed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pipeline {
    Playing,
    /// The init section of a rendition was made.
    Init(Rendition),
    /// A segment is whole. Numbers grow within a rendition.
    Closed(Rendition, u64),
    /// Everything has been given out.
    Drained,
    Broke(Fault, Reason),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// There is a receipt.
    Stored(Object),
    /// One try failed. The sealed bytes are kept for the next.
    Failed(Object),
    /// There is no room left for more than the end of this recording. What was made before is kept.
    SpoolFull,
}

/// One thing to put into the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    Init(Rendition),
    Segment(Rendition, u64),
    /// The epoch's receipts. Put last: with it, the epoch is whole.
    Journal,
}
