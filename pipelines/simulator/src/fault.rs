//! What goes wrong, and when: made from the seed before anything happens. Every fault has an end.

use crate::random::Random;
use crate::schedule::{Micros, SECOND};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9; started again when the fault ends, on a new node if `node` went with it.
    Crash {
        worker: usize,
        node: bool,
    },
    /// The media process of whatever the worker records.
    Child {
        worker: usize,
    },
    /// SIGTERM; kill -9 and a new start when the fault ends.
    Term {
        worker: usize,
    },
    /// SIGSTOP and SIGCONT.
    Suspend {
        worker: usize,
    },
    Partition {
        worker: usize,
    },
    Outage,
    Slow,
    /// So many of a hundred calls, and of answers, are lost.
    Loss {
        percent: u64,
    },
    /// Writes of media are confirmed, and do not happen.
    Lie,
    /// The wall clock steps by so many seconds, for good.
    Clock {
        worker: usize,
        by: i64,
    },
    DiskFull {
        worker: usize,
    },
    /// Pipelines that are to finish do not.
    Stuck {
        worker: usize,
    },
    /// The meeting server restarts.
    Meeting,
    Finalizer {
        at: usize,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    pub(crate) from: Micros,
    pub(crate) to: Micros,
}

/// Up to five faults within `time`.
pub(crate) fn plan(random: &mut Random, workers: usize, finalizers: usize, time: Micros) -> Vec<Planned> {
    let count = random.below(6);
    (0..count).map(|_| one(random, workers, finalizers, time)).collect()
}

fn one(random: &mut Random, workers: usize, finalizers: usize, time: Micros) -> Planned {
    let worker = random.index(workers);
    let (fault, shortest, longest) = match random.below(17) {
        0..=2 => (Fault::Crash { worker, node: random.percent(30) }, 1, 20),
        3 | 4 => (Fault::Child { worker }, 1, 2),
        5 | 6 => (Fault::Term { worker }, 20, 45),
        7 => (Fault::Suspend { worker }, 1, 40),
        8 => (Fault::Partition { worker }, 1, 40),
        9 => (Fault::Outage, 1, 40),
        10 => (Fault::Slow, 5, 40),
        11 => (Fault::Loss { percent: random.between(5, 40) }, 5, 40),
        12 => (Fault::Lie, 5, 40),
        13 => {
            let by = [-3600, -30, -2, 2, 30, 3600][random.index(6)];
            (Fault::Clock { worker, by }, 1, 2)
        }
        14 => match random.below(2) {
            0 => (Fault::DiskFull { worker }, 5, 40),
            _ => (Fault::Meeting, 1, 15),
        },
        15 => (Fault::Stuck { worker }, 5, 40),
        _ => (Fault::Finalizer { at: random.index(finalizers) }, 1, 20),
    };
    // The beginning is where most is under way at once.
    let from = if random.percent(20) { random.below(5 * SECOND) } else { random.below(time) };
    Planned { fault, from, to: from + random.between(shortest * SECOND, longest * SECOND) }
}
