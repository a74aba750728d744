//! The story of one finalization: gather, arrange, write, sign, announce as ready. May be told twice: what is ready
//! already is left alone, and of two who tell it at once one publishes and the other cleans up after itself.

use std::time::{Duration, SystemTime};

use claim::{Phase, Record};
use media::{MediaTime, Rendition, WallTime};
use storage::journal::Gap;
use storage::manifest::{FORMAT, Manifest, Object, PublishError, SignError, SigningKey, publish, published};
use storage::recordings;
use storage::seal::SealError;
use storage::tries::{self, Kind};
use storage::{Identity, Recipients, RecordingPath, Store, StoreError};

use crate::gaps::{self, Holes, Line};
use crate::gather::{Gathered, gather};
use crate::movie::{LayoutError, Movie, rescale};
use crate::track::{Lane, Track, Unit};
use crate::write::{Film, write};

/// A call that is under way arrives, and is answered, well within this.
const OVERDUE: Duration = Duration::from_secs(10 * 60);

/// What became of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Ready (or partial, when not complete): `generation` is published. `new` is false when it was so before.
    Ready { generation: u32, complete: bool, duration: Duration, new: bool },
    /// Nothing was ever captured. There is no file.
    Empty,
    /// It failed before, or nothing of what was captured can be read.
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
        let tried = self.attempt(path).await;
        let Err(failed) = tried else { return tried };
        // A finalizer that was faster has swept away what this one had written by then, the key of its film first.
        let (record, _) = recordings::state(&self.store, path).await?;
        if !matches!(record.phase, Phase::Ready | Phase::Partial) {
            return Err(failed);
        }
        tracing::info!(recording = %path.recording, "another finalizer was faster");
        self.found(path, &record).await
    }

    async fn attempt(&self, path: &RecordingPath) -> Result<Outcome, FinalizeError> {
        let (record, etag) = recordings::state(&self.store, path).await?;
        match record.phase {
            Phase::Ended => {}
            Phase::Ready | Phase::Partial => return self.found(path, &record).await,
            Phase::Empty => return Ok(Outcome::Empty),
            Phase::Failed => return Ok(Outcome::Failed { reason: record.reason.unwrap_or_default() }),
            phase @ (Phase::Claimed | Phase::Recording) => return Err(FinalizeError::NotEnded(phase)),
        }
        let generation = record.generation.unwrap_or(0) + 1;
        match published(&self.store, path, generation, &self.signing.signers()).await {
            // Another finalizer came as far as signing and no further.
            Ok(Some(found)) => return self.settle(path, &record, &etag, &found.manifest).await,
            // Whoever wrote it did not sign it, or has not yet; publishing tells the two apart.
            Ok(None)
            | Err(PublishError::Unproven { source: SignError::NotASignature | SignError::BadSignature, .. }) => {}
            // Signed, and not by us: no try of ours can take its place, so none is made.
            Err(error) => return Err(error.into()),
        }
        let gathered = gather(&self.store, path, &record, &self.identity).await?;
        let lanes = lanes(&gathered);
        let mut tracks: Vec<Track<'_>> = lanes.iter().filter_map(Track::build).collect();
        if tracks.is_empty() {
            return self.nothing(path, &record, &etag, &gathered).await;
        }
        let movie = Movie::lay_out(&mut tracks, zero(&gathered))?;

        let attempt = tries::next(&self.store, path, Kind::Film).await?;
        let mine = write(self, path, attempt, &Film { gathered: &gathered, tracks: &tracks, movie: &movie }).await?;
        let gaps = missing(&gathered, &tracks, &movie);
        let manifest = self.manifest(&record, generation, &gathered, &mine, gaps, movie.lasts);
        publish(&self.store, path, &manifest, &self.signing).await?;
        self.settle(path, &record, &etag, &manifest).await
    }

    /// Recordings that ended a while before `now` and are not ready.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn overdue(&self, now: WallTime) -> Result<Vec<(RecordingPath, Record)>, FinalizeError> {
        let all = recordings::list(&self.store, None).await?;
        let forgotten = all
            .into_iter()
            .filter(|(_, record, _)| record.phase == Phase::Ended && now.since(record.changed) > OVERDUE);
        Ok(forgotten.map(|(path, record, _)| (path, record)).collect())
    }

    /// The record follows what is published.
    async fn settle(
        &self,
        path: &RecordingPath,
        record: &Record,
        etag: &str,
        manifest: &Manifest,
    ) -> Result<Outcome, FinalizeError> {
        let phase = if manifest.complete { Phase::Ready } else { Phase::Partial };
        let refused = |source| FinalizeError::Refused { phase, source };
        let reason = manifest.gaps.first().map(|_| "gap");
        let mut next = record.becomes(phase, reason, now()).map_err(refused)?;
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
        tracing::info!(
            recording = %path.recording, generation = manifest.generation, complete = manifest.complete,
            gaps = manifest.gaps.len(), "recording ready"
        );
        Ok(outcome(manifest, true))
    }

    /// It is ready, by an earlier call or by a faster finalizer. What a try left since is swept now: the one that left it
    /// may have died, and then this call is its message coming again.
    async fn found(&self, path: &RecordingPath, record: &Record) -> Result<Outcome, FinalizeError> {
        let generation = record.generation.unwrap_or(0);
        let found = published(&self.store, path, generation, &self.signing.signers()).await?;
        let standing = found.ok_or_else(|| StoreError::Missing { key: path.manifest(generation) })?.manifest;
        tries::sweep(&self.store, path, Kind::Film, &standing).await;
        Ok(outcome(&standing, false))
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
        let empty = gathered.segments.is_empty() && gathered.lost.is_empty() && gathered.doubts.is_empty();
        let (phase, reason) = if empty { (Phase::Empty, "empty") } else { (Phase::Failed, "unreadable") };
        let refused = |source| FinalizeError::Refused { phase, source };
        let next = record.becomes(phase, Some(reason), now()).map_err(refused)?;
        recordings::swap(&self.store, path, &next, etag).await?;
        for lost in &gathered.lost {
            tracing::error!(recording = %path.recording, epoch = lost.epoch, segment = lost.number, why = lost.why, "lost");
        }
        for (epoch, why) in &gathered.doubts {
            tracing::error!(recording = %path.recording, epoch, why, "lost");
        }
        tracing::warn!(recording = %path.recording, reason, "there is nothing to make a file of");
        Ok(if empty { Outcome::Empty } else { Outcome::Failed { reason: reason.into() } })
    }

    fn manifest(
        &self,
        record: &Record,
        generation: u32,
        gathered: &Gathered,
        mine: &[Object],
        gaps: Vec<Gap>,
        lasts: Duration,
    ) -> Manifest {
        let mut objects = [&gathered.objects, mine].concat();
        objects.sort_by(|a, b| (a.bucket, &a.key).cmp(&(b.bucket, &b.key)));
        Manifest {
            format: FORMAT.into(),
            recording: record.recording,
            tenant: record.tenant.clone(),
            generation,
            created: now(),
            complete: gaps.is_empty(),
            duration_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            gaps,
            objects,
            previous: None,
            software: concat!("lectern finalizer ", env!("CARGO_PKG_VERSION")).into(),
            recipients: self.recipients.public(),
            language: record.language.clone(),
            webinar: record.webinar,
        }
    }
}

