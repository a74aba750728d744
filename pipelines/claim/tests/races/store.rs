//! One cell of a store, and the calls that are on their way to it or back.

use claim::{Answer, Ask, Record};

use crate::model;

/// In which way the store is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vice {
    None,
    IgnoresConditions,
    /// Says that every third write was written, and does not write it.
    WritesNothing,
    /// Every third read finds what was there two writes ago.
    ReadsStale,
}

/// A question or an answer on its way: whose, which of theirs, and what.
pub(crate) type Travelling<T> = (usize, u64, T);

#[derive(Debug)]
pub(crate) struct Store {
    vice: Vice,
    /// All that the cell has held.
    pub(crate) history: Vec<Record>,
    pub(crate) asked: Vec<Travelling<Ask>>,
    pub(crate) answered: Vec<Travelling<Answer>>,
    calls: u64,
}

impl Store {
    pub(crate) fn new(vice: Vice) -> Self {
        Self { vice, history: Vec::new(), asked: Vec::new(), answered: Vec::new(), calls: 0 }
    }

    pub(crate) fn now(&self) -> Option<(&Record, String)> {
        self.history.last().map(|record| (record, self.history.len().to_string()))
    }

    /// The `n`th call that is on its way gets there.
    pub(crate) fn land(&mut self, n: usize) -> Result<(), String> {
        let (who, ticket, ask) = self.asked.remove(n);
        self.calls += 1;
        let third = self.calls.is_multiple_of(3);
        let standing = self.now().map(|(_, etag)| etag);
        let answer = match ask {
            Ask::Read => self.read(third && self.vice == Vice::ReadsStale),
            Ask::Create(next) => self.write(*next, standing.is_none(), third)?,
            Ask::Swap { next, etag } => self.write(*next, standing.is_some_and(|standing| standing == etag), third)?,
        };
        self.answered.push((who, ticket, answer));
        Ok(())
    }

    fn read(&self, stale: bool) -> Answer {
        let back = if stale { 2 } else { 0 };
        let at = self.history.len().saturating_sub(back).max(usize::from(!self.history.is_empty()));
        match at.checked_sub(1).map(|index| self.history[index].clone()) {
            Some(found) => Answer::Found(Box::new(found), at.to_string()),
            None => Answer::Missing,
        }
    }

    fn write(&mut self, next: Record, holds: bool, third: bool) -> Result<Answer, String> {
        if !holds && self.vice != Vice::IgnoresConditions {
            return Ok(Answer::Refused);
        }
        if third && self.vice == Vice::WritesNothing {
            return Ok(Answer::Written("never".into()));
        }
        model::follows(self.history.last(), &next)?;
        self.history.push(next);
        Ok(Answer::Written(self.history.len().to_string()))
    }
}
