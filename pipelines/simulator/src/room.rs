//! A meeting: people come and go, it ends, and bots that join see all that from then on. News reaches each bot after a
//! while of its own, so its order is not that in which things happened.

use media::{Codec, Participant, ParticipantId, Source, Track, TrackId};
use session::{Fault, Input, Meeting, Reason, Room as About};

use crate::event::{Client, Event, Happening, Wake};
use crate::outside::Outside;
use crate::schedule::{MS, Micros, SECOND};

/// A bot of a worker's job, in one attempt to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bot {
    pub(crate) of: Client,
    pub(crate) job: u32,
    pub(crate) join: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) begun: Micros,
    pub(crate) ended: Option<Micros>,
    pub(crate) stopped: bool,
    closed: bool,
    /// Its server does not answer, as often as that is so.
    away: u32,
    people: Vec<u32>,
    /// On their way in.
    coming: Vec<Bot>,
    pub(crate) bots: Vec<Bot>,
}

impl Room {
    pub(crate) fn new(begun: Micros) -> Self {
        Self { begun, ..Self::default() }
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.ended.is_none() && !self.stopped
    }
}

impl Outside {
    /// A bot wants to enter. What comes of it is heard.
    pub(crate) fn join(&mut self, at: usize, bot: Bot) {
        self.leave(at, bot.of, bot.job);
        let takes = self.random.between(200 * MS, 2 * SECOND);
        self.rooms[at].coming.push(bot);
        self.after(takes, Event::Enter(at, bot));
    }

    /// It is at the door, unless it has turned away.
    pub(crate) fn enter(&mut self, at: usize, bot: Bot) {
        let room = &mut self.rooms[at];
        let Some(found) = room.coming.iter().position(|other| *other == bot) else { return };
        room.coming.swap_remove(found);
        if room.away > 0 {
            return self.hear(bot, 0, lost(Fault::Passing, Reason::Unreachable));
        }
        if room.closed {
            return self.hear(bot, 0, lost(Fault::Room, Reason::Refused));
        }
        room.bots.push(bot);
        let people = room.people.clone();
        self.hear(bot, 0, Input::Meeting(Meeting::Joined));
        for who in people {
            self.introduce(bot, who);
        }
    }

    pub(crate) fn leave(&mut self, at: usize, of: Client, job: u32) {
        let room = &mut self.rooms[at];
        room.bots.retain(|bot| (bot.of, bot.job) != (of, job));
        room.coming.retain(|bot| (bot.of, bot.job) != (of, job));
    }

    /// A process is gone, and its bots with it.
    pub(crate) fn vanish(&mut self, worker: usize) {
        for room in &mut self.rooms {
            room.bots.retain(|bot| !matches!(bot.of, Client::Worker(at, _) if at == worker));
            room.coming.retain(|bot| !matches!(bot.of, Client::Worker(at, _) if at == worker));
        }
    }

    pub(crate) fn meeting_away(&mut self, away: bool) {
        for at in 0..self.rooms.len() {
            let room = &mut self.rooms[at];
            room.away = if away { room.away + 1 } else { room.away.saturating_sub(1) };
            if away {
                for bot in std::mem::take(&mut room.bots) {
                    let late = self.random.between(10 * MS, SECOND);
                    self.hear(bot, late, lost(Fault::Passing, Reason::Unreachable));
                }
            }
        }
    }

    pub(crate) fn happens(&mut self, at: usize, what: Happening) {
        let now = self.now();
        if self.rooms[at].ended.is_some() {
            return;
        }
        self.story.tell(now, || format!("room {at}     {what:?}"));
        let bots = self.rooms[at].bots.clone();
        match what {
            Happening::Come(who) => {
                self.rooms[at].people.push(who);
                bots.iter().for_each(|bot| self.introduce(*bot, who));
            }
            Happening::Go(who) => {
                self.rooms[at].people.retain(|other| *other != who);
                bots.iter().for_each(|bot| self.miss(*bot, who));
            }
            Happening::Stop => {
                self.rooms[at].stopped = true;
                self.announce(at, About::StopRequested);
            }
            Happening::End { closes } => {
                let room = &mut self.rooms[at];
                (room.ended, room.closed) = (Some(now), closes);
                let people = std::mem::take(&mut room.people);
                for bot in bots {
                    people.iter().for_each(|who| self.miss(bot, *who));
                    if closes {
                        let late = self.random.between(10 * MS, SECOND);
                        self.hear(bot, late, Input::Room(About::Ended));
                    }
                }
                self.announce(at, About::Ended);
            }
        }
    }

    /// Says it to all workers: now and then not at all, now and then more than once.
    fn announce(&mut self, at: usize, news: About) {
        let copies = [0, 1, 1, 1, 1, 1, 1, 2, 2, 3][self.random.index(10)];
        for _ in 0..copies {
            for (worker, life) in self.lives.clone().into_iter().enumerate() {
                let late = self.random.between(5 * MS, 3 * SECOND);
                self.after(late, Event::Worker(worker, life, Wake::News(at, news)));
            }
        }
    }

    fn introduce(&mut self, bot: Bot, who: u32) {
        let id = ParticipantId(format!("p{who}"));
        let track = Track {
            id: TrackId(format!("t{who}")),
            participant: id.clone(),
            source: Source::Camera,
            codec: Codec::Vp8,
        };
        let (first, second) = (self.random.between(MS, 100 * MS), self.random.between(MS, 100 * MS));
        let person = Participant { id, name: format!("Person {who}") };
        self.hear(bot, first, Input::Meeting(Meeting::Arrived(person)));
        self.hear(bot, second, Input::Meeting(Meeting::Track(track)));
    }

    fn miss(&mut self, bot: Bot, who: u32) {
        let late = self.random.between(100 * MS, 200 * MS);
        self.hear(bot, late, Input::Meeting(Meeting::Departed(ParticipantId(format!("p{who}")))));
    }

    fn hear(&mut self, bot: Bot, late: Micros, input: Input) {
        self.wake(bot.of, late, Wake::Heard(bot.job, bot.join, input));
    }
}

fn lost(fault: Fault, why: Reason) -> Input {
    Input::Meeting(Meeting::Lost(fault, why))
}
