//! What a worker has the ledger remember of an epoch: that it begins to capture, in one try and another after each pause;
//! and, when it ends in order and has captured nothing, that, for as long as it takes.

use super::{Purpose, Worker};
use crate::event::Wake;
use crate::mistake::Mistake;
use crate::outside::Outside;
use crate::schedule::SECOND;
use crate::store::{Answer, Condition, Key, Request, Value};

const PAUSE: u64 = 2 * SECOND;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The pipeline plays: what comes now is captured.
    pub(super) plays: bool,
    /// It has sent all that it had.
    pub(super) drained: bool,
    begun: bool,
    owed: Option<Word>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Begun,
    Nothing,
}

impl Ledger {
    pub(super) fn owes_nothing(&self) -> bool {
        self.owed == Some(Word::Nothing)
    }
}

impl Worker {
    pub(super) fn begins(&mut self, number: u32, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        job.ledger.begun = true;
        job.ledger.owed = Some(Word::Begun);
        self.tell_ledger(number, out);
    }

    /// The session has ended. A media process that died while it captured has taken something with it.
    pub(super) fn came_to_nothing(&mut self, number: u32, out: &mut Outside) {
        let rash = out.makes(Mistake::RashNothing);
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let ledger = &mut job.ledger;
        if ledger.begun && !job.captured && (ledger.drained || !ledger.plays || rash) {
            ledger.owed = Some(Word::Nothing);
            self.tell_ledger(number, out);
        }
    }

    pub(super) fn tell_ledger(&mut self, number: u32, out: &mut Outside) {
        let Some(job) = self.jobs.iter().find(|job| job.number == number) else { return };
        let key = match job.ledger.owed {
            Some(Word::Begun) => Key::Begun(job.recording, job.epoch),
            Some(Word::Nothing) => Key::Nothing(job.recording, job.epoch),
            None => return,
        };
        let known = |purpose: &Purpose| matches!(purpose, Purpose::Ledger(job) if *job == number);
        // What was asked before is not waited for.
        self.calls.retain(|(_, purpose)| !known(purpose));
        self.ask(Purpose::Ledger(number), Request::Put(key, Value::Entry, Condition::Absent), out);
    }

    pub(super) fn ledger_heard(&mut self, number: u32, answer: &Answer, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        match answer {
            // Refused: it stands there already.
            Answer::Written(_) | Answer::Refused => {
                job.ledger.owed = None;
                self.hold(number, out);
            }
            _ => out.wake(self.client(), PAUSE, Wake::Ledger(number)),
        }
    }
}
