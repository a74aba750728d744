//! Whose holder has gone silent: a record that stays the same through many looks, by the clock of whoever looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use events::RecordingId;

use crate::Record;

/// A record that has not changed for so long has no holder. Three signs of life must have failed.
pub const PATIENCE: Duration = Duration::from_secs(6);

/// Between two looks that count as one after the other. More means that it was the looker who was away.
const CLOSE: Duration = Duration::from_secs(3);

/// What one steward has seen.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<RecordingId, Seen>);

#[derive(Debug)]
struct Seen {
    etag: String,
    /// Unchanged for so long, in looks that were close to each other.
    still: Duration,
    at: Instant,
}

impl Watch {
    /// Takes one look at all open records. Returns those to be taken: offered ones, and those that have been silent for
    /// [`PATIENCE`]. `now` is this machine's monotonic clock; nobody else's is compared with it.
    pub fn look<'a>(
        &mut self,
        found: impl IntoIterator<Item = (&'a Record, &'a str)>,
        now: Instant,
    ) -> Vec<RecordingId> {
        let (mut due, mut seen) = (Vec::new(), BTreeMap::new());
        for (record, etag) in found.into_iter().filter(|(record, _)| record.phase.open()) {
            let before = self.0.remove(&record.recording).filter(|before| before.etag == etag);
            let still = match before {
                // A looker that was suspended, or could not look, has not seen a holder be silent.
                Some(before) if now.saturating_duration_since(before.at) <= CLOSE => {
                    before.still + now.saturating_duration_since(before.at)
                }
                _ => Duration::ZERO,
            };
            if record.owner.is_empty() || still >= PATIENCE {
                due.push(record.recording);
            }
            seen.insert(record.recording, Seen { etag: etag.to_owned(), still, at: now });
        }
        self.0 = seen;
        due
    }

    /// The store did not answer: its holders could not write either, so what was seen before says nothing of them.
    pub fn blind(&mut self) {
        self.0.clear();
    }
}
