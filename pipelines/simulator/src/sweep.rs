//! One fixed evening, as often as it has calls to the store and writes to disks: each time another one of them fails.

use crate::event::Happening;
use crate::fault::{Fault, Planned};
use crate::network::Spoilt;
use crate::random::Random;
use crate::scenario::{Lecture, Scenario};
use crate::schedule::SECOND;
use crate::{Report, play};

/// What came of it.
#[derive(Debug)]
pub struct Sweep {
    /// So many calls and writes there were, and so many runs.
    pub runs: u64,
    /// The first that broke a promise: which call, spoilt how, and the promise.
    pub broken: Option<(u64, Spoilt, String)>,
}

/// A lecture of 40 s on two workers: one is told to stop at 15 s and hands over, the other's media process dies at 28 s.
fn evening(spoil: Option<(u64, Spoilt)>) -> Report {
    let happens = vec![
        (SECOND, Happening::Come(0)),
        (5 * SECOND, Happening::Come(1)),
        (40 * SECOND, Happening::End { closes: true }),
    ];
    let lecture = Lecture { begins: SECOND, copies: 2, happens };
    let faults = vec![
        Planned { fault: Fault::Term { worker: 0 }, from: 15 * SECOND, to: 40 * SECOND },
        Planned { fault: Fault::Term { worker: 1 }, from: 41 * SECOND, to: 70 * SECOND },
        Planned { fault: Fault::Child { worker: 1 }, from: 28 * SECOND, to: 29 * SECOND },
    ];
    let scenario = Scenario { workers: 2, slots: 1, finalizers: 2, rooms: vec![lecture], faults, spoil };
    play(scenario, Random::new(3), None, false)
}

/// Spoils each call and each write in turn, in each way.
#[must_use]
pub fn every_call() -> Sweep {
    let calls = evening(None).calls;
    let mut runs = 0;
    for turn in 0..calls {
        for how in [Spoilt::Lost, Spoilt::Unanswered, Spoilt::Late] {
            runs += 1;
            if let Some(broken) = evening(Some((turn, how))).broken {
                return Sweep { runs, broken: Some((turn, how, broken)) };
            }
        }
    }
    Sweep { runs, broken: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker is told to stop while another one has a free slot: the film has it all, without a gap to name.
    #[test]
    fn a_hand_over_leaves_no_gap() {
        let mut handed_over = 0;
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let from = random.between(10 * SECOND, 30 * SECOND);
            let happens = vec![(SECOND, Happening::Come(0)), (60 * SECOND, Happening::End { closes: true })];
            let scenario = Scenario {
                workers: 2,
                slots: 1,
                finalizers: 1,
                rooms: vec![Lecture { begins: SECOND, copies: 1, happens }],
                faults: vec![Planned { fault: Fault::Term { worker: 0 }, from, to: 90 * SECOND }],
                spoil: None,
            };
            let report = play(scenario, random, None, true);
            assert_eq!(report.broken, None, "seed {seed}");
            assert_eq!(report.phases, ["Ready"], "seed {seed}:\n{}", report.story.text());
            handed_over += u32::from(report.epochs == 2);
        }
        assert!(handed_over > 50, "{handed_over} of 200 were handed over");
    }
}
