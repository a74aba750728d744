//! Whether composition keeps up with the clock, and what is left out when it does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use graph::Timebase;
use media::RunningTime;

/// So far behind, the machine is too slow; mixers alone wait for less.
const LATE: Duration = Duration::from_secs(2);
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// While output is late, new pictures are left out: what stands still is encoded several times as fast. Sound goes on.
#[derive(Debug)]
pub(crate) struct Pace {
    time: Timebase,
    late: AtomicBool,
}

impl Pace {
    pub(crate) fn new(time: &Timebase) -> Self {
        Self { time: time.clone(), late: AtomicBool::new(false) }
    }

    /// A picture for the instant `at` has been composed.
    pub(crate) fn composed(&self, at: RunningTime) {
        self.behind(self.time.now().since(at));
    }

    fn behind(&self, behind: Duration) {
        let late = self.late();
        if !late && behind > LATE {
            tracing::warn!(?behind, "this machine is too slow; pictures stand still until it has caught up");
            self.late.store(true, Ordering::Relaxed);
        } else if late && behind < CAUGHT_UP {
            tracing::info!(?behind, "caught up; pictures move again");
            self.late.store(false, Ordering::Relaxed);
        }
    }

    /// Whether new pictures are to be left out.
    pub(crate) fn late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_still_from_two_seconds_behind_to_one() {
        let pace = Pace::new(&Timebase::start().unwrap());
        for (behind, late) in [(900, false), (1900, false), (2100, true), (1100, true), (900, false), (1900, false)] {
            pace.behind(Duration::from_millis(behind));
            assert_eq!(pace.late(), late, "{behind} ms behind");
        }
    }
}
