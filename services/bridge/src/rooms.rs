//! Which rooms run, who is in them, and what to tell of it. Pure: facts and clock readings in, tidings out.
//!
//! A run begins with the first person (or their media) and ends when the room is destroyed or has been empty for a
//! while. Our own bots are no people: a room that holds only them is empty.
//!
//! What must outlive this process is a [`Memory`]. A run that comes back out of it has its old session id and is not sure
//! of anything else: it ends by no clock before it was looked at, and a room that was emptied and filled again meanwhile
//! is the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use events::{Body, ParticipantNews, RecordingStopped, RoomEnded, RoomId, RoomStarted, SessionId, TenantId, TrackNews};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::memory::{Kept, Memory};
use crate::news::{Fact, What};
use crate::past::{Past, Recorder};

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiding {
    pub room: RoomId,
    pub session: SessionId,
    /// Tells apart what room, session and kind do not; the same when the same is told again.
    pub sequence: String,
    pub body: Body,
}

/// What the server itself says of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// Who is there and whether they publish. Without our bots.
    pub people: BTreeMap<String, bool>,
    /// One of our bots is there.
    pub bot: bool,
}

/// The rooms of one server.
#[derive(Debug)]
pub struct Rooms {
    instance: String,
    empty_after: Duration,
    runs: BTreeMap<RoomId, Run>,
    past: Past,
    /// Counts what [`Memory`] would tell otherwise.
    changes: u64,
}

#[derive(Debug)]
struct Run {
    room: RoomId,
    session: SessionId,
    people: BTreeSet<String>,
    publishing: BTreeSet<String>,
    empty_since: Option<OffsetDateTime>,
    /// When the run began, while it is not decided yet whether to ask for a recording.
    undecided: Option<OffsetDateTime>,
    /// A recording was asked for.
    recorded: bool,
    /// It is of an earlier process, and nobody has looked whether it still is.
    unsure: bool,
}

/// A run for which it is to be decided whether to ask for a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    pub room: RoomId,
    pub session: SessionId,
    pub since: OffsetDateTime,
}

impl Rooms {
    #[must_use]
    pub fn new(instance: &str, empty_after: Duration) -> Self {
        Self { instance: instance.to_owned(), empty_after, runs: BTreeMap::new(), past: Past::default(), changes: 0 }
    }

    /// Takes in one fact.
    pub fn hear(&mut self, fact: &Fact, now: OffsetDateTime) -> Vec<Tiding> {
        let Fact { room, at, what } = fact;
        let mut told = Vec::new();
        let empty = self.is_empty(room);
        match what {
            What::Joined { bot: true, .. } | What::Published { bot: true, .. } => {}
            What::Joined { who, .. } => self.run(room, *at, now, &mut told).join(who, *at, &mut told),
            What::Published { who, .. } => self.run(room, *at, now, &mut told).publish(who, *at, &mut told),
            What::Unpublished { who } => {
                if let Some(run) = self.runs.get_mut(room) {
                    run.unpublish(who, *at, &mut told);
                }
            }
            What::Left { who } => {
                if let Some(run) = self.runs.get_mut(room) {
                    run.leave(who, *at, now, &mut told);
                }
            }
            What::Destroyed => told.extend(self.end(room, "destroyed", now)),
        }
        self.changes += u64::from(empty != self.is_empty(room));
        told
    }

    /// Whether a run goes on in an empty room; None when there is none.
    fn is_empty(&self, room: &RoomId) -> Option<bool> {
        self.runs.get(room).map(|run| run.empty_since.is_some())
    }

