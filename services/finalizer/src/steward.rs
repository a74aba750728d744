//! Looks after recordings that nobody calls for: those that ended and were never finished, that nobody holds any more, of
//! which more was stored since they were ready, and that the ledger knows and nobody else does. The last resort: what a
//! recorder's own stewards see within seconds, this one sees within the hour.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use claim::{Phase, Record};
use events::RecordingId;
use media::WallTime;
use storage::ledger::{self, Entry};
use storage::{RecordingPath, StoreError, recordings};

use crate::finalize::{ABANDONED, FinalizeError, Finalizer, Outcome, now};

/// A call that is under way arrives, and is answered, well within this.
const OVERDUE: Duration = Duration::from_secs(10 * 60);

/// A recorder that lives renews its record every few seconds, and stores a segment as often. One of which nothing has
/// been heard for so long has been taken over, if there is anybody to take it over.
const STILL: Duration = Duration::from_secs(30 * 60);

/// A spool that was not emptied within a week is not coming back by itself, nor is what failed.
const LATE: Duration = Duration::from_secs(7 * 24 * 3600);

/// No meeting of ours is recorded for longer: what the ledger saw begin before that has ended, whatever its record says.
const LONGEST: Duration = Duration::from_secs(36 * 3600);

/// Somebody must look. Holds ids only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    pub recording: RecordingId,
    pub epoch: u32,
    pub what: String,
}

/// What became of recordings at one look.
#[derive(Debug, Default)]
pub struct Seen {
    /// To be announced.
    pub finished: Vec<(Record, Outcome)>,
    pub alarms: Vec<Alarm>,
}

/// Remembers from look to look; by this process' own clock, since records' times are other machines'.
#[derive(Debug, Default)]
pub struct Steward {
    /// What an open record and its segments looked like, and since when.
    still: HashMap<RecordingId, (String, u64, Instant)>,
    /// What recorders had stored of a finished recording when there was nothing to add.
    settled: HashMap<RecordingId, u64>,
}

impl Steward {
    /// One look at all recordings. A recording that cannot be dealt with is told of in the log and holds up no other.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn look(&mut self, with: &Finalizer, clock: Instant, wall: WallTime) -> Result<Seen, StoreError> {
        let all = recordings::list(&with.store, None).await?;
        let known: HashSet<RecordingId> = all.iter().map(|(path, ..)| path.recording).collect();
        self.still.retain(|recording, _| known.contains(recording));
        self.settled.retain(|recording, _| known.contains(recording));
        let mut seen = Seen::default();
        for (path, record, etag) in &all {
            let outcome = match self.one(with, path, record, etag, clock, wall).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(recording = %path.recording, error, "cannot look after this recording now");
                    None
                }
            };
            seen.finished.extend(outcome.map(|outcome| (record.clone(), outcome)));
        }
        let phases: HashMap<RecordingId, Phase> =
            all.iter().map(|(path, record, _)| (path.recording, record.phase)).collect();
        for open in ledger::open(&with.store, None).await? {
            seen.alarms.extend(missed(with, &open, phases.get(&open.path.recording).copied(), wall).await);
        }
        Ok(seen)
    }

    async fn one(
        &mut self,
        with: &Finalizer,
        path: &RecordingPath,
        record: &Record,
        etag: &str,
        clock: Instant,
        wall: WallTime,
    ) -> Result<Option<Outcome>, FinalizeError> {
        let since = wall.since(record.changed);
        match record.phase {
            Phase::Claimed | Phase::Recording => {
                let print = with.print(path, record).await?;
                if self.stood(path.recording, etag, print, clock) < STILL {
                    return Ok(None);
                }
                tracing::error!(
                    recording = %path.recording,
                    "nobody records this any more, and no recorder took it over; see that recorders run. What was stored \
                     becomes a film"
                );
                let refused = |source| FinalizeError::Refused { phase: Phase::Ended, source };
                let ended = record.becomes(Phase::Ended, Some(ABANDONED), now()).map_err(refused)?;
                match recordings::swap(&with.store, path, &ended, etag).await {
                    Ok(_) => Ok(Some(with.finalize(path).await?)),
                    // Somebody holds it after all.
                    Err(StoreError::Conflict { .. }) => Ok(None),
                    Err(other) => Err(other.into()),
                }
            }
            Phase::Ended if since > OVERDUE => {
                tracing::info!(recording = %path.recording, "nobody called for this recording; finalizing it");
                Ok(Some(with.finalize(path).await?))
            }
            // A spool that comes late makes a film of what failed or seemed empty, too.
            Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty if since < LATE => {
                let print = with.print(path, record).await?;
                if self.settled.get(&path.recording) == Some(&print) {
                    return Ok(None);
                }
                let renewed = with.renew(path).await?;
                if renewed.is_none() {
                    self.settled.insert(path.recording, print);
                }
                Ok(renewed)
            }
            Phase::Ended | Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty => Ok(None),
        }
    }

    /// How long a record and what belongs to it have looked the same.
    fn stood(&mut self, recording: RecordingId, etag: &str, print: u64, clock: Instant) -> Duration {
        let known = self.still.entry(recording).or_insert_with(|| (etag.to_owned(), print, clock));
        if (known.0.as_str(), known.1) != (etag, print) {
            *known = (etag.to_owned(), print, clock);
        }
        clock.saturating_duration_since(known.2)
    }
}

