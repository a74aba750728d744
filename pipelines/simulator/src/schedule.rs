//! What happens next, and the time at which it does: the simulated world has no other clock. Two things of the same
//! moment happen in the order in which they were planned, so a seed always tells the same story.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use media::WallTime;

use crate::event::Event;

/// Microseconds since the beginning of the simulation.
pub(crate) type Micros = u64;

pub(crate) const MS: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000_000;
pub(crate) const MINUTE: Micros = 60 * SECOND;

/// 2026-11-27T08:15:00Z: when all simulated lectures begin.
const MORNING: i64 = 1_795_767_300_000_000;

#[derive(Debug)]
pub(crate) struct Schedule {
    now: Micros,
    planned: u64,
    due: BinaryHeap<Due>,
    /// `Instant`s can only be made from the machine's own; which one it is has no influence.
    zero: Instant,
}

#[derive(Debug)]
struct Due {
    at: Micros,
    number: u64,
    event: Event,
}

impl Schedule {
    pub(crate) fn new() -> Self {
        Self { now: 0, planned: 0, due: BinaryHeap::new(), zero: Instant::now() }
    }

    pub(crate) fn now(&self) -> Micros {
        self.now
    }

    /// What every machine's monotonic clock says now.
    pub(crate) fn instant(&self) -> Instant {
        self.zero + Duration::from_micros(self.now)
    }

    pub(crate) fn micros(&self, at: Instant) -> Micros {
        // Up, or whoever is woken then is woken too early.
        u64::try_from(at.saturating_duration_since(self.zero).as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    /// What a wall clock says that is wrong by `offset` microseconds.
    pub(crate) fn wall(&self, offset: i64) -> WallTime {
        WallTime(MORNING + i64::try_from(self.now).unwrap_or(i64::MAX / 2) + offset)
    }

    pub(crate) fn at(&mut self, at: Micros, event: Event) {
        self.planned += 1;
        self.due.push(Due { at: at.max(self.now), number: self.planned, event });
    }

    /// The next thing to happen, whose time it is then.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let due = self.due.pop()?;
        self.now = due.at;
        Some(due.event)
    }
}

impl Ord for Due {
    /// The heap gives out its greatest first, which is to be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}