    /// Corrects what was heard by what `room` really holds; None when the server has no such room. A run that nobody
    /// told us of begins here, and one whose bot is there was asked for already.
    pub fn see(&mut self, room: &RoomId, presence: Option<&Presence>, now: OffsetDateTime) -> Vec<Tiding> {
        let Some(presence) = presence else { return self.end(room, "gone", now).into_iter().collect() };
        if presence.people.is_empty() && !self.runs.contains_key(room) {
            return Vec::new();
        }
        let at = micros(now);
        let mut told = Vec::new();
        let empty = self.is_empty(room);
        let run = self.run(room, at, now, &mut told);
        let asked = presence.bot && (run.undecided.take().is_some() || !run.recorded);
        run.recorded |= presence.bot;
        run.unsure = false;
        for (who, publishes) in &presence.people {
            if *publishes { run.publish(who, at, &mut told) } else { run.listen(who, at, &mut told) }
        }
        let gone: Vec<_> = run.people.iter().filter(|who| !presence.people.contains_key(*who)).cloned().collect();
        for who in gone {
            run.leave(&who, at, now, &mut told);
        }
        if run.people.is_empty() {
            run.empty_since.get_or_insert(now);
        }
        self.changes += u64::from(asked || empty != self.is_empty(room));
        told
    }

    /// Ends what has been empty for long enough.
    pub fn tick(&mut self, now: OffsetDateTime) -> Vec<Tiding> {
        self.changes += u64::from(self.past.forget(now));
        let over = |run: &&Run| !run.unsure && run.empty_since.is_some_and(|since| now - since >= self.empty_after);
        let rooms: Vec<_> = self.runs.values().filter(over).map(|run| run.room.clone()).collect();
        rooms.iter().filter_map(|room| self.end(room, "empty", now)).collect()
    }

    /// Takes up what an earlier process left, before anything else is heard; returns what it may not have told any more.
    pub fn restore(&mut self, memory: Memory) -> Vec<Tiding> {
        let moment = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).ok();
        for Kept { room, session, undecided, recorded, empty_since } in memory.runs {
            let run = Run {
                room: room.clone(),
                session,
                people: BTreeSet::new(),
                publishing: BTreeSet::new(),
                empty_since: empty_since.and_then(moment),
                undecided: undecided.and_then(moment),
                recorded,
                unsure: true,
            };
            self.runs.insert(room, run);
        }
        self.past = memory.past;
        self.changes += 1;
        self.past.untold()
    }

    /// What must outlive this process, as it is now.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let kept = |run: &Run| Kept {
            room: run.room.clone(),
            session: run.session.clone(),
            undecided: run.undecided.map(OffsetDateTime::unix_timestamp),
            recorded: run.recorded,
            empty_since: run.empty_since.map(OffsetDateTime::unix_timestamp),
        };
        Memory::of(self.runs.values().map(kept).collect(), self.past.clone())
    }

    /// Another number than before means another [`Rooms::memory`].
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Everything that was given out has been told.
    pub fn told(&mut self) {
        self.past.told();
        self.changes += 1;
    }

    /// Somebody stopped a recording of a run, be it over or not known.
    pub fn stopped(&mut self, room: &RoomId, session: &SessionId, stop: &RecordingStopped, now: OffsetDateTime) {
        self.changes += u64::from(self.past.stops(room, session, stop, now));
    }

    /// Somebody began to record, or does again: what they must hear, for they may have come too late for it.
    #[must_use]
    pub fn again(&self, tenant: &TenantId, recorder: &Recorder) -> Vec<Tiding> {
        self.past.again(tenant, recorder)
    }

    /// Every room that runs.
    pub fn running(&self) -> impl Iterator<Item = &RoomId> {
        self.runs.keys()
    }

    #[must_use]
    pub fn runs(&self, room: &RoomId) -> bool {
        self.runs.contains_key(room)
    }

    /// The run of `room` that is under way.
    #[must_use]
    pub fn session(&self, room: &RoomId) -> Option<&SessionId> {
        self.runs.get(room).map(|run| &run.session)
    }

    /// The runs for which it is not decided yet whether to ask for a recording.
    #[must_use]
    pub fn undecided(&self) -> Vec<Undecided> {
        let open =
            |run: &Run| Some(Undecided { room: run.room.clone(), session: run.session.clone(), since: run.undecided? });
        self.runs.values().filter_map(open).collect()
    }

    /// It is decided, and a recording was asked for or not.
    pub fn decided(&mut self, room: &RoomId, recorded: bool) {
        if let Some(run) = self.runs.get_mut(room) {
            run.undecided = None;
            run.recorded |= recorded;
            self.changes += 1;
        }
    }

    /// A recording was asked for by a person.
    pub fn recorded(&mut self, room: &RoomId) {
        if let Some(run) = self.runs.get_mut(room) {
            run.recorded = true;
            self.changes += 1;
        }
    }

    /// The run of `room`, begun if need be.
    fn run(&mut self, room: &RoomId, at: i64, now: OffsetDateTime, told: &mut Vec<Tiding>) -> &mut Run {
        let instance = &self.instance;
        self.runs.entry(room.clone()).or_insert_with(|| {
            let run = Run {
                room: room.clone(),
                session: session_id(instance, room, at),
                people: BTreeSet::new(),
                publishing: BTreeSet::new(),
                empty_since: None,
                undecided: Some(now),
                recorded: false,
                unsure: false,
            };
            told.push(run.tiding(String::new(), Body::RoomStarted(RoomStarted {})));
            run
        })
    }

    fn end(&mut self, room: &RoomId, reason: &str, now: OffsetDateTime) -> Option<Tiding> {
        let run = self.runs.remove(room)?;
        self.past.ends(room, &run.session, reason, run.recorded, now);
        self.changes += 1;
        Some(run.tiding(String::new(), Body::RoomEnded(RoomEnded { reason: reason.to_owned() })))
    }
}

