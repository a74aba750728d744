//! Accounts for each segment that an epoch made: it is used, or it has a name among the lost. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use media::{MediaTime, Rendition, WallTime};
use storage::journal::{Entry, Gap};
use storage::manifest::{Account, Missing};

use crate::gather::{Epoch, Gathered, Lost, Segment};

/// How far what a recorder told of may lie from what is found missing, and still be that.
const NEAR: Duration = Duration::from_millis(50);

/// Accounts for the epoch that was read last, of which its journal counted `closed`. Numbers that are missing without a
/// word become [`Lost`]; a gap that its recorder told of in their place gives the reason, and is told with them alone.
pub(crate) fn epoch(gathered: &mut Gathered, closed: &BTreeMap<Rendition, u64>) {
    let Some(at) = gathered.epochs.len().checked_sub(1) else { return };
    let mut used = Vec::new();
    // Epochs are read one after the other.
    let segments = gathered.segments.partition_point(|segment| segment.epoch < at);
    let number = gathered.epochs[at].number;
    let lost = gathered.lost.partition_point(|lost| lost.epoch < number);
    for rendition in [Rendition::video(), Rendition::audio()] {
        let epoch = &gathered.epochs[at];
        let kept = gathered.segments[segments..].iter().filter(|segment| segment.rendition == rendition);
        let kept: Vec<&Segment> = kept.collect();
        let place = Place { epoch, rendition: &rendition, kept: &kept };
        for lost in gathered.lost[lost..].iter_mut().filter(|lost| lost.rendition == rendition) {
            // Without a journal, nothing but its neighbours says when it was.
            if lost.lasts.is_zero() {
                (lost.from, lost.lasts) = place.time(lost.first, lost.last);
            }
        }
        let lost = gathered.lost[lost..].iter().filter(|lost| lost.rendition == rendition);
        let lost = lost.map(|lost| (lost.first, lost.last));
        let known = kept.iter().map(|segment| (segment.number, segment.number)).chain(lost);
        let mut known: Vec<(u64, u64)> = known.collect();
        known.sort_unstable();
        let seen = known.last().map_or(0, |(_, last)| last.saturating_add(1));
        let made = closed.get(&rendition).copied().unwrap_or(0).max(seen);
        let silent: Vec<Lost> = holes(&known, made).into_iter().map(|(first, last)| place.lost(first, last)).collect();
        let silent: Vec<Lost> = silent.into_iter().map(|lost| told(epoch, lost, &mut used)).collect();
        let stored = kept.len() as u64;
        gathered.lost.extend(silent);
        gathered.account(number, &rendition, made, stored);
    }
    let mut index = 0..;
    gathered.epochs[at].gaps.retain(|_| !index.next().is_some_and(|index| used.contains(&index)));
}

/// Accounts for an epoch whose segments cannot be read at all.
pub(crate) fn locked(gathered: &mut Gathered, epoch: u32, entries: &[Entry], why: &str) {
    for rendition in [Rendition::video(), Rendition::audio()] {
        let numbers = entries.iter().filter(|entry| entry.rendition == rendition).map(|entry| entry.number);
        let Some(last) = numbers.max() else { continue };
        let missing = vec![Missing { first: 0, last, why: why.into() }];
        gathered.accounts.push(Account { epoch, rendition, made: last.saturating_add(1), stored: 0, missing });
    }
}

impl Gathered {
    fn account(&mut self, epoch: u32, rendition: &Rendition, made: u64, stored: u64) {
        if made == 0 {
            return;
        }
        let of = |lost: &&Lost| lost.epoch == epoch && lost.rendition == *rendition;
        let mut lost: Vec<&Lost> = self.lost.iter().filter(of).collect();
        lost.sort_by_key(|lost| lost.first);
        let runs = lost.chunk_by(|a, b| a.why == b.why && a.last + 1 == b.first);
        let missing = runs.filter_map(|run| match (run, run) {
            ([first, ..], [.., last]) => Some(Missing { first: first.first, last: last.last, why: first.why.clone() }),
            _ => None,
        });
        let missing = missing.collect();
        self.accounts.push(Account { epoch, rendition: rendition.clone(), made, stored, missing });
    }
}

