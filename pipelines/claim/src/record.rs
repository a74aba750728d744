//! The record and its moves. Each move returns the next record, to be swapped in for the one it was made from.

use std::time::Duration;

use events::{EpochStored, LayoutName, Meta, PolicyId, RecordingId, RecordingRequested, RoomId, SessionId, TenantId};
use media::WallTime;
use serde::{Deserialize, Serialize};

/// So many workers may try one recording. A room whose media kills every worker must not wander for ever.
pub const EPOCHS: u32 = 5;

/// An event's own time names the record if it is at most this far from our clock.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

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
    #[error("as many workers as may have tried this recording")]
    Spent,
}

/// `state.json`: one per recording, changed by compare-and-swap alone, bounded to 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub recording: RecordingId,
    pub tenant: TenantId,
    /// The server's name in our configuration.
    pub instance: String,
    pub room: RoomId,
    pub session: SessionId,
    pub policy: PolicyId,
    pub layout: LayoutName,
    pub language: String,
    pub retention_days: u32,
    pub webinar: bool,
    pub phase: Phase,
    /// Grows by one with every worker that takes the recording; never shrinks.
    pub epoch: u32,
    /// A random word of the worker that holds it: how a claimer knows its own write after a lost reply. Empty while the
    /// recording is offered to whoever takes it.
    pub owner: String,
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
            instance: meta.instance.clone(),
            room: meta.room.clone(),
            session: meta.session.clone(),
            policy: asked.policy.clone(),
            layout: asked.layout,
            language: asked.language.clone(),
            retention_days: asked.retention_days,
            webinar: asked.webinar,
            phase: Phase::Claimed,
            epoch: 1,
            owner,
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
        match self.phase.open() {
            false => Err(Refused::Over),
            true if !self.owner.is_empty() => Err(Refused::Held),
            true if self.epoch >= EPOCHS => Err(Refused::Spent),
            true => Ok(Self { owner, epoch: self.epoch + 1, phase: Phase::Claimed, changed: now, ..self.clone() }),
        }
    }

    /// Offers the recording to whoever takes it next.
    ///
    /// # Errors
    /// [`Refused::Spent`] when nobody may take it any more, [`Refused::Over`].
    pub fn offer(&self, now: WallTime) -> Result<Self, Refused> {
        match self.phase.open() {
            false => Err(Refused::Over),
            true if self.epoch >= EPOCHS => Err(Refused::Spent),
            true => Ok(Self { owner: String::new(), changed: now, ..self.clone() }),
        }
    }

    /// Its holder moves on to `phase`, for a `reason` if there is one to tell.
    ///
    /// # Errors
    /// [`Refused::Over`]: what is over does not open again, and only the finalizer's work goes on from ENDED.
    pub fn becomes(&self, phase: Phase, reason: Option<&str>, now: WallTime) -> Result<Self, Refused> {
        let onward = match self.phase {
            Phase::Claimed => true,
            Phase::Recording => phase != Phase::Claimed,
            Phase::Ended => matches!(phase, Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty),
            Phase::Ready | Phase::Partial => matches!(phase, Phase::Ready | Phase::Partial),
            Phase::Failed | Phase::Empty => false,
        };
        let reason = reason.map_or_else(|| self.reason.clone(), |reason| Some(reason.to_owned()));
        if onward { Ok(Self { phase, reason, changed: now, ..self.clone() }) } else { Err(Refused::Over) }
    }

    /// The event that hands a finished recording to the finalizer.
    #[must_use]
    pub fn stored(&self, last: bool) -> EpochStored {
        EpochStored { recording: self.recording, epoch: self.epoch, last, language: self.language.clone() }
    }
}