impl Run {
    fn join(&mut self, who: &str, at: i64, told: &mut Vec<Tiding>) {
        self.empty_since = None;
        if self.people.insert(who.to_owned()) {
            told.push(self.about(who, at, Body::ParticipantJoined));
        }
    }

    fn publish(&mut self, who: &str, at: i64, told: &mut Vec<Tiding>) {
        self.join(who, at, told);
        if self.publishing.insert(who.to_owned()) {
            told.push(self.track(who, at, Body::TrackPublished));
        }
    }

    /// Is there and does not publish.
    fn listen(&mut self, who: &str, at: i64, told: &mut Vec<Tiding>) {
        self.join(who, at, told);
        self.unpublish(who, at, told);
    }

    fn unpublish(&mut self, who: &str, at: i64, told: &mut Vec<Tiding>) {
        // Janus says it twice.
        if self.publishing.remove(who) {
            told.push(self.track(who, at, Body::TrackUnpublished));
        }
    }

    fn leave(&mut self, who: &str, at: i64, now: OffsetDateTime, told: &mut Vec<Tiding>) {
        self.unpublish(who, at, told);
        if self.people.remove(who) {
            told.push(self.about(who, at, Body::ParticipantLeft));
            if self.people.is_empty() {
                self.empty_since = Some(now);
            }
        }
    }

    fn about(&self, who: &str, at: i64, body: fn(ParticipantNews) -> Body) -> Tiding {
        self.tiding(format!("{who}/{at}"), body(ParticipantNews { participant: who.to_owned() }))
    }

    fn track(&self, who: &str, at: i64, body: fn(TrackNews) -> Body) -> Tiding {
        self.tiding(format!("{who}/{at}"), body(TrackNews { participant: who.to_owned() }))
    }

    fn tiding(&self, sequence: String, body: Body) -> Tiding {
        Tiding { room: self.room.clone(), session: self.session.clone(), sequence, body }
    }
}

/// The id of a run: the same for everybody who hears the same first news of it.
fn session_id(instance: &str, room: &RoomId, at: i64) -> SessionId {
    let hash = hex::encode(&Sha256::digest(format!("{instance}/{room}/{at}"))[..12]);
    #[expect(clippy::expect_used, reason = "24 hex digits have the grammar of ids")]
    SessionId::new(hash).expect("an id")
}

fn micros(now: OffsetDateTime) -> i64 {
    i64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or_default()
}
