//! How long segments are listed and how long their bytes are kept.

use std::time::Duration;

use crate::Webinar;
use crate::stream::Stream;

/// Fewer segments than this are never listed once there were more (Apple's HLS Authoring Specification 8.11).
const FEWEST: usize = 6;

impl Webinar {
    /// Lets the oldest segments go: off the list when the window is full, and from memory when no player can still
    /// hold a playlist that names them.
    pub(crate) fn slide(&mut self) {
        let full = |stream: &Stream| stream.lasts_from(self.head);
        self.longest = self.streams.values().map(full).fold(self.longest, Ord::max);
        while self.shortest(self.head + 1) >= self.rules.window && self.spares_head() {
            self.head += 1;
        }
        // rfc8216bis 6.2.2: its own duration plus that of the longest playlist that held it. Media time is as good a
        // clock as any: while nothing is pushed, nothing is forgotten.
        while self.floor < self.head && self.shortest(self.floor + 1) >= self.shortest(self.head) + self.longest {
            self.floor += 1;
        }
        let floor = self.floor;
        self.streams.values_mut().for_each(|stream| stream.forget_before(floor));
    }

    /// Forgets the oldest segment for want of memory: first those no longer listed, then listed ones. False when
    /// players would be left with too little.
    pub fn forget_oldest(&mut self) -> bool {
        if self.floor == self.head {
            if !self.spares_head() {
                return false;
            }
            self.head += 1;
        }
        self.floor += 1;
        let floor = self.floor;
        self.streams.values_mut().for_each(|stream| stream.forget_before(floor));
        true
    }

    /// Whether every rendition would still list enough without its first segment (rfc8216bis 6.2.2).
    fn spares_head(&self) -> bool {
        let enough = Duration::from_secs(3 * self.rules.target);
        let rest = self.head + 1;
        let rich = |stream: &Stream| stream.lasts_from(rest) >= enough && stream.from(rest).count() >= FEWEST;
        !self.streams.is_empty() && self.streams.values().all(rich)
    }

    /// What every rendition has from `msn` on.
    fn shortest(&self, msn: u64) -> Duration {
        self.streams.values().map(|stream| stream.lasts_from(msn)).min().unwrap_or_default()
    }
}
