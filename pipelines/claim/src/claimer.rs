//! Making a recording ours. Says what to ask next; never asks twice at once.

use media::WallTime;

use crate::{Answer, Ask, Record, Refused};

/// One worker's attempt to claim one recording, with an owner's word of its own.
#[derive(Debug, Clone)]
pub struct Claimer {
    owner: String,
    way: Way,
    /// What was asked last, if it was a write.
    next: Option<Box<Record>>,
}

#[derive(Debug, Clone)]
enum Way {
    /// Create it, or take it if it is offered.
    Request(Box<Record>),
    /// Take it over, as long as it is still what was seen.
    Silent { etag: String, epoch: u32 },
}

/// What comes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    Not(Refused),
    Ask(Ask),
    /// It is ours: the record as it stands, and its etag.
    Ours(Box<Record>, String),
}

impl Claimer {
    /// For a request: `first` is the record of epoch 1, with our owner's word.
    #[must_use]
    pub fn request(first: Record) -> (Self, Ask) {
        let (owner, first) = (first.owner.clone(), Box::new(first));
        let ask = Ask::Create(first.clone());
        (Self { owner, way: Way::Request(first.clone()), next: Some(first) }, ask)
    }

    /// For a recording that was seen as `seen`: offered, or silent for as long as [`crate::Watch`] wants.
    ///
    /// # Errors
    /// When it is over, or too many have tried.
    pub fn take_over(seen: &Record, etag: String, owner: String, now: WallTime) -> Result<(Self, Ask), Refused> {
        let next = Box::new(seen.take_over(owner.clone(), now)?);
        let ask = Ask::Swap { next: next.clone(), etag: etag.clone() };
        let way = Way::Silent { etag, epoch: seen.epoch };
        Ok((Self { owner, way, next: Some(next) }, ask))
    }

    /// Takes the answer to what was asked last.
    #[must_use]
    pub fn hear(&mut self, answer: Answer, now: WallTime) -> Claimed {
        match (answer, self.next.take()) {
            (Answer::Written(etag), Some(next)) => Claimed::Ours(next, etag),
            // Ours, whose answer was lost; or none of ours.
            (Answer::Refused | Answer::Unknown | Answer::Written(_), _) => Claimed::Ask(Ask::Read),
            (Answer::Found(found, etag), _) if self.made(&found) => Claimed::Ours(found, etag),
            (Answer::Found(found, etag), _) => self.found(&found, etag, now),
            (Answer::Missing, _) => match &self.way {
                Way::Request(first) => {
                    self.next = Some(first.clone());
                    Claimed::Ask(Ask::Create(first.clone()))
                }
                // Somebody has removed it, which is not ours to mend.
                Way::Silent { .. } => Claimed::Not(Refused::Over),
            },
        }
    }

    /// Whether a record is what this attempt has written. A holder that goes on as its own successor had held it before.
    fn made(&self, found: &Record) -> bool {
        let before = if let Way::Silent { epoch, .. } = self.way { epoch } else { 0 };
        found.owner == self.owner && found.epoch > before
    }

    fn found(&mut self, found: &Record, etag: String, now: WallTime) -> Claimed {
        let next = match &self.way {
            Way::Request(_) => found.take(self.owner.clone(), now),
            Way::Silent { etag: seen, .. } if *seen == etag => found.take_over(self.owner.clone(), now),
            // It has moved since: somebody holds it.
            Way::Silent { .. } => Err(Refused::Held),
        };
        match next {
            Ok(next) => {
                let next = Box::new(next);
                self.next = Some(next.clone());
                Claimed::Ask(Ask::Swap { next, etag })
            }
            Err(refused) => Claimed::Not(refused),
        }
    }
}
