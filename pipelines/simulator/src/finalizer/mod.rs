//! A finalizer: its life, and its steward, who looks for recordings of which nobody has told it and ends those at which
//! nobody works any more. What is done for one recording stands in `publish`.

mod publish;

use std::collections::BTreeMap;
use std::rc::Rc;

use claim::{Phase, Record};

use crate::event::{Client, Event, Letter, Step};
use crate::outside::Outside;
use crate::schedule::{MINUTE, Micros, SECOND};
use crate::store::{Answer, Condition, Key, Request, Value};
use publish::Work;

const LOOK: Micros = MINUTE;
const OVERDUE: Micros = 10 * MINUTE;
/// An open record that nobody has changed for so long has no worker, and gets none.
const ABANDONED: Micros = 30 * MINUTE;

#[derive(Debug)]
pub(crate) struct Finalizer {
    at: usize,
    life: u32,
    pub(crate) up: bool,
    work: Vec<Work>,
    calls: Vec<(u64, Purpose)>,
    numbers: u32,
    /// Of every record that is not ready: its etag, and since when it is that.
    seen: BTreeMap<usize, (Rc<str>, Micros)>,
}

#[derive(Debug)]
enum Purpose {
    Look,
    Abandon(usize),
    Work(u32),
}

impl Finalizer {
    pub(crate) fn new(at: usize) -> Self {
        let (work, calls, seen) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { at, life: 0, up: false, work, calls, numbers: 0, seen }
    }

    pub(crate) fn client(&self) -> Client {
        Client::Finalizer(self.at, self.life)
    }

    pub(crate) fn start(&mut self, out: &mut Outside) {
        if !self.up {
            self.life += 1;
            self.up = true;
            let first = out.random.below(LOOK);
            out.step(self.client(), first, Step::Steward);
        }
    }

    /// Its unsettled messages come again.
    pub(crate) fn crash(&mut self, out: &mut Outside) {
        self.up = false;
        self.calls.clear();
        self.seen.clear();
        for work in self.work.drain(..) {
            out.after(SECOND, Event::Post(Letter::Stored(work.recording)));
        }
    }

    pub(crate) fn step(&mut self, life: u32, step: Step, out: &mut Outside) {
        if !self.up || life != self.life {
            return;
        }
        match step {
            Step::Steward => {
                self.ask(Purpose::Look, Request::List { ended: true }, out);
                out.step(self.client(), LOOK, Step::Steward);
            }
            Step::Begin(recording) => self.begin(recording, out),
            Step::On(number) => self.look_again(number, out),
        }
    }

    pub(crate) fn answer(&mut self, life: u32, call: u64, answer: Answer, out: &mut Outside) {
        if !self.up || life != self.life {
            return;
        }
        let Some(found) = self.calls.iter().position(|(number, _)| *number == call) else { return };
        match (self.calls.swap_remove(found).1, answer) {
            (Purpose::Look, Answer::Listed(found)) => self.looked(&found, out),
            (Purpose::Abandon(recording), Answer::Written(_)) => out.step(self.client(), 0, Step::Begin(recording)),
            (Purpose::Look | Purpose::Abandon(_), _) => {}
            (Purpose::Work(number), answer) => self.on(number, answer, out),
        }
    }

    fn ask(&mut self, purpose: Purpose, request: Request, out: &mut Outside) {
        let number = out.call(self.client(), request);
        self.calls.push((number, purpose));
    }

    /// The steward's look, by this machine's monotonic clock alone.
    fn looked(&mut self, found: &[(usize, Rc<Record>, Rc<str>)], out: &mut Outside) {
        let now = out.now();
        let mut seen = BTreeMap::new();
        for (recording, record, etag) in found {
            let before = self.seen.get(recording).filter(|(known, _)| known == etag);
            let since = before.map_or(now, |(_, since)| *since);
            seen.insert(*recording, (etag.clone(), since));
            let still = now - since;
            if record.phase == Phase::Ended && still >= OVERDUE {
                out.step(self.client(), 0, Step::Begin(*recording));
            } else if record.phase.open() && still >= ABANDONED {
                let now = out.schedule.wall(0);
                if let Ok(ended) = record.becomes(Phase::Ended, Some("abandoned"), now) {
                    let value = Value::State(ended.into());
                    let request = Request::Put(Key::State(*recording), value, Condition::Match(etag.clone()));
                    self.ask(Purpose::Abandon(*recording), request, out);
                }
            }
        }
        self.seen = seen;
    }
}
