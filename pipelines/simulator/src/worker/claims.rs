//! How a worker comes by a recording: asked by a message, as a steward of those that nobody holds, or as the one that
//! held it before it died.

use claim::{Ask, Claimed, Claimer, PATIENCE, Refused};

use super::{Purpose, Worker};
use crate::event::{Event, Letter, Wake};
use crate::mistake::Mistake;
use crate::outside::Outside;
use crate::schedule::{MS, SECOND};
use crate::store::{Answer, Condition, Key, Request, Value};

#[derive(Debug)]
pub(super) struct Claiming {
    pub(super) number: u32,
    pub(super) recording: usize,
    /// A message asks for it, which is not settled yet.
    pub(super) asked: bool,
    claimer: Claimer,
    /// Whose record it is to go on from, if it is our own.
    own: Option<String>,
    /// To be asked again after a pause.
    next: Option<Ask>,
}

impl Worker {
    pub(super) fn request(&mut self, recording: usize, out: &mut Outside) {
        let early = out.makes(Mistake::EarlySettle);
        if !self.free() {
            return out.after(SECOND, Event::Post(Letter::Request(recording)));
        }
        let word = out.word(self.at);
        let first = crate::lecture::first(recording, word, out.schedule.wall(self.clock));
        let (claimer, ask) = Claimer::request(first);
        let number = self.number();
        self.claims.push(Claiming { number, recording, asked: !early, claimer, own: None, next: None });
        self.ask(Purpose::Claim(number), to_request(recording, ask), out);
    }

    /// The steward's look at everything that is open.
    pub(super) fn look(&mut self, out: &mut Outside) {
        // A look that is still under way is as good as a new one.
        if self.free() && !self.calls.iter().any(|(_, purpose)| matches!(purpose, Purpose::Look)) {
            self.ask(Purpose::Look, Request::List { ended: false }, out);
        }
        out.wake(self.client(), SECOND, Wake::Look);
    }

    pub(super) fn looked(&mut self, answer: Answer, out: &mut Outside) {
        match answer {
            Answer::Listed(found) => self.seen = found,
            _ if out.makes(Mistake::SightedSteward) => {}
            _ => return self.watch.blind(),
        }
        let found = std::mem::take(&mut self.seen);
        let mut due = self.watch.look(found.iter().map(|(_, record, etag)| (&**record, &**etag)), out.instant());
        if out.makes(Mistake::WallClockSteward) {
            let now = out.schedule.wall(self.clock);
            let silent = found.iter().filter(|(_, record, _)| now.since(record.changed) > PATIENCE);
            due = silent.map(|(_, record, _)| record.recording).collect();
        }
        for (recording, record, etag) in &found {
            let ours = self.jobs.iter().any(|job| job.recording == *recording && job.holds())
                || self.claims.iter().any(|claim| claim.recording == *recording);
            if due.contains(&record.recording) && !ours && self.free() {
                let word = out.word(self.at);
                let now = out.schedule.wall(self.clock);
                if let Ok((claimer, ask)) = Claimer::take_over(record, etag.to_string(), word, now) {
                    self.begin(*recording, claimer, ask, None, out);
                }
            }
        }
        self.seen = found;
    }

    fn begin(&mut self, recording: usize, claimer: Claimer, ask: Ask, own: Option<String>, out: &mut Outside) {
        let number = self.number();
        self.claims.push(Claiming { number, recording, asked: false, claimer, own, next: None });
        self.ask(Purpose::Claim(number), to_request(recording, ask), out);
    }

    /// Goes on from what we held as `word` ourselves.
    pub(super) fn adopt(&mut self, recording: usize, word: String, out: &mut Outside) {
        self.ask(Purpose::Adopt(recording, word), Request::Get(Key::State(recording)), out);
    }

    pub(super) fn adopted(&mut self, recording: usize, word: String, answer: Answer, out: &mut Outside) {
        let forget = |worker: &mut Self| worker.disk.notes.retain(|(_, other)| *other != word);
        match answer {
            Answer::Found(Value::State(record), etag) if record.owner == word => {
                let next = out.word(self.at);
                match Claimer::take_over(&record, etag.to_string(), next, out.schedule.wall(self.clock)) {
                    Ok((claimer, ask)) if !self.stopping => self.begin(recording, claimer, ask, Some(word), out),
                    _ => forget(self),
                }
            }
            Answer::Found(..) | Answer::Missing => forget(self),
            _ => out.wake(self.client(), SECOND, Wake::Adopt(recording, word)),
        }
    }

    pub(super) fn claim_heard(&mut self, number: u32, answer: Answer, out: &mut Outside) {
        let now = out.schedule.wall(self.clock);
        let Some(found) = self.claims.iter().position(|claim| claim.number == number) else { return };
        let claim = &mut self.claims[found];
        let passing = matches!(answer, Answer::Unknown);
        match claim.claimer.hear(to_answer(answer), now) {
            Claimed::Ask(ask) if passing => {
                claim.next = Some(ask);
                out.wake(self.client(), SECOND, Wake::Claim(number));
            }
            Claimed::Ask(ask) => {
                let recording = claim.recording;
                self.ask(Purpose::Claim(number), to_request(recording, ask), out);
            }
            Claimed::Ours(record, etag) => {
                let claim = self.claims.swap_remove(found);
                self.disk.notes.retain(|(_, word)| Some(word) != claim.own.as_ref());
                self.record(claim.recording, *record, etag, out);
            }
            Claimed::Not(refused) => {
                let claim = self.claims.swap_remove(found);
                // A sign of life of our own may have come in between.
                if let (Some(word), Refused::Held) = (claim.own, refused) {
                    out.wake(self.client(), 10 * MS, Wake::Adopt(claim.recording, word));
                }
            }
        }
    }

    pub(super) fn claim_again(&mut self, number: u32, out: &mut Outside) {
        let Some(claim) = self.claims.iter_mut().find(|claim| claim.number == number) else { return };
        if let Some(ask) = claim.next.take() {
            let recording = claim.recording;
            self.ask(Purpose::Claim(number), to_request(recording, ask), out);
        }
    }
}

pub(super) fn to_request(recording: usize, ask: Ask) -> Request {
    let key = Key::State(recording);
    match ask {
        Ask::Read => Request::Get(key),
        Ask::Create(first) => Request::Put(key, Value::State((*first).into()), Condition::Absent),
        Ask::Swap { next, etag } => Request::Put(key, Value::State((*next).into()), Condition::Match(etag.into())),
    }
}

pub(super) fn to_answer(answer: Answer) -> claim::Answer {
    match answer {
        Answer::Written(etag) => claim::Answer::Written(etag.to_string()),
        Answer::Found(Value::State(record), etag) => {
            claim::Answer::Found(Box::new(record.as_ref().clone()), etag.to_string())
        }
        Answer::Missing => claim::Answer::Missing,
        Answer::Refused => claim::Answer::Refused,
        Answer::Found(..) | Answer::Listed(_) | Answer::Gathered(_) | Answer::Unknown => claim::Answer::Unknown,
    }
}
