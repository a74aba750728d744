//! What a bridge must still know when it starts anew, as one text: the runs, and what is over. Ids and times only.

use events::{RoomId, SessionId};
use serde::{Deserialize, Serialize};

use crate::past::Past;

/// A later version that cannot be read by this one has another number.
const VERSION: u32 = 1;

/// Everything that outlives a bridge. Read and written as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    version: u32,
    pub(crate) runs: Vec<Kept>,
    pub(crate) past: Past,
}

/// One run. Who is in the room is not in it: a look tells that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) room: RoomId,
    pub(crate) session: SessionId,
    /// Seconds since 1970: when it began, if it is not decided yet whether to ask for a recording.
    pub(crate) undecided: Option<i64>,
    pub(crate) recorded: bool,
    /// Since when nobody was there.
    pub(crate) empty_since: Option<i64>,
}

/// What was kept is of another program or another version.
#[derive(Debug, thiserror::Error)]
#[error("what an earlier bridge left cannot be read, so rooms that run get new session ids")]
pub struct Unreadable;

impl Memory {
    pub(crate) fn of(runs: Vec<Kept>, past: Past) -> Self {
        Self { version: VERSION, runs, past }
    }

    /// # Errors
    /// [`Unreadable`].
    pub fn read(text: &[u8]) -> Result<Self, Unreadable> {
        let memory: Self = serde_json::from_slice(text).map_err(|_| Unreadable)?;
        if memory.version == VERSION { Ok(memory) } else { Err(Unreadable) }
    }

    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        // Strings, numbers and flags: there is nothing that cannot be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