/// What is to be said of an epoch that started and was never stored, if anything.
async fn missed(with: &Finalizer, open: &Entry, phase: Option<Phase>, wall: WallTime) -> Option<Alarm> {
    let path = &open.path;
    let old = open.at.is_none_or(|at| wall.since(at) > LONGEST);
    let what = match phase {
        Some(phase) if phase.open() && !old => return None,
        Some(phase) if phase.open() => {
            "was begun more than 36 hours ago and is not stored; see who records it, and end it with `lectern record stop`"
        }
        // The finalizer's turn; a record that waits for its keys says so in the log.
        Some(Phase::Ended) if !old => return None,
        Some(Phase::Ended) => "ended and is not stored; the finalizer's log says why",
        // It is stored, and whoever made it ready died before it told the ledger.
        Some(Phase::Ready | Phase::Partial) => match told(with, open).await {
            Ok(true) => return None,
            Ok(false) if open.at.is_some_and(|at| wall.since(at) > LATE) => return None,
            Ok(false) => {
                "was begun, and its film knows nothing of it; it is lost, or in the spool of a worker that has not come back"
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(recording = %path.recording, error, "cannot tell the ledger that this is stored");
                return None;
            }
        },
        // A person has heard of it often enough; `lectern recordings verify` goes on naming it.
        Some(_) if open.at.is_some_and(|at| wall.since(at) > LATE) => return None,
        Some(Phase::Empty) => "was begun, and is said to be empty; what it captured, if anything, is lost",
        Some(_) => "was begun, and failed; see its reason in `lectern recordings show`, and what lies in its folder",
        None => {
            "was begun, and neither its record nor a film is there; restore its folder and its keys from a backup, and see \
             who could write to the store"
        }
    };
    Some(Alarm { recording: path.recording, epoch: open.epoch, what: what.into() })
}

/// Has the ledger told of a film that is ready. False when the film says nothing of this epoch.
async fn told(with: &Finalizer, open: &Entry) -> Result<bool, FinalizeError> {
    with.finalize(&open.path).await?;
    let still = ledger::open_of(&with.store, &open.path).await?;
    Ok(!still.iter().any(|entry| entry.epoch == open.epoch))
}

#[cfg(test)]
mod tests {
    use events::{PolicyId, SessionId, TenantId};

    use super::*;

    #[test]
    fn only_what_never_moves_stands_still() {
        let recording = RecordingId::derive(
            &TenantId::new("uni").unwrap(),
            &SessionId::new("s").unwrap(),
            &PolicyId::new("p").unwrap(),
        );
        let (mut steward, begun) = (Steward::default(), Instant::now());
        let mut stood = |etag: &str, print: u64, minutes: u64| {
            let clock = begun + Duration::from_secs(60 * minutes);
            steward.stood(recording, etag, print, clock).as_secs() / 60
        };
        //           etag, segments, minute: for how many minutes
        assert_eq!(stood("a", 1, 0), 0);
        assert_eq!(stood("a", 1, 29), 29);
        assert_eq!(stood("b", 1, 30), 0, "its holder lives");
        assert_eq!(stood("b", 1, 59), 29);
        assert_eq!(stood("b", 2, 61), 0, "somebody still stores");
        assert_eq!(stood("b", 2, 91), 30);
    }
}
