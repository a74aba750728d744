//! All that a session can ask for. Every action is to be begun at once, in order; its result comes back as an input.

use layout::Scene;
use media::{PipelineSpec, Track, TrackId};

use crate::{Object, Outcome};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Enter the room. Replaces an earlier attempt, of which nothing more may be told.
    Join {
        attempt: u32,
    },
    /// Leave the room. The pipeline runs on.
    Leave,
    /// Build the pipeline.
    Start(PipelineSpec),
    AddTrack(Track),
    DropTrack(TrackId),
    Arrange(Scene),
    /// Finish the pipeline: close the open segment, then say `Drained`.
    Drain,
    /// Stop the pipeline at once. What it has not closed is gone.
    Kill,
    Store(Object),
    Announce(News),
    Release(Release),
}

/// What the world is to hear. Which events that makes is for the recorder to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Joined {
        attempt: u32,
    },
    /// Media flows.
    Started,
    /// Never said by who handed over or was superseded.
    Ended(Outcome),
}

/// Giving up the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The recording is over.
    Finished(Outcome),
    /// Somebody else is to go on.
    HandOver,
}
