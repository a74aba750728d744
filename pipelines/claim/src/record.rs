//! The record and its moves. Each move returns the next record, to be swapped in for the one it was made from.

use std::time::Duration;

use events::{
    Basis, EpochStored, LayoutName, Meta, Platform, PolicyId, RecordingId, RecordingRequested, RoomId, SessionId,
    TenantId,
};
use media::WallTime;
use serde::{Deserialize, Serialize};

/// So many epochs in a row may store nothing. A room whose media kills every worker at once must not wander for ever; one
/// whose worker dies every minute goes on all day.
pub const TRIES: u32 = 5;

/// Epochs are four digits of a key's name.
pub const EPOCHS: u32 = 9_999;

/// An event's own time names the record if it is at most this far from our clock.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// Who asked for an epoch that no person did.
pub const RESUMED: &str = "lectern-resumed";

fn janus() -> Platform {
    Platform::Janus
}

fn public_task() -> Basis {
    Basis::PublicTask
}

/// How far a recording has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Claimed,
    Recording,
    /// All epochs are stored; the finalizer's turn.
    Ended,
    Ready,
    /// Ready, but with a gap that the manifest names.
    Partial,
    Failed,
    /// Nothing was ever captured.
    Empty,
}

impl Phase {
    /// Whether a recorder is at work on it, or should be.
    #[must_use]
    pub fn open(self) -> bool {
        match self {
            Self::Claimed | Self::Recording => true,
            Self::Ended | Self::Ready | Self::Partial | Self::Failed | Self::Empty => false,
        }
    }
}

/// Why a record may not become what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("another worker holds the recording")]
    Held,
    #[error("the recording is over")]
    Over,
    #[error("{TRIES} workers in a row have stored nothing of this recording")]
    Spent,
}

/// `state.json`: one per recording, changed by compare-and-swap alone, bounded to 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub recording: RecordingId,
    pub tenant: TenantId,
    #[serde(default = "janus")]
    pub platform: Platform,
    /// The server's name in our configuration.
    pub instance: String,
    pub room: RoomId,
    pub session: SessionId,
    pub policy: PolicyId,
    pub layout: LayoutName,
    pub language: String,
    pub retention_days: u32,
    pub webinar: bool,
    #[serde(default = "public_task")]
    pub basis: Basis,
    /// From `created`; see [`RecordingRequested::longest`].
    #[serde(default)]
    pub max_seconds: i64,
    pub phase: Phase,
    /// Grows by one with every worker that takes the recording; never shrinks.
    pub epoch: u32,
    /// A random word of the worker that holds it: how a claimer knows its own write after a lost reply. Empty while the
    /// recording is offered to whoever takes it.
    pub owner: String,
    /// Grows with every sign of life of the holder, and does nothing else: it makes the record another one.
    #[serde(default)]
    pub beat: u64,
    /// Epochs in a row, the present one included, that have stored nothing yet.
    #[serde(default)]
    pub idle: u32,
    pub created: WallTime,
    pub changed: WallTime,
    /// Set once READY or PARTIAL: the newest published generation.
    pub generation: Option<u32>,
    /// A short word for machines: why it failed, is empty, or was cut before its end.
    pub reason: Option<String>,
}

impl Record {
    /// The first claim on a recording: epoch 1.
    ///
    /// `created` is the request's own time, so that a request delivered again around New Year's midnight finds the same
    /// path; a time more than a day from `now` is a wrong clock and not believed.
    #[must_use]
    pub fn first(meta: &Meta, asked: &RecordingRequested, owner: String, now: WallTime) -> Self {
        let told = WallTime::parse(&meta.time).unwrap_or(now);
        let near = told.since(now) <= BELIEVED && now.since(told) <= BELIEVED;
        Self {
            recording: RecordingId::derive(&meta.tenant, &meta.session, &asked.policy),
            tenant: meta.tenant.clone(),
            platform: meta.platform,
            instance: meta.instance.clone(),
            room: meta.room.clone(),
            session: meta.session.clone(),
            policy: asked.policy.clone(),
            layout: asked.layout,
            language: asked.language.clone(),
            retention_days: asked.retention_days,
            webinar: asked.webinar,
            basis: asked.basis,
            max_seconds: asked.max_seconds,
            phase: Phase::Claimed,
            epoch: 1,
            owner,
            beat: 0,
            idle: 1,
            created: if near { told } else { now },
            changed: now,
            generation: None,
            reason: None,
        }
    }

