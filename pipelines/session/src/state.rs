//! Where a session stands, how it ends, and whose fault a trouble is. Words only; the moves stand in `machine`.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Each state says until when it may last; [`crate::Session::deadline`] is the earliest of all such times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On the way into the room, for the `attempt`th time.
    Joining {
        attempt: u32,
        until: Instant,
    },
    /// In the room, with the sign set; nobody sends anything yet.
    Lobby {
        attempt: u32,
        until: Instant,
    },
    /// The pipeline prerolls.
    Starting {
        attempt: u32,
        until: Instant,
    },
    Live {
        since: Instant,
    },
    /// Out of the room; the pipeline runs on with a slate and silence.
    Rejoining {
        since: Instant,
        attempt: u32,
        until: Instant,
    },
    /// The claim is released; recording goes on until the successor is live.
    HandingOver {
        until: Instant,
    },
    /// The pipeline was told to finish.
    Draining {
        why: Ending,
        until: Instant,
    },
    /// Nothing more is made; what was made is on its way into the store.
    Storing {
        why: Ending,
        until: Instant,
    },
    Ended(Outcome),
}

impl State {
    /// One word for logs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Joining { .. } => "joining",
            Self::Lobby { .. } => "lobby",
            Self::Starting { .. } => "starting",
            Self::Live { .. } => "live",
            Self::Rejoining { .. } => "rejoining",
            Self::HandingOver { .. } => "handing-over",
            Self::Draining { .. } => "draining",
            Self::Storing { .. } => "storing",
            Self::Ended(_) => "ended",
        }
    }
}

/// What a session that captured something is about to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Complete,
    Cut(Reason),
    HandedOver,
    Superseded,
}

impl Ending {
    /// The end of the pipeline went wrong: what should have been complete is cut. Who no longer speaks for the
    /// recording has nothing to add.
    #[must_use]
    pub(crate) fn cut(self, why: Reason) -> Self {
        match self {
            Self::Complete => Self::Cut(why),
            Self::Cut(_) | Self::HandedOver | Self::Superseded => self,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Recorded to the end that people or limits set.
    Complete,
    /// Recorded, but not to the end.
    Cut(Reason),
    /// Nobody sent anything; nothing was captured in this epoch.
    Empty(Reason),
    Failed(Fault, Reason),
    /// Another worker goes on (or has the duty to).
    HandedOver,
    /// Another worker had taken the recording already.
    Superseded,
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Complete => Self::Complete,
            Ending::Cut(why) => Self::Cut(why),
            Ending::HandedOver => Self::HandedOver,
            Ending::Superseded => Self::Superseded,
        }
    }
}

/// Whose fault a trouble is, and so what is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Try again here.
    Passing,
    /// Only this room is concerned, and trying elsewhere would not help.
    Room,
    /// This worker is ill; another may do better.
    Worker,
}

/// Why something ended or went wrong: the short words that appear in `recording.failed` and in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    Stopped,
    RoomEnded,
    /// The host removed the recorder.
    Removed,
    /// Nobody sent anything for as long as the lobby lasts.
    NoMedia,
    /// The pipeline closed no segment.
    NothingCaptured,
    /// The meeting server did not answer, or the connection broke.
    Unreachable,
    /// The room or its server does not let the recorder in.
    Refused,
    /// The room lets in only whom it knows: the recorder has no PIN or invitation that it takes.
    Locked,
    /// What is sent is encrypted end to end: only the participants could read it.
    Encrypted,
    /// The configuration names no such meeting server.
    UnknownInstance,
    /// This worker lacks something that it needs.
    WorkerBroken,
    /// The media process died or would not start.
    MediaDied,
    PipelineBroke,
    /// The pipeline did not finish in time.
    DrainTimeout,
    /// The store did not take everything in time; the spool keeps it.
    StoreTimeout,
    /// There was no room left to keep more of it in.
    DiskFull,
    /// The worker was told to stop.
    WorkerStopped,
}

impl Reason {
    /// As it stands in events.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::RoomEnded => "room-ended",
            Self::Removed => "removed",
            Self::NoMedia => "empty",
            Self::NothingCaptured => "nothing-captured",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Locked => "locked",
            Self::Encrypted => "encrypted",
            Self::UnknownInstance => "unknown-instance",
            Self::WorkerBroken => "worker-broken",
            Self::MediaDied => "media-died",
            Self::PipelineBroke => "pipeline-broke",
            Self::DrainTimeout => "drain-timeout",
            Self::StoreTimeout => "store-timeout",
            Self::DiskFull => "disk-full",
            Self::WorkerStopped => "worker-stopped",
        }
    }
}
