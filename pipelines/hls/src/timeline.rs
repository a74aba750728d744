//! Where epochs fall on the one timeline, and how a hole in it is told: as GAPs, so that dates stay true and players have
//! something to go on with.

use std::time::Duration;

use media::{MediaTime, Rendition, SegmentClosed, WallTime};

use crate::Webinar;
use crate::stream::{Segment, Stream, frayed};

/// The longest run of lost segments that is filled with GAPs: about a day. What claims more is a broken counter.
pub(crate) const MOST_LOST: u64 = 30_000;

/// A shorter hole between two epochs is only a step of the dates: less than players round to, and about what the clocks
/// of two machines differ by.
const LEAST_HOLE: Duration = Duration::from_millis(500);

/// A longer hole, or one of a third of the window, is a step of the dates too: the list is to hold something to watch,
/// not minutes of nothing.
const LONGEST_HOLE: Duration = Duration::from_secs(5 * 60);

/// GAPs of the playlist clock end so much before the segment that a new worker would be filling: its first one still has
/// its place.
const BEHIND: Duration = Duration::from_secs(1);

/// The first closed segment of an epoch, in whichever rendition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) msn: u64,
    pub(crate) number: u64,
    pub(crate) begins: MediaTime,
    pub(crate) date: WallTime,
    pub(crate) turn: u64,
    pub(crate) breaks: bool,
}

impl Start {
    fn of(first: &SegmentClosed, msn: u64, date: WallTime, turn: u64, breaks: bool) -> Self {
        Self { msn, number: first.segment, begins: first.begins, date, turn, breaks }
    }

    /// Wall time of a position in the epoch. One mapping for all renditions keeps their dates equal.
    pub(crate) fn date(&self, at: MediaTime) -> WallTime {
        self.date.plus(Duration::from_nanos(at.0.saturating_sub(self.begins.0)))
    }
}

impl Webinar {
    /// The playlist clock: nothing was heard of the live epoch for `lasts`. Lists GAPs as time goes by, so that players
    /// that block or count reloads are not stranded (research/hls.md 0.8), until an epoch goes on. If a higher epoch has
    /// said that there is no more, nobody is waited for: the webinar ends, until the live epoch is heard of after all. True
    /// when anything changed.
    pub fn silent(&mut self, lasts: Duration) -> bool {
        let Some(ends) = self.last().map(Segment::until).filter(|_| !self.ended) else { return false };
        let since = *self.quiet.get_or_insert(ends);
        let each = self.usual();
        let due = lasts.min(self.longest_hole()).saturating_sub(each + BEHIND).saturating_sub(ends.since(since));
        let count = due.as_nanos() / each.as_nanos().max(1);
        if count == 0 {
            return false;
        }
        self.level();
        self.interrupted = true;
        if self.last_word && !self.awaited() {
            self.ended = true;
            return true;
        }
        self.gaps(u64::try_from(count).unwrap_or(u64::MAX), each);
        self.slide();
        true
    }

    /// Finds the place of an epoch on the timeline, after all that is there.
    pub(crate) fn begin(&mut self, epoch: u32, first: &SegmentClosed) -> Start {
        self.level();
        let Some(ends) = self.last().map(Segment::until) else {
            let msn = first_msn(epoch, first);
            (self.head, self.floor) = (msn, msn);
            let turn = u64::from(epoch.saturating_sub(1));
            return Start::of(first, msn, first.wall, turn, false);
        };
        let hole = first.wall.since(ends);
        if (LEAST_HOLE..=self.longest_hole()).contains(&hole) {
            let count = hole.as_nanos().div_ceil(gap_limit(self.rules.target).as_nanos()).max(1);
            self.gaps(u64::try_from(count).unwrap_or(u64::MAX), hole / u32::try_from(count).unwrap_or(u32::MAX));
        }
        let next = self.last().map_or(0, |last| last.msn + 1);
        // What two workers recorded at once has two dates; but a worker whose clock is behind must not make dates run
        // backwards.
        let forward = self.last().is_none_or(|last| first.wall.since(last.date) >= Duration::from_millis(1));
        let date = if forward { first.wall } else { ends };
        Start::of(first, next, date, self.turn.map_or(0, |turn| turn + 1), true)
    }

    /// The last place that any rendition lists.
    pub(crate) fn last(&self) -> Option<&Segment> {
        self.streams.values().filter_map(|stream| stream.segments.back()).max_by_key(|last| last.msn)
    }

    /// Fills renditions that are shorter than others, so that all go on from the same place: with what has come whole
    /// though nobody said so yet, or else with GAPs.
    pub(crate) fn level(&mut self) {
        let Some(last) = self.last().map(|last| last.msn) else { return };
        let live = self.live;
        let shorter: Vec<(Rendition, u64)> =
            self.streams.iter().filter_map(|(name, stream)| Some((name.clone(), stream.next()?))).collect();
        for (name, from) in shorter {
            for msn in from..=last {
                let Some(model) = self.streams.values().find_map(|stream| stream.at(msn)) else { return };
                let gap = Segment { parts: Vec::new(), ..*model };
                let Some(stream) = self.streams.get_mut(&name) else { return };
                let parts = if gap.epoch == live { stream.open.take(gap.number) } else { Vec::new() };
                stream.push(if frayed(&parts, gap.lasts) { Segment { parts, ..gap } } else { gap });
            }
        }
    }

    fn longest_hole(&self) -> Duration {
        LONGEST_HOLE.min(self.rules.window / 3)
    }

    fn gaps(&mut self, count: u64, each: Duration) {
        for stream in self.streams.values_mut() {
            for _ in 0..count {
                let Some(gap) = stream.segments.back().map(|last| last.gap_after(each)) else { break };
                stream.push(gap);
            }
        }
    }

    /// How long segments of the last epoch usually are. Its GAPs are as long, so that its numbers keep their places if it
    /// comes back.
    fn usual(&self) -> Duration {
        let of = |stream: &Stream| {
            let epoch = stream.segments.back()?.epoch;
            let same = stream.segments.iter().rev().take_while(|segment| segment.epoch == epoch);
            same.filter(|segment| !segment.parts.is_empty()).map(|segment| segment.lasts).max()
        };
        self.streams.values().filter_map(of).max().unwrap_or(Duration::from_secs(self.rules.target))
    }
}

/// Where a webinar begins to count.
///
/// In epoch 1 a segment's MSN is its number, so an origin that lost its memory goes on where it was. In a later epoch
/// such an origin cannot know how many segments there were; half the seconds since 1970 grow faster than segments do,
/// so the number is above all that were given out before.
fn first_msn(epoch: u32, first: &SegmentClosed) -> u64 {
    let half_seconds = u64::try_from(first.wall.0 / 2_000_000).unwrap_or(0);
    if epoch <= 1 { first.segment } else { half_seconds }
}

/// The longest duration that still rounds to `target`.
pub(crate) fn gap_limit(target: u64) -> Duration {
    Duration::from_millis(target * 1000 + 499)
}
