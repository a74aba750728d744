//! What is over and may have to be said again: runs that ended and recordings that were stopped. A worker that goes on
//! with another's recording heard neither. Pure: clock readings in, tidings out.

use std::time::Duration;

use events::{Body, PolicyId, RecordingId, RecordingStopped, RoomEnded, RoomId, SessionId, TenantId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::rooms::Tiding;

/// Longer than a worker that was cut off by an outage of a day holds on to a recording of twelve hours.
const KEPT: Duration = Duration::from_secs(48 * 3600);
/// Of each sort. Two days of a very large institution; the oldest makes room.
const MANY: usize = 10_000;

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Over {
    room: RoomId,
    session: SessionId,
    reason: String,
    /// Seconds since 1970, by our clock.
    at: i64,
    /// A recording of it was asked for. Nobody needs to hear again of the end of another.
    recorded: bool,
    /// Everybody who listened has heard it.
    told: bool,
}

/// The end of a recording whose run may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stop {
    room: RoomId,
    session: SessionId,
    policy: PolicyId,
    requested_by: String,
    at: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Past {
    over: Vec<Over>,
    stops: Vec<Stop>,
}

/// Somebody who records, as `recorder.joined` and `recording.started` tell of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorder {
    pub room: RoomId,
    pub session: SessionId,
    pub recording: RecordingId,
    /// The id of the event that told of it: tells apart what is said again, and is the same when that comes twice.
    pub told_by: String,
}

impl Past {
    /// A run ended; its end is to be told.
    pub(crate) fn ends(
        &mut self,
        room: &RoomId,
        session: &SessionId,
        reason: &str,
        recorded: bool,
        now: OffsetDateTime,
    ) {
        let (room, session, reason) = (room.clone(), session.clone(), reason.to_owned());
        keep(&mut self.over, Over { room, session, reason, at: now.unix_timestamp(), recorded, told: false });
    }

    /// Every end so far has been told.
    pub(crate) fn told(&mut self) {
        self.over.retain(|over| over.recorded);
        self.over.iter_mut().for_each(|over| over.told = true);
    }

    /// The ends that may not have been told before we were stopped. Told twice they are the same event.
    pub(crate) fn untold(&self) -> Vec<Tiding> {
        self.over.iter().filter(|over| !over.told).map(|over| over.tiding(String::new())).collect()
    }

    /// Somebody stopped a recording. False when that was known.
    pub(crate) fn stops(
        &mut self,
        room: &RoomId,
        session: &SessionId,
        stop: &RecordingStopped,
        now: OffsetDateTime,
    ) -> bool {
        if self.stops.iter().any(|known| known.session == *session && known.policy == stop.policy) {
            return false;
        }
        let RecordingStopped { policy, requested_by } = stop.clone();
        let (room, session) = (room.clone(), session.clone());
        keep(&mut self.stops, Stop { room, session, policy, requested_by, at: now.unix_timestamp() });
        true
    }

    /// What `recorder` must hear, because it may have come after it was said: that its run is over, that its recording
    /// was stopped. Under new ids, since a worker that was there and lost the recording drops what it has heard before.
    pub(crate) fn again(&self, tenant: &TenantId, recorder: &Recorder) -> Vec<Tiding> {
        let over = self.over.iter().filter(|over| over.session == recorder.session && over.room == recorder.room);
        let stopped = self.stops.iter().filter(|stop| {
            stop.session == recorder.session
                && stop.room == recorder.room
                && RecordingId::derive(tenant, &stop.session, &stop.policy) == recorder.recording
        });
        let over = over.map(|over| over.tiding(recorder.told_by.clone()));
        over.chain(stopped.map(|stop| stop.tiding(recorder.told_by.clone()))).collect()
    }

    /// Lets go of what is too old to matter. True when there was any.
    pub(crate) fn forget(&mut self, now: OffsetDateTime) -> bool {
        let since = (now - KEPT).unix_timestamp();
        let before = self.over.len() + self.stops.len();
        self.over.retain(|over| over.at >= since);
        self.stops.retain(|stop| stop.at >= since);
        self.over.len() + self.stops.len() < before
    }
}

impl Over {
    fn tiding(&self, sequence: String) -> Tiding {
        let body = Body::RoomEnded(RoomEnded { reason: self.reason.clone() });
        Tiding { room: self.room.clone(), session: self.session.clone(), sequence, body }
    }
}

impl Stop {
    fn tiding(&self, sequence: String) -> Tiding {
        let (policy, requested_by) = (self.policy.clone(), self.requested_by.clone());
        let body = Body::RecordingStopped(RecordingStopped { policy, requested_by });
        Tiding { room: self.room.clone(), session: self.session.clone(), sequence, body }
    }
}

fn keep<T>(all: &mut Vec<T>, one: T) {
    if all.len() >= MANY {
        all.remove(0);
    }
    all.push(one);
}