    /// The next epoch, of `owner`: for a recording that was offered.
    ///
    /// # Errors
    /// When somebody holds it, it is over, or too many have tried.
    pub fn take(&self, owner: String, now: WallTime) -> Result<Self, Refused> {
        if self.phase.open() && !self.owner.is_empty() {
            return Err(Refused::Held);
        }
        self.take_over(owner, now)
    }

    /// The next epoch, of `owner`, whoever holds it: for a recording whose holder gives no sign of life any more, or is
    /// `owner` itself.
    ///
    /// # Errors
    /// When it is over, or too many have tried.
    pub fn take_over(&self, owner: String, now: WallTime) -> Result<Self, Refused> {
        match self.phase.open() {
            false => Err(Refused::Over),
            true if self.idle >= TRIES || self.epoch >= EPOCHS => Err(Refused::Spent),
            true => Ok(Self {
                owner,
                epoch: self.epoch + 1,
                idle: self.idle + 1,
                phase: Phase::Claimed,
                changed: now,
                ..self.clone()
            }),
        }
    }

    /// A sign of life. `stored`: this epoch has stored a segment.
    ///
    /// # Errors
    /// [`Refused::Over`].
    pub fn beats(&self, stored: bool, now: WallTime) -> Result<Self, Refused> {
        if !self.phase.open() {
            return Err(Refused::Over);
        }
        let idle = if stored { 0 } else { self.idle };
        Ok(Self { beat: self.beat + 1, idle, changed: now, ..self.clone() })
    }

    /// Offers the recording to whoever takes it next.
    ///
    /// # Errors
    /// [`Refused::Spent`] when nobody may take it any more, [`Refused::Over`].
    pub fn offer(&self, now: WallTime) -> Result<Self, Refused> {
        match self.phase.open() {
            false => Err(Refused::Over),
            true if self.idle >= TRIES || self.epoch >= EPOCHS => Err(Refused::Spent),
            true => Ok(Self { owner: String::new(), changed: now, ..self.clone() }),
        }
    }

    /// Whether `later` says that this epoch is no longer needed: a successor's first segment is stored, or the recording
    /// has come to its end.
    #[must_use]
    pub fn is_succeeded_by(&self, later: &Self) -> bool {
        let live = later.epoch > self.epoch && later.phase == Phase::Recording && later.idle == 0;
        live || !later.phase.open()
    }

    /// Its holder moves on to `phase`, for a `reason` if there is one to tell.
    ///
    /// # Errors
    /// [`Refused::Over`]: what is over does not open again, and only the finalizer's work goes on from ENDED, or from where
    /// there was nothing to make a film of and something of it was stored late.
    pub fn becomes(&self, phase: Phase, reason: Option<&str>, now: WallTime) -> Result<Self, Refused> {
        let onward = match self.phase {
            Phase::Claimed => true,
            Phase::Recording => phase != Phase::Claimed,
            Phase::Ended => matches!(phase, Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty),
            Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty => {
                matches!(phase, Phase::Ready | Phase::Partial)
            }
        };
        let reason = reason.map_or_else(|| self.reason.clone(), |reason| Some(reason.to_owned()));
        if onward { Ok(Self { phase, reason, changed: now, ..self.clone() }) } else { Err(Refused::Over) }
    }

    /// What was asked for, in so far as it is of use to a later epoch. Who asked stands in the first one's description.
    #[must_use]
    pub fn asked(&self) -> RecordingRequested {
        RecordingRequested {
            policy: self.policy.clone(),
            requested_by: RESUMED.into(),
            layout: self.layout,
            language: self.language.clone(),
            basis: self.basis,
            retention_days: self.retention_days,
            webinar: self.webinar,
            max_seconds: self.max_seconds,
        }
    }

    /// The envelope of events about this recording, without id and time.
    #[must_use]
    pub fn meta(&self) -> Meta {
        Meta {
            id: String::new(),
            platform: self.platform,
            instance: self.instance.clone(),
            tenant: self.tenant.clone(),
            room: self.room.clone(),
            session: self.session.clone(),
            time: String::new(),
        }
    }

    /// The event that hands a finished recording to the finalizer.
    #[must_use]
    pub fn stored(&self, last: bool) -> EpochStored {
        EpochStored { recording: self.recording, epoch: self.epoch, last, language: self.language.clone() }
    }
}
