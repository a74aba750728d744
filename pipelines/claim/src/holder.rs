//! Keeping a recording ours: one change of the record after the other, each until it stands there or may not be made.

use media::WallTime;

use crate::{Answer, Ask, Phase, Record, Refused};

/// A record that is ours, as it was last known to lie in the store.
#[derive(Debug, Clone)]
pub struct Holder {
    record: Record,
    etag: String,
    /// The change under way and the text that was asked for.
    under_way: Option<(Change, Box<Record>)>,
}

/// What its holder may make of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A sign of life; `stored` once this epoch has stored a segment.
    Beat {
        stored: bool,
    },
    Become(Phase, Option<&'static str>),
    Offer,
}

/// What comes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Ask(Ask),
    /// The change stands in the store.
    Done,
    /// The record may not become that any more.
    Not(Refused),
    /// It is another's. Nothing more may be written.
    Superseded(Box<Record>),
    /// There is no record any more, and none is made.
    Gone,
}

impl Holder {
    #[must_use]
    pub fn new(record: Record, etag: String) -> Self {
        Self { record, etag, under_way: None }
    }

    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    #[must_use]
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Begins `change`. One that is under way is forgotten: what became of it shows when this one is answered.
    pub fn begin(&mut self, change: Change, now: WallTime) -> Heard {
        let next = match change {
            Change::Beat { stored } => self.record.beats(stored, now),
            Change::Become(phase, reason) => self.record.becomes(phase, reason, now),
            Change::Offer => self.record.offer(now),
        };
        match next {
            Ok(next) => {
                let next = Box::new(next);
                self.under_way = Some((change, next.clone()));
                Heard::Ask(Ask::Swap { next, etag: self.etag.clone() })
            }
            Err(refused) => Heard::Not(refused),
        }
    }

    /// Takes the answer to what was asked last.
    pub fn hear(&mut self, answer: Answer, now: WallTime) -> Heard {
        let Some((change, next)) = self.under_way.take() else { return Heard::Done };
        match answer {
            Answer::Written(etag) => {
                (self.record, self.etag) = (*next, etag);
                Heard::Done
            }
            Answer::Refused | Answer::Unknown => {
                self.under_way = Some((change, next));
                Heard::Ask(Ask::Read)
            }
            Answer::Missing => Heard::Gone,
            Answer::Found(found, etag) => {
                // The same text at every try, so it is known again when it stands there and only the answer was lost.
                let done = found == next;
                let ours = (found.epoch, &found.owner) == (self.record.epoch, &self.record.owner);
                if !done && !ours {
                    return Heard::Superseded(found);
                }
                let moved = etag != self.etag;
                (self.record, self.etag) = (*found, etag);
                if done {
                    Heard::Done
                } else if moved {
                    self.begin(change, now)
                } else {
                    // Nothing has changed: the write has not happened, and may yet. The same text again.
                    let etag = self.etag.clone();
                    self.under_way = Some((change, next.clone()));
                    Heard::Ask(Ask::Swap { next, etag })
                }
            }
        }
    }
}
