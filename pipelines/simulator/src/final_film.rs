//! What a finalizer makes of what lies in the store: the real `timeline::cover` over all epochs, and a name for
//! everything that is missing. The film itself is a list of stretches.
//!
//! As in the product, an epoch of which nothing lies in the store is missed if the ledger knows that it began, unless its
//! recorder has said that it captured nothing. One that left segments and no journal is in doubt as a whole, where the
//! product names the hole after it or the end.

use std::collections::{BTreeMap, BTreeSet};

use claim::Record;
use timeline::{Stored, cover, holes};

use crate::spool::{Journal, Segment};
use crate::store::{Key, Value};

/// Segments this far apart follow one another, in microseconds.
pub(crate) const SLACK: i64 = 100_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Of all tries to finalize anything, this one.
    pub(crate) id: u64,
    /// On the wall, what is in the film.
    pub(crate) pieces: Vec<(i64, i64)>,
    pub(crate) gaps: Vec<(i64, i64)>,
    /// Epochs of which nobody knows what they recorded.
    pub(crate) doubts: Vec<u32>,
}

impl Manifest {
    pub(crate) fn complete(&self) -> bool {
        self.gaps.is_empty() && self.doubts.is_empty()
    }
}

/// The epochs of which there is anything in what was gathered.
pub(crate) fn there(found: &[(Key, Value)]) -> BTreeSet<u32> {
    let epoch = |key: &Key| match key {
        Key::Begun(_, epoch) | Key::Journal(_, epoch) | Key::Segment(_, epoch, _) => Some(*epoch),
        _ => None,
    };
    found.iter().filter_map(|(key, _)| epoch(key)).collect()
}

/// `trustful`: an epoch that left neither a journal nor a segment is taken to have recorded nothing.
pub(crate) fn film(id: u64, record: &Record, found: &[(Key, Value)], trustful: bool) -> Manifest {
    let mut journals: BTreeMap<u32, &Journal> = BTreeMap::new();
    let mut there: BTreeMap<u32, BTreeMap<u64, Segment>> = BTreeMap::new();
    for (key, value) in found {
        match (key, value) {
            (Key::Journal(_, epoch), Value::Journal(journal)) => drop(journals.insert(*epoch, journal)),
            (Key::Segment(_, epoch, n), Value::Segment(segment)) => {
                there.entry(*epoch).or_default().insert(*n, *segment);
            }
            _ => {}
        }
    }
    let told = |wanted: &dyn Fn(&Key) -> bool| found.iter().any(|(key, _)| wanted(key));
    let begun = |epoch: u32| told(&|key| matches!(key, Key::Begun(_, of) if *of == epoch));
    let empty = |epoch: u32| told(&|key| matches!(key, Key::Nothing(_, of) if *of == epoch));
    let (mut stored, mut gaps, mut doubts) = (Vec::new(), Vec::new(), Vec::new());
    for epoch in 1..=record.epoch {
        let there = there.remove(&epoch).unwrap_or_default();
        let mut take = |segment: &Segment| {
            stored.push(Stored { epoch: epoch as usize, time: segment.from..segment.to });
        };
        match journals.get(&epoch) {
            Some(journal) => {
                for (n, entry) in &journal.entries {
                    if there.get(n) == Some(entry) { take(entry) } else { gaps.push((entry.from, entry.to)) }
                }
                gaps.extend(&journal.gaps);
            }
            None => {
                there.values().for_each(take);
                let vanished = there.is_empty() && begun(epoch) && !empty(epoch);
                if !there.is_empty() || (vanished && !trustful) {
                    doubts.push(epoch);
                }
            }
        }
    }
    let pieces = cover(&stored, SLACK);
    gaps.extend(holes(&pieces, SLACK).into_iter().map(|hole| (hole.start, hole.end)));
    Manifest { id, pieces: pieces.iter().map(|piece| (piece.time.start, piece.time.end)).collect(), gaps, doubts }
}
