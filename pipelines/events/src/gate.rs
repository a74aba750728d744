//! Which events to act on: each once, none from a room run that is over, none from last month. Pure; the caller brings
//! its own clock, and an event's time is believed only so far as to call it old.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use time::OffsetDateTime;

use crate::body::Body;
use crate::envelope::Event;
use crate::ids::{PolicyId, SessionId};

/// What is told of an unknown room run after this long was delayed by an outage or is replayed.
pub const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
/// Longer than a late start can trail behind its end, through retries and a restarted broker.
pub const TOMBSTONE_FOR: Duration = Duration::from_secs(3600);
/// What is remembered of each sort. Ten thousand rooms at once, and a bound on what an attacker can make us keep.
const REMEMBERED: usize = 65_536;

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Act on it.
    Fresh,
    /// Seen before: settle it, do nothing.
    Repeat,
    /// Its room run, or its recording, ended before it came: settle it, do nothing.
    Tombstoned,
    /// Too old to begin anything: park it, so that a person may look.
    Stale,
}

/// Memory of what was seen. Not durable: after a restart a repeat is [`Verdict::Fresh`] again, and what follows from it
/// must be idempotent by deterministic ids.
#[derive(Debug, Default)]
pub struct Gate {
    seen: Memory<(String, String)>,
    sessions: Memory<SessionId>,
    ended: Memory<(SessionId, Option<PolicyId>)>,
}

impl Gate {
    /// Judges `event` at `now` and remembers it.
    ///
    /// [`Body::RecordingRequested`] waits in a queue for a free worker, so it stays fresh for as long as the recording
    /// it asks for may last; every other event for [`FRESH_FOR`].
    pub fn admit(&mut self, event: &Event, now: OffsetDateTime) -> Verdict {
        let session = &event.meta.session;
        if self.seen.has(&key(event), now) {
            return Verdict::Repeat;
        }
        let over = |policy: Option<&PolicyId>| (session.clone(), policy.cloned());
        let tombstoned = match &event.body {
            Body::RecordingRequested(wish) => {
                self.ended.has(&over(None), now) || self.ended.has(&over(Some(&wish.policy)), now)
            }
            Body::RoomStarted(_)
            | Body::ParticipantJoined(_)
            | Body::ParticipantLeft(_)
            | Body::TrackPublished(_)
            | Body::TrackUnpublished(_) => self.ended.has(&over(None), now),
            // An end is always worth hearing, and what workers tell comes after the room's end by nature.
            // Who wants a recording knows no run that could be over.
            Body::RoomEnded(_)
            | Body::RecordingWanted(_)
            | Body::RecordingStopped(_)
            | Body::RecorderJoined(_)
            | Body::RecordingStarted(_)
            | Body::EpochStored(_)
            | Body::RecordingReady(_)
            | Body::RecordingFailed(_)
            | Body::StreamLive(_)
            | Body::StreamEnded(_)
            | Body::TranscriptReady(_)
            | Body::TranscriptFailed(_) => false,
        };
        if tombstoned {
            return Verdict::Tombstoned;
        }
        if !self.sessions.has(session, now) && is_old(event, now) {
            return Verdict::Stale;
        }
        self.remember(event, now);
        Verdict::Fresh
    }

    /// Whether `event` was acted on before. Remembers nothing.
    #[must_use]
    pub fn repeats(&self, event: &Event, now: OffsetDateTime) -> bool {
        self.seen.has(&key(event), now)
    }

    /// Undoes [`Gate::admit`] for an event that was not acted on and will come again.
    pub fn forget(&mut self, event: &Event) {
        self.seen.lose(&key(event));
    }

    fn remember(&mut self, event: &Event, now: OffsetDateTime) {
        let session = &event.meta.session;
        self.seen.keep(key(event), now, TOMBSTONE_FOR);
        match &event.body {
            Body::RoomEnded(_) => self.ended.keep((session.clone(), None), now, TOMBSTONE_FOR),
            Body::RecordingStopped(stop) => {
                self.ended.keep((session.clone(), Some(stop.policy.clone())), now, TOMBSTONE_FOR);
            }
            _ => {}
        }
        self.sessions.keep(session.clone(), now, crate::body::LONGEST);
    }
}

fn key(event: &Event) -> (String, String) {
    (event.meta.source(), event.meta.id.clone())
}

/// A time in the future or none at all is a wrong clock somewhere, not age.
fn is_old(event: &Event, now: OffsetDateTime) -> bool {
    let fresh_for = match &event.body {
        Body::RecordingRequested(wish) => wish.longest(),
        _ => FRESH_FOR,
    };
    event.meta.moment().is_some_and(|told| now - told > fresh_for)
}

/// A set whose members expire, the oldest first when it is full.
#[derive(Debug)]
struct Memory<T> {
    until: HashMap<T, OffsetDateTime>,
    order: VecDeque<T>,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { until: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T: Hash + Eq + Clone> Memory<T> {
    fn has(&self, item: &T, now: OffsetDateTime) -> bool {
        self.until.get(item).is_some_and(|until| now < *until)
    }

    fn keep(&mut self, item: T, now: OffsetDateTime, lasts: Duration) {
        while let Some(oldest) = self.order.front()
            && (self.order.len() >= REMEMBERED || !self.has(oldest, now))
        {
            self.until.remove(oldest);
            self.order.pop_front();
        }
        if self.until.insert(item.clone(), now + lasts).is_none() {
            self.order.push_back(item);
        }
    }

    fn lose(&mut self, item: &T) {
        self.until.remove(item);
        self.order.retain(|kept| kept != item);
    }
}