fn outcome(manifest: &Manifest, new: bool) -> Outcome {
    Outcome::Ready {
        generation: manifest.generation,
        complete: manifest.complete,
        duration: Duration::from_millis(manifest.duration_ms),
        new,
    }
}

fn now() -> WallTime {
    WallTime::from_system(SystemTime::now())
}

/// When the first worker began.
fn zero(gathered: &Gathered) -> WallTime {
    let used = gathered.segments.iter().map(|segment| gathered.epochs[segment.epoch].zero);
    used.min().unwrap_or_default()
}

fn lanes(gathered: &Gathered) -> Vec<Lane<'_>> {
    let zero = zero(gathered);
    let lane = |rendition: Rendition| {
        let units = gathered.segments.iter().filter(|segment| segment.rendition == rendition).filter_map(|segment| {
            let epoch = &gathered.epochs[segment.epoch];
            let init = epoch.inits.get(&rendition)?;
            let origin = rescale(epoch.zero.0 - zero.0, 1_000_000, init.timescale) + init.shift;
            Some(Unit { segment, init, origin })
        });
        Lane { units: units.collect(), rendition: rendition.clone() }
    };
    vec![lane(Rendition::video()), lane(Rendition::audio())]
}

/// The gaps that the manifest names.
fn missing(gathered: &Gathered, tracks: &[Track<'_>], movie: &Movie) -> Vec<Gap> {
    let zero = zero(gathered);
    let holes = tracks.iter().map(|track| {
        let on_wall = |at: i64| WallTime(zero.0 + rescale(at, track.timescale, 1_000_000));
        Holes {
            rendition: track.lane.rendition.clone(),
            kept: on_wall(track.recorded.start)..on_wall(track.recorded.end),
            holes: track.holes.iter().map(|hole| on_wall(hole.start)..on_wall(hole.end)).collect(),
        }
    });
    let lasts = MediaTime::default().plus(movie.lasts);
    gaps::name(gathered, &holes.collect::<Vec<_>>(), Line { zero: zero.plus(movie.begins), lasts })
}
