//! The table: for each group of states, what each input leads to. How a move is made stands in `moves`.

use std::time::Instant;

use layout::Scene;

use crate::people::People;
use crate::shelf::Shelf;
use crate::{
    Action, Claim, Ending, Fault, Input, Meeting, News, Object, Outcome, Pipeline, Reason, Room, Spec, State, Storage,
};

/// One worker's stretch of a recording, from a written claim to its release. It owns the roster and asks `layout` for
/// the scene.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) spec: Spec,
    pub(crate) state: State,
    pub(crate) people: People,
    pub(crate) shelf: Shelf,
    /// Our bot is in the room or on its way.
    pub(crate) bot: bool,
    /// Our bot is in the room and its sign is set.
    pub(crate) inside: bool,
    pub(crate) pipeline: bool,
    pub(crate) released: bool,
    /// This worker is to end.
    pub(crate) stopping: bool,
    /// When the next attempt to join is to begin.
    pub(crate) join_at: Option<Instant>,
    /// Live, and since when nobody sends anything.
    pub(crate) silent_since: Option<Instant>,
    /// What the pipeline shows, since when, and when it is to be looked at again.
    pub(crate) shown: Option<Scene>,
    pub(crate) arranged: Option<Instant>,
    pub(crate) arrange_at: Option<Instant>,
    /// When the next track on trial is to be added.
    pub(crate) admit_at: Option<Instant>,
    /// That time was set without a pause, since nobody else was there.
    pub(crate) admit_at_once: bool,
    pub(crate) actions: Vec<Action>,
}

impl Session {
    /// Begins by joining.
    #[must_use]
    pub fn new(spec: Spec, now: Instant) -> (Self, Vec<Action>) {
        let mut session = Self {
            state: State::Joining { attempt: 1, until: now + spec.limits.join },
            people: People::wary(&spec.caution),
            spec,
            shelf: Shelf::default(),
            bot: true,
            inside: false,
            pipeline: false,
            released: false,
            stopping: false,
            join_at: None,
            silent_since: None,
            shown: None,
            arranged: None,
            arrange_at: None,
            admit_at: None,
            admit_at_once: false,
            actions: vec![Action::Join { attempt: 1 }],
        };
        let actions = std::mem::take(&mut session.actions);
        (session, actions)
    }

    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Tells the session `input`; what it returns is to be done at once and in order. `now` never goes back.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Action> {
        self.stopping |= input == Input::Shutdown;
        match self.state {
            State::Joining { attempt, .. } | State::Lobby { attempt, .. } | State::Starting { attempt, .. } => {
                self.before(input, attempt, now);
            }
            State::Live { .. } | State::Rejoining { .. } | State::HandingOver { .. } => self.running(input, now),
            State::Draining { why, until } => self.draining(input, why, until, now),
            State::Storing { why, until } => self.storing(input, why, until, now),
            State::Ended(_) => {}
        }
        std::mem::take(&mut self.actions)
    }

