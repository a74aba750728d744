//! The way to the store and back: how long it takes, and what is lost on it. A call that is given up may still arrive,
//! and do its work later than one that was sent after it.

use crate::event::{Client, Event};
use crate::mistake::Mistake;
use crate::outside::Outside;
use crate::schedule::{MINUTE, MS, Micros, SECOND};
use crate::store::{Answer, Call, Key, Request, Value};

/// After so long without an answer, a client takes it that there is none.
pub(crate) const PATIENCE: Micros = 2 * SECOND;

/// How the one call that a sweep spoils is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    /// It never gets there.
    Lost,
    /// It does its work, and its answer is lost.
    Unanswered,
    /// It does its work when its sender has long given it up.
    Late,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) outages: u32,
    pub(crate) slow: u32,
    pub(crate) lies: u32,
    /// Of each loss that is going on, so many of a hundred.
    pub(crate) losses: Vec<u64>,
    /// Workers without a way to the store; as often as they are cut off.
    pub(crate) apart: Vec<usize>,
    /// The n-th call or disk write, from 0, fails thus.
    spoil: Option<(u64, Spoilt)>,
    pub(crate) sent: u64,
    /// Since the minute began.
    minute: (Micros, u64),
    pub(crate) busiest: u64,
    calls: u64,
}

impl Outside {
    /// Sends `request` to the store. What comes of it is told with the number that this returns.
    pub(crate) fn call(&mut self, from: Client, request: Request) -> u64 {
        let now = self.now();
        self.network.calls += 1;
        let number = self.network.calls;
        self.network.count(now);
        let spoilt = self.network.spoilt();
        let cut = matches!(from, Client::Worker(at, _) if self.network.apart.contains(&at));
        let loss = self.network.losses.iter().copied().max().unwrap_or(0);
        let mut lost = cut || self.network.outages > 0 || self.random.percent(loss) || spoilt == Some(Spoilt::Lost);
        let mut unanswered = self.random.percent(loss) || spoilt == Some(Spoilt::Unanswered);
        let (mut there, back) = (self.latency(), self.latency());
        if spoilt == Some(Spoilt::Late) {
            there = PATIENCE + 3 * SECOND;
        }
        if there + back >= PATIENCE {
            unanswered = true;
        }
        let media = matches!(request, Request::Put(Key::Segment(..) | Key::Init(..) | Key::Journal(..), ..));
        let claims = matches!(request, Request::Put(Key::State(_), ..)) && self.mistake == Some(Mistake::LyingStore);
        let lie = (media && self.network.lies > 0 && self.random.percent(30)) || (claims && self.random.percent(30));
        if cut && self.random.percent(50) {
            // No route: known at once.
            self.after(MS, Event::Answer(from, number, Answer::Unknown));
            unanswered = true;
            lost = true;
        } else if lost || unanswered {
            self.after(PATIENCE, Event::Answer(from, number, Answer::Unknown));
        }
        if !lost {
            let back = (!unanswered).then_some(back);
            self.after(there, Event::Reach(Box::new(Call { from, number, request, sent: now, back, lie })));
        }
        number
    }

    fn latency(&mut self) -> Micros {
        let quick = self.random.between(2 * MS, 40 * MS);
        match self.network.slow {
            0 => quick,
            // Most calls take a while; one in ten takes longer than anybody waits.
            _ if self.random.percent(10) => self.random.between(SECOND, 8 * SECOND),
            _ => quick + self.random.between(0, 700 * MS),
        }
    }

    /// A call has reached the store.
    pub(crate) fn reach(&mut self, call: Call) {
        if self.network.outages > 0 {
            if call.back.is_some() {
                let late = (call.sent + PATIENCE).saturating_sub(self.now());
                self.after(late, Event::Answer(call.from, call.number, Answer::Unknown));
            }
            return;
        }
        let answer = match call.request {
            Request::Put(key, value, condition) => {
                let careless = self.mistake == Some(Mistake::IgnoredConditions);
                if !careless && !self.store.allows(key, &condition) {
                    Answer::Refused
                } else if call.lie {
                    Answer::Written(self.store.etag())
                } else {
                    self.write(key, value, call.from)
                }
            }
            other => self.store.read(&other),
        };
        if let Some(back) = call.back {
            self.after(back, Event::Answer(call.from, call.number, answer));
        }
    }

    fn write(&mut self, key: Key, value: Value, by: Client) -> Answer {
        let now = self.now();
        self.story.tell(now, || format!("store      {} writes {key:?} {}", crate::story::who(by), brief(&value)));
        let etag = self.store.etag();
        self.check.write(&self.store, key, &value, by, now);
        self.store.put(key, value, etag.clone());
        self.check.published(&self.store, key, now);
        Answer::Written(etag)
    }
}

impl Network {
    pub(crate) fn new(spoil: Option<(u64, Spoilt)>) -> Self {
        Self { spoil, ..Self::default() }
    }

    /// Counts one call or disk write.
    fn count(&mut self, now: Micros) {
        let minute = now / MINUTE;
        self.minute = if self.minute.0 == minute { (minute, self.minute.1 + 1) } else { (minute, 1) };
        self.busiest = self.busiest.max(self.minute.1);
    }

    /// Whether it is this one's turn to be spoilt.
    pub(crate) fn spoilt(&mut self) -> Option<Spoilt> {
        self.sent += 1;
        self.spoil.filter(|(turn, _)| turn + 1 == self.sent).map(|(_, how)| how)
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::State(record) => format!(
            "{:?} epoch {} owner {:?} beat {} idle {} {}",
            record.phase,
            record.epoch,
            record.owner,
            record.beat,
            record.idle,
            record.reason.as_deref().unwrap_or("")
        ),
        Value::Segment(segment) => format!("#{}", segment.id),
        Value::Manifest(manifest) => {
            format!("by {} gaps {:?} doubts {:?}", manifest.id, manifest.gaps, manifest.doubts)
        }
        Value::Journal(journal) => format!("{} entries", journal.entries.len()),
        Value::Signature(of) => format!("of {of}"),
        Value::Fence(by) => format!("fence of {by}"),
        Value::Init | Value::Entry => String::new(),
    }
}