/// The numbers below `made` that are in none of the runs `known`, as runs.
fn holes(known: &[(u64, u64)], made: u64) -> Vec<(u64, u64)> {
    let (mut holes, mut next) = (Vec::new(), 0);
    for (first, last) in known {
        if *first > next {
            holes.push((next, first - 1));
        }
        next = next.max(last.saturating_add(1));
    }
    if made > next {
        holes.push((next, made - 1));
    }
    holes
}

/// With the reason that its recorder gave, if it gave one for this very stretch.
fn told(epoch: &Epoch, lost: Lost, used: &mut Vec<usize>) -> Lost {
    let on_wall = |at: MediaTime| epoch.zero.plus(Duration::from_nanos(at.0));
    let within = |gap: &Gap| on_wall(gap.from).plus(NEAR) >= lost.from && on_wall(gap.to) <= lost.ends().plus(NEAR);
    let gaps: Vec<usize> = (0..epoch.gaps.len()).filter(|gap| within(&epoch.gaps[*gap])).collect();
    let Some(first) = gaps.first() else { return lost };
    let why = format!("is missing: {}", epoch.gaps[*first].why);
    used.extend(gaps);
    Lost { why, ..lost }
}

/// Where the segments of one rendition lie that are not lost.
struct Place<'a> {
    epoch: &'a Epoch,
    rendition: &'a Rendition,
    /// In order of number.
    kept: &'a [&'a Segment],
}

impl Place<'_> {
    /// Of segments that nothing is known of, the neighbours tell the time.
    fn lost(&self, first: u64, last: u64) -> Lost {
        let (from, lasts) = self.time(first, last);
        let (rendition, epoch) = (self.rendition.clone(), self.epoch.number);
        Lost { rendition, epoch, first, last, from, lasts, why: "was made and never stored".into() }
    }

    fn time(&self, first: u64, last: u64) -> (WallTime, Duration) {
        let before = self.kept.iter().rev().find(|segment| segment.number < first);
        let after = self.kept.iter().find(|segment| segment.number > last);
        let from = before.map_or(self.epoch.zero, |segment| self.of(segment).1);
        let to = match (after, self.kept.first()) {
            (Some(after), _) => self.of(after).0,
            // As long as the first.
            (None, Some(one)) => {
                let (begins, ends) = self.of(one);
                let each = ends.since(begins);
                let count = u32::try_from(last - first).unwrap_or(u32::MAX).saturating_add(1);
                from.plus(each.saturating_mul(count))
            }
            (None, None) => from,
        };
        (from, to.since(from))
    }

    /// From and to, on the wall.
    fn of(&self, segment: &Segment) -> (WallTime, WallTime) {
        let timescale = self.epoch.inits.get(self.rendition).map_or(1, |init| u64::from(init.timescale)).max(1);
        let at = |units: u64| {
            let nanos = u128::from(units) * 1_000_000_000 / u128::from(timescale);
            self.epoch.zero.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
        };
        let samples = &segment.samples;
        let ends = samples.last().map_or(0, |last| last.at + u64::from(last.lasts));
        (at(samples.first().map_or(0, |first| first.at)), at(ends))
    }
}

impl Lost {
    pub(crate) fn ends(&self) -> WallTime {
        self.from.plus(self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_missing_are_found_as_runs() {
        assert_eq!(holes(&[], 0), []);
        assert_eq!(holes(&[], 3), [(0, 2)]);
        assert_eq!(holes(&[(0, 0), (1, 1), (2, 2)], 3), []);
        assert_eq!(holes(&[(1, 1), (4, 6), (8, 8)], 12), [(0, 0), (2, 3), (7, 7), (9, 11)]);
    }
}
