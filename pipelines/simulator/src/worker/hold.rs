//! Keeping what is ours: the changes of a record one after the other, signs of life in between, and what it means when
//! the record is found to be another's.

use std::collections::VecDeque;

use claim::{Change, Heard, Holder, Phase, Refused};
use session::{Claim, Input};

use super::claims::{to_answer, to_request};
use super::{Purpose, Worker};
use crate::event::{Event, Letter, Wake};
use crate::mistake::Mistake;
use crate::outside::Outside;
use crate::schedule::SECOND;
use crate::store::{Answer, Key, Request, Value};

const BEAT: u64 = 2 * SECOND;

/// How far a job has come in giving its record away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    No,
    /// Offered, or about to be.
    Offered,
    /// This worker goes on itself, as the next epoch.
    Own,
    /// It is another's, or gone.
    Lost,
    /// It has come to its end.
    Over,
}

/// One job's record, and what is still to be made of it.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) holder: Holder,
    pub(super) queue: VecDeque<Change>,
    pub(super) given: Given,
    asking: bool,
    next: Option<claim::Ask>,
    /// To be told when the record says so.
    pub(super) letter: bool,
}

impl Hold {
    pub(super) fn new(holder: Holder) -> Self {
        Self { holder, queue: VecDeque::new(), given: Given::No, asking: false, next: None, letter: false }
    }

    /// Nothing more is to come of it.
    pub(super) fn settled(&self) -> bool {
        self.queue.is_empty() && !self.asking
    }
}

impl Worker {
    pub(super) fn beat(&mut self, number: u32, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        if job.hold.given != Given::No {
            return;
        }
        if job.hold.settled() {
            job.hold.queue.push_back(Change::Beat { stored: job.stored });
        }
        self.hold(number, out);
        out.wake(self.client(), BEAT, Wake::Beat(number));
    }

    /// Queues a change, to be made when those before it stand.
    pub(super) fn change(&mut self, number: u32, change: Change, out: &mut Outside) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.number == number)
            && job.hold.given != Given::Lost
        {
            job.hold.queue.push_back(change);
            self.hold(number, out);
        }
    }

    pub(super) fn hold(&mut self, number: u32, out: &mut Outside) {
        let now = out.schedule.wall(self.clock);
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        // The record of the end comes after the ledger's word that nothing was captured.
        if job.hold.asking || job.ledger.owes_nothing() {
            return;
        }
        if job.hold.given == Given::Own {
            job.hold.queue.clear();
            return;
        }
        if let Some(change) = job.hold.queue.front().cloned() {
            let heard = job.hold.holder.begin(change, now);
            self.held(number, heard, false, out);
        }
    }

    pub(super) fn hold_heard(&mut self, number: u32, answer: Answer, out: &mut Outside) {
        let now = out.schedule.wall(self.clock);
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        job.hold.asking = false;
        if job.hold.given == Given::Own {
            return job.hold.queue.clear();
        }
        let passing = matches!(answer, Answer::Unknown);
        let heard = job.hold.holder.hear(to_answer(answer), now);
        self.held(number, heard, passing, out);
    }

    fn held(&mut self, number: u32, heard: Heard, passing: bool, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let recording = job.recording;
        match heard {
            Heard::Ask(ask) if passing => {
                (job.hold.next, job.hold.asking) = (Some(ask), true);
                out.wake(self.client(), BEAT, Wake::Hold(number));
            }
            Heard::Ask(ask) => {
                job.hold.asking = true;
                self.ask(Purpose::Hold(number), to_request(recording, ask), out);
            }
            Heard::Done => {
                match job.hold.queue.pop_front() {
                    Some(Change::Become(phase, _)) if !phase.open() => {
                        job.hold.given = Given::Over;
                        if std::mem::take(&mut job.hold.letter) {
                            out.after(SECOND / 10, Event::Post(Letter::Stored(recording)));
                        }
                    }
                    Some(Change::Offer) => out.wake(self.client(), SECOND, Wake::Poll(number)),
                    _ => {}
                }
                self.hold(number, out);
            }
            Heard::Not(refused) => {
                let refused_change = job.hold.queue.pop_front();
                // Nobody may take it any more, so somebody has to end it.
                if let (Some(Change::Offer), Refused::Spent) = (refused_change, refused) {
                    let phase = if job.spec.earlier || job.captured { Phase::Ended } else { Phase::Failed };
                    job.hold.letter = phase == Phase::Ended;
                    job.hold.queue.push_back(Change::Become(phase, Some("worker-stopped")));
                }
                self.hold(number, out);
            }
            Heard::Superseded(_) if out.makes(Mistake::UnnoticedSuccessor) => {
                job.hold.queue.pop_front();
            }
            Heard::Superseded(_) | Heard::Gone => self.superseded(number, out),
        }
    }

    fn superseded(&mut self, number: u32, out: &mut Outside) {
        let now = out.now();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        out.story.tell(now, || format!("worker {}   job {number} finds its record another's", self.at));
        job.hold.queue.clear();
        self.disk.notes.retain(|(_, word)| *word != job.word);
        if job.hold.given == Given::Offered {
            // Our offer stood there, unheard of, and was taken: the successor is on its way.
            return self.poll(number, out);
        }
        job.hold.given = Given::Lost;
        self.tell(number, Input::Claim(Claim::Superseded), out);
    }

    pub(super) fn hold_again(&mut self, number: u32, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        if let Some(ask) = job.hold.next.take() {
            let recording = job.recording;
            self.ask(Purpose::Hold(number), to_request(recording, ask), out);
        }
    }

    /// Offered: whether the successor has stored something.
    pub(super) fn poll(&mut self, number: u32, out: &mut Outside) {
        let Some(job) = self.jobs.iter().find(|job| job.number == number) else { return };
        if job.records() {
            let request = Request::Get(Key::State(job.recording));
            self.ask(Purpose::Poll(number), request, out);
        }
    }

    pub(super) fn polled(&mut self, number: u32, answer: &Answer, out: &mut Outside) {
        let Some(job) = self.jobs.iter().find(|job| job.number == number) else { return };
        match answer {
            Answer::Found(Value::State(found), _) if job.hold.holder.record().is_succeeded_by(found) => {
                self.tell(number, Input::Claim(Claim::Taken), out);
            }
            _ => out.wake(self.client(), SECOND, Wake::Poll(number)),
        }
    }
}
