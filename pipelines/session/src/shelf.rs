//! What the pipeline has made and the store has not confirmed yet, and when to try each again. Holds ids, no bytes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use media::Rendition;

use crate::Object;

/// The first pause after a failed put or join.
const FIRST: Duration = Duration::from_secs(1);

/// A grown exponential pause of at most `cap`, of which the upper half is spread by `seed`, so that a hundred
/// recordings that lost the same server do not come back in the same second.
pub(crate) fn pause(tries: u32, cap: Duration, seed: u64) -> Duration {
    let whole = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(cap);
    let spread = (seed ^ u64::from(tries)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54; // 0..1024, Fibonacci hashing
    let share = whole / 2 * u32::try_from(spread).unwrap_or(0) / 1024;
    whole / 2 + share
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    waiting: BTreeMap<Object, Tries>,
    /// The newest closed segment of each rendition: a number that comes again is no new segment.
    newest: BTreeMap<Rendition, u64>,
    inits: BTreeMap<Rendition, ()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    failed: u32,
    /// None while a try is under way.
    again: Option<Instant>,
}

impl Shelf {
    /// The longest pause between two tries of one object: the store is back for half a minute at most before we know.
    const CAP: Duration = Duration::from_secs(30);

    /// Something is to be stored. False when it was known before.
    pub(crate) fn add(&mut self, object: &Object) -> bool {
        let new = match object {
            Object::Init(rendition) => self.inits.insert(rendition.clone(), ()).is_none(),
            Object::Segment(rendition, number) => {
                let newer = self.newest.get(rendition).is_none_or(|newest| number > newest);
                if newer {
                    self.newest.insert(rendition.clone(), *number);
                }
                newer
            }
            Object::Journal => !self.waiting.contains_key(object),
        };
        if new {
            self.waiting.insert(object.clone(), Tries::default());
        }
        new
    }

    pub(crate) fn stored(&mut self, object: &Object) {
        self.waiting.remove(object);
    }

    pub(crate) fn failed(&mut self, object: &Object, now: Instant, seed: u64) {
        if let Some(tries) = self.waiting.get_mut(object).filter(|tries| tries.again.is_none()) {
            tries.failed += 1;
            tries.again = Some(now + pause(tries.failed, Self::CAP, seed));
        }
    }

    /// What is to be tried again by now, which counts as begun.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Object> {
        let mut due = Vec::new();
        for (object, tries) in &mut self.waiting {
            if tries.again.is_some_and(|again| again <= now) {
                tries.again = None;
                due.push(object.clone());
            }
        }
        due
    }

    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|tries| tries.again).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn holds(&self, object: &Object) -> bool {
        self.waiting.contains_key(object)
    }

    /// At least one segment was closed.
    pub(crate) fn captured(&self) -> bool {
        !self.newest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_differ_between_recordings() {
        let cap = Duration::from_secs(30);
        for tries in 1..40 {
            let whole = Duration::from_secs(1 << (tries - 1).min(10)).min(cap);
            let pause = pause(tries, cap, 7);
            assert!(whole / 2 <= pause && pause < whole, "try {tries}: {pause:?} of {whole:?}");
        }
        let different = (0..100).map(|seed| pause(9, cap, seed)).collect::<std::collections::BTreeSet<_>>();
        assert!(different.len() > 80, "{}", different.len());
    }

    #[test]
    fn a_put_that_is_under_way_is_not_begun_again() {
        let (mut shelf, now) = (Shelf::default(), Instant::now());
        let object = Object::Segment(Rendition::video(), 0);
        assert!(shelf.add(&object));
        assert_eq!(shelf.due(now + Duration::from_secs(99)), []);
        shelf.failed(&object, now, 0);
        assert_eq!(shelf.due(now), []);
        let at = shelf.next_try().unwrap();
        assert_eq!(shelf.due(at), [object]);
        assert_eq!((shelf.due(at), shelf.next_try()), (vec![], None));
    }
}
