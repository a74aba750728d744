//! Who is there and what happens, before any of it does: from a seed, or by hand.

use crate::event::Happening;
use crate::fault::{Fault, Planned, plan};
use crate::network::Spoilt;
use crate::random::Random;
use crate::schedule::{Micros, SECOND};

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) workers: usize,
    pub(crate) slots: usize,
    pub(crate) finalizers: usize,
    pub(crate) rooms: Vec<Lecture>,
    pub(crate) faults: Vec<Planned>,
    pub(crate) spoil: Option<(u64, Spoilt)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Lecture {
    pub(crate) begins: Micros,
    /// How often its request is delivered.
    pub(crate) copies: u64,
    pub(crate) happens: Vec<(Micros, Happening)>,
}

/// After the last fault, so long until a recording is being recorded again: three looks more than a steward's patience,
/// a call that was given up, a join.
const BACK: Micros = 20 * SECOND;

/// A session that is to join again waits for up to 15 s.
const BACK_IN_THE_ROOM: Micros = 45 * SECOND;

impl Scenario {
    pub(crate) fn of(random: &mut Random) -> Self {
        let workers = random.index(3) + 2;
        let recordings = random.index(2) + 1;
        let slots = if recordings == 2 && workers == 2 { 2 } else { random.index(2) + 1 };
        let finalizers = random.index(2) + 1;
        let time = random.between(20 * SECOND, 70 * SECOND);
        let faults = plan(random, workers, finalizers, time);
        let last = faults.iter().map(|fault| fault.to).max().unwrap_or(0);
        let rooms = (0..recordings).map(|_| Lecture::of(random, time, last)).collect();
        Self { workers, slots, finalizers, rooms, faults, spoil: None }
    }

    /// When everybody must have found back.
    pub(crate) fn recovered(&self) -> Micros {
        let last = self.faults.iter().map(|fault| fault.to).max().unwrap_or(0);
        let meeting = self.faults.iter().any(|fault| matches!(fault.fault, Fault::Meeting));
        last + if meeting { BACK_IN_THE_ROOM } else { BACK }
    }
}

impl Lecture {
    /// It ends in the middle of the faults, or when all have found back.
    fn of(random: &mut Random, time: Micros, last_fault: Micros) -> Self {
        let begins = random.below(4 * SECOND);
        let end = if random.percent(40) {
            random.between(begins + 5 * SECOND, begins + time)
        } else {
            last_fault + BACK_IN_THE_ROOM + random.between(SECOND, 20 * SECOND)
        };
        let mut happens = vec![(begins, Happening::Come(0)), (end, Happening::End { closes: random.percent(60) })];
        for who in 1..=u32::try_from(random.below(4)).unwrap_or(0) {
            let comes = random.between(begins, end);
            happens.push((comes, Happening::Come(who)));
            if random.percent(50) {
                happens.push((random.between(comes, end), Happening::Go(who)));
            }
        }
        if random.percent(10) {
            happens.push((random.between(begins, end), Happening::Stop));
        }
        let copies = [1, 1, 1, 2, 3, 5][random.index(6)];
        Self { begins, copies, happens }
    }
}
