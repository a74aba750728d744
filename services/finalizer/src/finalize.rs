//! The story of one finalization: gather, arrange, write, sign, announce as ready. May be told twice: what is ready
//! already is left alone, and of two who tell it at once one publishes and the other cleans up after itself.

use std::time::{Duration, SystemTime};

use claim::{Phase, Record};
use media::WallTime;
use storage::ledger::{self, Stored};
use storage::manifest::{Manifest, PublishError, Published, SignError, SigningKey, publish, published};
use storage::seal::SealError;
use storage::tries::{self, Kind};
use storage::{Identity, Recipients, RecordingPath, Store, StoreError, recordings};

use crate::arrange::{self, lanes, missing, zero};
use crate::gather::{Gathered, gather};
use crate::movie::{LayoutError, Movie};
use crate::track::Track;
use crate::write::{Film, write};

/// Why a record ended that nobody held any more.
pub(crate) const ABANDONED: &str = "abandoned";

/// Why recorders end a recording of which nothing was captured when nothing went wrong.
const NOBODY_CAME: [&str; 5] = ["empty", "nothing-captured", "removed", "room-ended", "stopped"];

/// What became of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Ready (or partial, when not complete): `generation` is published. `new` is false when it was so before.
    Ready { generation: u32, complete: bool, duration: Duration, new: bool },
    /// Nothing was ever captured, and that is known of each epoch. There is no file.
    Empty,
    /// It failed before, or nothing of what was captured is there or can be read.
    Failed { reason: String },
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinalizeError {
    #[error("the recording is still {0:?}; its recorder is not done")]
    NotEnded(Phase),
    #[error("could not reach the recording")]
    Store(#[from] StoreError),
    #[error("could not open or seal the recording")]
    Seal(#[from] SealError),
    #[error("could not publish the recording")]
    Publish(#[from] PublishError),
    /// Somebody is changing the store under our hands. Another try names it as a gap.
    #[error("{key} changed while it was read")]
    Changed { key: String },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Nothing can be read, and could be when the keys are back. The recording waits for that.
    #[error("its keys are missing or altered; restore the keys bucket from a backup, and it is finished by itself")]
    Locked,
    #[error("could not write the final file")]
    Write(#[source] std::io::Error),
    #[error("the record may not become {phase:?}: {source}")]
    Refused { phase: Phase, source: claim::Refused },
}

impl FinalizeError {
    /// Whether the same call may go well later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NotEnded(_) | Self::Changed { .. } => true,
            Self::Store(why) => why.is_passing() || matches!(why, StoreError::Conflict { .. }),
            // Two finalizers took the same number for their try.
            Self::Seal(SealError::Store(StoreError::Exists { .. })) => true,
            Self::Seal(why) => why.is_passing(),
            Self::Publish(why) => why.is_passing() || matches!(why, PublishError::Taken { .. }),
            Self::Write(why) => {
                why.get_ref().and_then(|why| why.downcast_ref::<StoreError>()).is_some_and(StoreError::is_passing)
            }
            Self::Layout(_) | Self::Refused { .. } | Self::Locked => false,
        }
    }
}

/// All that finalizing needs.
#[derive(Debug)]
pub struct Finalizer {
    pub store: Store,
    /// Opens what recorders sealed.
    pub identity: Identity,
    /// Whom the final file's key is sealed to.
    pub recipients: Recipients,
    pub signing: SigningKey,
}

impl Finalizer {
    /// Makes one recording ready, if its recorders are done with it.
    ///
    /// # Errors
    /// See [`FinalizeError`]. What was begun is cleaned up or found again by the next try.
    pub async fn finalize(&self, path: &RecordingPath) -> Result<Outcome, FinalizeError> {
        if let Some(renewed) = self.renew(path).await? {
            return Ok(renewed);
        }
        let tried = self.attempt(path).await;
        let Err(failed) = tried else { return tried };
        // A finalizer that was faster has swept away what this one had written by then, the key of its film first.
        let (record, etag) = recordings::state(&self.store, path).await?;
        if !matches!(record.phase, Phase::Ready | Phase::Partial) {
            return Err(failed);
        }
        tracing::info!(recording = %path.recording, "another finalizer was faster");
        self.found(path, &record, &etag).await
    }

    async fn attempt(&self, path: &RecordingPath) -> Result<Outcome, FinalizeError> {
        let (record, etag) = recordings::state(&self.store, path).await?;
        match record.phase {
            Phase::Ended => {}
            Phase::Ready | Phase::Partial => return self.found(path, &record, &etag).await,
            Phase::Empty => return Ok(Outcome::Empty),
            Phase::Failed => return Ok(Outcome::Failed { reason: record.reason.unwrap_or_default() }),
            phase @ (Phase::Claimed | Phase::Recording) => return Err(FinalizeError::NotEnded(phase)),
        }
        match self.first(path, &record, &etag).await? {
            Ok(outcome) => Ok(outcome),
            Err(gathered) => self.nothing(path, &record, &etag, &gathered).await,
        }
    }

    /// Makes the first film of a recording, unless there is nothing to make it of: then what was gathered.
    pub(crate) async fn first(
        &self,
        path: &RecordingPath,
        record: &Record,
        etag: &str,
    ) -> Result<Result<Outcome, Gathered>, FinalizeError> {
        let generation = record.generation.unwrap_or(0) + 1;
        match published(&self.store, path, generation, &self.signing.signers()).await {
            // Another finalizer came as far as signing and no further.
            Ok(Some(found)) => return Ok(Ok(self.settle(path, record, etag, &found.manifest).await?)),
            // Whoever wrote it did not sign it, or has not yet; publishing tells the two apart.
            Ok(None)
            | Err(PublishError::Unproven { source: SignError::NotASignature | SignError::BadSignature, .. }) => {}
            // Signed, and not by us: no try of ours can take its place, so none is made.
            Err(error) => return Err(error.into()),
        }
        let gathered = gather(&self.store, path, record, &self.identity).await?;
        match self.make(path, record, &gathered, None).await? {
            Some(manifest) => Ok(Ok(self.settle(path, record, etag, &manifest).await?)),
            None => Ok(Err(gathered)),
        }
    }

    /// Writes a film of what was gathered, and publishes it: as the first generation, or as the one after `standing`.
    /// None when there is nothing to make it of.
    pub(crate) async fn make(
        &self,
        path: &RecordingPath,
        record: &Record,
        gathered: &Gathered,
        standing: Option<&Published>,
    ) -> Result<Option<Manifest>, FinalizeError> {
        let lanes = lanes(gathered);
        let mut tracks = Track::all(&lanes);
        if tracks.is_empty() {
            return Ok(None);
        }
        let end = arrange::unknown_end(gathered, record);
        let movie = Movie::lay_out(&mut tracks, zero(gathered), |tracks, line| missing(gathered, tracks, line, end))?;
        let generation = standing.map_or(1, |before| before.manifest.generation.saturating_add(1));
        let attempt = tries::next(&self.store, path, Kind::Film, generation).await?;
        let mine = write(self, path, attempt, &Film { gathered, tracks: &tracks, movie: &movie }).await?;
        let made = arrange::Made { gathered, mine: &mine, movie: &movie };
        let manifest = arrange::manifest(self, record, made, standing);
        publish(&self.store, path, &manifest, &self.signing).await?;
        Ok(Some(manifest))
    }

    /// The record follows what is published.
    pub(crate) async fn settle(
        &self,
        path: &RecordingPath,
        record: &Record,
        etag: &str,
        manifest: &Manifest,
    ) -> Result<Outcome, FinalizeError> {
        let phase = if manifest.complete { Phase::Ready } else { Phase::Partial };
        let refused = |source| FinalizeError::Refused { phase, source };
        let abandoned = record.reason.as_deref() == Some(ABANDONED);
        let reason = manifest.gaps.first().filter(|_| !abandoned).map(|_| "gap");
        let mut next = record.becomes(phase, reason, now()).map_err(refused)?;
        if reason.is_none() && matches!(record.phase, Phase::Failed | Phase::Empty) {
            // Why there was no film is no word about this one.
            next.reason = None;
        }
        next.generation = Some(manifest.generation);
        match recordings::swap(&self.store, path, &next, etag).await {
            Ok(_) => {}
            // Another finalizer has told the record of the same manifest.
            Err(StoreError::Conflict { .. }) => {
                let (found, _) = recordings::state(&self.store, path).await?;
                if found.generation != Some(manifest.generation) {
                    return Err(StoreError::Conflict { key: path.state() }.into());
                }
            }
            Err(other) => return Err(other.into()),
        }
        tries::sweep(&self.store, path, Kind::Film, manifest).await;
        self.enter(path, manifest).await;
        tracing::info!(
            recording = %path.recording, generation = manifest.generation, complete = manifest.complete,
            gaps = manifest.gaps.len(), "recording ready"
        );
        Ok(outcome(manifest, true))
    }

    /// It is ready, by an earlier call or by a faster finalizer. What a try left since is swept now: the one that left it
    /// may have died, and then this call is its message coming again.
    async fn found(&self, path: &RecordingPath, record: &Record, etag: &str) -> Result<Outcome, FinalizeError> {
        let known = record.generation.unwrap_or(0);
        let standing = self.newest(path, known).await?.manifest;
        if standing.generation > known {
            // Whoever published it died before it told the record.
            return self.settle(path, record, etag, &standing).await;
        }
        tries::sweep(&self.store, path, Kind::Film, &standing).await;
        self.enter(path, &standing).await;
        Ok(outcome(&standing, false))
    }

    /// Tells the ledger of every epoch that `manifest` accounts for or names as lost, and of no other. What cannot be told
    /// now is told by the steward.
    async fn enter(&self, path: &RecordingPath, manifest: &Manifest) {
        let told = async {
            for open in ledger::open_of(&self.store, path).await? {
                if let Some(stored) = said_of(manifest, &path.journal(open.epoch), open.epoch) {
                    ledger::stored(&self.store, path, &stored).await?;
                }
            }
            Ok::<_, StoreError>(())
        };
        if let Err(why) = told.await {
            let error = &why as &dyn std::error::Error;
            tracing::warn!(recording = %path.recording, error, "the ledger is not told yet that the recording is stored");
        }
    }

    /// There is nothing to make a file of: because nothing was captured, or because nothing can be read.
    async fn nothing(
        &self,
        path: &RecordingPath,
        record: &Record,
        etag: &str,
        gathered: &Gathered,
    ) -> Result<Outcome, FinalizeError> {
        if gathered.locked {
            return Err(FinalizeError::Locked);
        }
        let lost = !(gathered.lost.is_empty() && gathered.doubts.is_empty() && gathered.vanished.is_empty());
        let (phase, reason) = match record.reason.as_deref() {
            _ if lost || !gathered.segments.is_empty() => (Phase::Failed, "unreadable"),
            // That nothing was captured is known, and that something kept its recorders from it.
            Some(why) if why != ABANDONED && !NOBODY_CAME.contains(&why) => (Phase::Failed, why),
            _ => (Phase::Empty, "empty"),
        };
        let refused = |source| FinalizeError::Refused { phase, source };
        let next = record.becomes(phase, Some(reason), now()).map_err(refused)?;
        recordings::swap(&self.store, path, &next, etag).await?;
        for lost in &gathered.lost {
            tracing::error!(recording = %path.recording, epoch = lost.epoch, segment = lost.first, why = lost.why, "lost");
        }
        for (epoch, why) in &gathered.doubts {
            tracing::error!(recording = %path.recording, epoch, why, "lost");
        }
        for begun in &gathered.vanished {
            let epoch = begun.epoch;
            tracing::error!(recording = %path.recording, epoch, "it began to record, and nothing of it was stored");
        }
        tracing::warn!(recording = %path.recording, reason, "there is nothing to make a file of");
        Ok(if phase == Phase::Empty { Outcome::Empty } else { Outcome::Failed { reason: reason.into() } })
    }
}

/// What `manifest` says of an epoch with this journal; nothing if it knows nothing of it.
fn said_of(manifest: &Manifest, journal: &str, epoch: u32) -> Option<Stored> {
    let accounts = || manifest.accounts.iter().filter(move |account| account.epoch == epoch);
    let lost = manifest.lost.contains(&epoch);
    let known = lost || accounts().next().is_some() || manifest.objects.iter().any(|object| object.key == journal);
    let missing: u64 = accounts().map(|account| account.made.saturating_sub(account.stored)).sum();
    known.then(|| Stored {
        epoch,
        at: now(),
        generation: manifest.generation,
        segments: accounts().map(|account| account.stored).sum(),
        gaps: missing + u64::from(lost),
    })
}

pub(crate) fn outcome(manifest: &Manifest, new: bool) -> Outcome {
    Outcome::Ready {
        generation: manifest.generation,
        complete: manifest.complete,
        duration: Duration::from_millis(manifest.duration_ms),
        new,
    }
}

pub(crate) fn now() -> WallTime {
    WallTime::from_system(SystemTime::now())
}
