//! Who holds a recording: the record that lies in the store as `state.json`, and the rules by which it may change.
//! Rules only; the store does the compare-and-swap. Holds no personal data.

use events::{EpochStored, LayoutName, Meta, PolicyId, RecordingId, RecordingRequested, RoomId, SessionId, TenantId};
use media::WallTime;
use serde::{Deserialize, Serialize};

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
    /// A random word of the worker that holds it: how a claimer knows its own write after a lost reply.
    pub owner: String,
    pub created: WallTime,
    pub changed: WallTime,
    /// Set once READY or PARTIAL: the newest published generation.
    pub generation: Option<u32>,
    /// A short word for machines, set on FAILED and PARTIAL.
    pub reason: Option<String>,
}

impl Record {
    /// The first claim on a recording: epoch 1.
    #[must_use]
    pub fn first(meta: &Meta, asked: &RecordingRequested, owner: String, now: WallTime) -> Self {
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
            created: now,
            changed: now,
            generation: None,
            reason: None,
        }
    }

    /// The event that hands a finished recording to the finalizer.
    #[must_use]
    pub fn stored(&self, last: bool) -> EpochStored {
        EpochStored { recording: self.recording, epoch: self.epoch, last, language: self.language.clone() }
    }
}