    /// When to call `handle(Input::Timeout, now)`, unless something else comes first. None once ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let limits = &self.spec.limits;
        let own = match self.state {
            State::Joining { until, .. } | State::Lobby { until, .. } | State::Starting { until, .. } => until,
            State::Live { since } => since + limits.longest,
            State::Rejoining { since, until, .. } => until.min(since + limits.longest),
            State::HandingOver { until } | State::Draining { until, .. } | State::Storing { until, .. } => until,
            State::Ended(_) => return None,
        };
        let silent = self.silent_since.map(|since| since + limits.empty);
        [Some(own), silent, self.join_at, self.admit_at, self.arrange_at, self.shelf.next_try()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Joining, Lobby, Starting: nothing is captured yet.
    fn before(&mut self, input: Input, attempt: u32, now: Instant) {
        let joining = matches!(self.state, State::Joining { .. });
        let starting = matches!(self.state, State::Starting { .. });
        match input {
            Input::Meeting(Meeting::Joined) if joining => {
                self.inside = true;
                self.join_at = None;
                self.state = State::Lobby { attempt, until: now + self.spec.limits.lobby };
                self.actions.push(Action::Announce(News::Joined { attempt }));
            }
            Input::Meeting(Meeting::Removed) if joining => self.fail(Fault::Room, Reason::Removed),
            Input::Meeting(Meeting::Removed) => self.end(Outcome::Empty(Reason::Removed)),
            // No attempt is under way that could be lost.
            Input::Meeting(Meeting::Lost(Fault::Passing, _)) if self.join_at.is_some() => {}
            Input::Meeting(Meeting::Lost(fault, why)) => match fault {
                Fault::Passing => self.join_again(attempt, why, now),
                Fault::Room => self.fail(fault, why),
                Fault::Worker => self.end(Outcome::HandedOver),
            },
            Input::Meeting(news) => {
                self.hear(news);
                if !joining && !starting && !self.people.silent() {
                    self.state = State::Starting { attempt, until: now + self.spec.limits.start };
                    self.pipeline = true;
                    self.actions.push(Action::Start(self.spec.pipeline.clone()));
                }
            }
            Input::Pipeline(Pipeline::Playing) if starting => self.go_live(now),
            Input::Pipeline(Pipeline::Broke(fault, why)) if starting => match fault {
                Fault::Room => self.fail(fault, why),
                Fault::Passing | Fault::Worker => self.end(Outcome::HandedOver),
            },
            Input::Room(Room::StopRequested) => self.end(Outcome::Empty(Reason::Stopped)),
            Input::Room(Room::Ended) => self.end(Outcome::Empty(Reason::RoomEnded)),
            Input::Shutdown => self.end(Outcome::HandedOver),
            Input::Claim(Claim::Superseded) => self.end(Outcome::Superseded),
            Input::Timeout => self.timeout_before(attempt, now),
            Input::Claim(Claim::Taken) | Input::Pipeline(_) | Input::Storage(_) => {}
        }
    }

    fn timeout_before(&mut self, attempt: u32, now: Instant) {
        self.join_if_due(attempt, now);
        match self.state {
            State::Joining { until, .. } if until <= now => self.join_again(attempt, Reason::Unreachable, now),
            State::Lobby { until, .. } if until <= now => self.end(Outcome::Empty(Reason::NoMedia)),
            State::Starting { until, .. } if until <= now => self.end(Outcome::HandedOver),
            _ => {} // Too early.
        }
    }

    /// Live, Rejoining, HandingOver: the pipeline runs.
    fn running(&mut self, input: Input, now: Instant) {
        match input {
            Input::Meeting(Meeting::Joined) => self.back_in_the_room(now),
            Input::Meeting(Meeting::Removed) => self.removed(now),
            Input::Meeting(Meeting::Lost(Fault::Passing | Fault::Room, _)) if self.join_at.is_some() => {}
            Input::Meeting(Meeting::Lost(fault, why)) => self.lost(fault, why, now),
            Input::Meeting(news) => {
                self.hear(news);
                self.admit_later(now);
                self.count_the_silent(now);
                self.arrange_soon(now);
            }
            Input::Room(Room::StopRequested | Room::Ended) => self.drain(self.unless_offered(Ending::Complete), now),
            Input::Shutdown => self.hand_over(now),
            Input::Claim(Claim::Superseded) => self.drain(Ending::Superseded, now),
            Input::Claim(Claim::Taken) if self.released => self.drain(Ending::HandedOver, now),
            Input::Claim(Claim::Taken) => {}
            Input::Pipeline(Pipeline::Init(rendition)) => self.store(Object::Init(rendition)),
            Input::Pipeline(Pipeline::Closed(rendition, number)) => self.store(Object::Segment(rendition, number)),
            Input::Pipeline(Pipeline::Broke(fault, why)) => self.broke(fault, why, now),
            // Nobody asked it to finish.
            Input::Pipeline(Pipeline::Drained) => self.broke(Fault::Passing, Reason::PipelineBroke, now),
            Input::Pipeline(Pipeline::Playing) => {}
            Input::Storage(Storage::SpoolFull) => {
                self.drain(self.unless_offered(Ending::Cut(Reason::DiskFull)), now);
            }
            Input::Storage(news) => self.shelve(news, now),
            Input::Timeout => self.timeout_running(now),
        }
    }

    fn timeout_running(&mut self, now: Instant) {
        self.store_again(now);
        let limits = &self.spec.limits;
        let silent = self.silent_since.is_some_and(|since| since + limits.empty <= now);
        let over = |since: Instant| since + limits.longest <= now;
        match self.state {
            State::Live { since } if silent || over(since) => self.drain(Ending::Complete, now),
            State::Rejoining { since, .. } if over(since) => self.drain(Ending::Complete, now),
            State::Rejoining { until, .. } if until <= now => self.rejoin(Reason::Unreachable, now),
            State::Rejoining { attempt, .. } => self.join_if_due(attempt, now),
            State::HandingOver { until } if until <= now => self.drain(Ending::HandedOver, now),
            _ => {} // Too early.
        }
        if self.admit_at.is_some_and(|at| at <= now) {
            self.admit(now);
        }
        if self.arrange_at.is_some_and(|at| at <= now) {
            self.arrange(now);
        }
    }

    /// The pipeline finishes what it began.
    fn draining(&mut self, input: Input, why: Ending, until: Instant, now: Instant) {
        match input {
            Input::Pipeline(Pipeline::Init(rendition)) => self.store(Object::Init(rendition)),
            Input::Pipeline(Pipeline::Closed(rendition, number)) => self.store(Object::Segment(rendition, number)),
            Input::Pipeline(Pipeline::Drained) => {
                self.pipeline = false;
                self.store_the_rest(why, now);
            }
            Input::Pipeline(Pipeline::Broke(_, reason)) => {
                self.kill();
                self.store_the_rest(why.cut(reason), now);
            }
            Input::Timeout => {
                self.store_again(now);
                if until <= now {
                    self.kill();
                    self.store_the_rest(why.cut(Reason::DrainTimeout), now);
                }
            }
            Input::Storage(news) => self.shelve(news, now),
            Input::Claim(Claim::Superseded) => {
                self.state = State::Draining { why: Ending::Superseded, until };
            }
            Input::Room(_) | Input::Meeting(_) | Input::Claim(Claim::Taken) | Input::Shutdown => {}
            Input::Pipeline(Pipeline::Playing) => {}
        }
    }

    /// Waiting for receipts: of everything that was made, then of the journal.
    fn storing(&mut self, input: Input, why: Ending, until: Instant, now: Instant) {
        match input {
            Input::Storage(news) => {
                let journal = self.shelf.holds(&Object::Journal);
                self.shelve(news, now);
                if self.shelf.is_empty() {
                    if journal { self.end(why.into()) } else { self.store(Object::Journal) }
                }
            }
            Input::Timeout => {
                self.store_again(now);
                if until <= now {
                    self.end(match why {
                        Ending::HandedOver | Ending::Superseded => why.into(),
                        // What did get stored is worth a file, though it lacks what did not.
                        Ending::Complete | Ending::Cut(_) => Outcome::Cut(Reason::StoreTimeout),
                    });
                }
            }
            Input::Claim(Claim::Superseded) => {
                self.state = State::Storing { why: Ending::Superseded, until };
            }
            // What is not stored by then lies in the spool, and whoever comes next uploads it.
            Input::Shutdown => {
                self.state = State::Storing { why, until: until.min(now + self.spec.limits.drain) };
            }
            Input::Room(_) | Input::Meeting(_) | Input::Claim(Claim::Taken) | Input::Pipeline(_) => {}
        }
    }
}
