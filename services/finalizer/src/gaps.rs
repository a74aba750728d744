//! Says which stretches of the final file are missing, and why. Pure.

use std::ops::Range;

use media::{MediaTime, WallTime};
use storage::journal::Gap;

use crate::gather::{Gathered, Lost};

/// The final file's line of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Wall time of its zero.
    pub(crate) zero: WallTime,
    pub(crate) lasts: MediaTime,
}

impl Line {
    /// `at` on the wall as a position in the file; what lies outside becomes the nearest end.
    fn place(&self, at: WallTime) -> MediaTime {
        let since = i128::from(at.0 - self.zero.0) * 1000;
        MediaTime(u64::try_from(since.max(0)).unwrap_or(u64::MAX)).min(self.lasts)
    }
}

/// One rendition's holes, on the wall.
pub(crate) struct Holes {
    pub(crate) rendition: media::Rendition,
    /// From the first to the last kept sample.
    pub(crate) kept: Range<WallTime>,
    pub(crate) holes: Vec<Range<WallTime>>,
}

/// Every gap with its reason, in order of time. Nothing that another worker's stretch covers is one.
pub(crate) fn name(gathered: &Gathered, tracks: &[Holes], line: Line) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut gap = |from: WallTime, to: WallTime, why: String| {
        gaps.push(Gap { from: line.place(from), to: line.place(to), why });
    };
    for Holes { rendition, holes, .. } in tracks {
        for hole in holes {
            let inside = |lost: &&Lost| lost.rendition == *rendition && ends(lost) > hole.start && lost.from < hole.end;
            let whys = describe(gathered.lost.iter().filter(inside));
            let why = if whys.is_empty() { "nobody recorded".to_owned() } else { whys.join("; ") };
            gap(hole.start, hole.end, format!("{rendition}: {why}"));
        }
    }
    // What is lost at either end, or with a rendition that is lost altogether, leaves no hole between two pieces.
    let outside = |lost: &&Lost| match tracks.iter().find(|track| track.rendition == lost.rendition) {
        Some(track) => ends(lost) <= track.kept.start || lost.from >= track.kept.end,
        None => true,
    };
    let outer: Vec<&Lost> = gathered.lost.iter().filter(outside).collect();
    for run in outer.chunk_by(|a, b| follows(a, b)) {
        if let ([first, ..], [.., last]) = (run, run) {
            let why = describe(run.iter().copied()).join("; ");
            gap(first.from, ends(last), format!("{}: {why}", first.rendition));
        }
    }
    for epoch in &gathered.epochs {
        for told in &epoch.gaps {
            let on_wall = |at: MediaTime| epoch.zero.plus(std::time::Duration::from_nanos(at.0));
            gap(on_wall(told.from), on_wall(told.to), told.why.clone());
        }
    }
    for (number, why) in &gathered.doubts {
        let from = gathered.epochs.iter().find(|epoch| epoch.number == *number).map_or(line.zero, |epoch| epoch.zero);
        gap(from, from, format!("epoch {number}: {why}"));
    }
    gaps.sort_by(|a, b| (a.from, a.to, &a.why).cmp(&(b.from, b.to, &b.why)));
    gaps
}

fn ends(lost: &Lost) -> WallTime {
    lost.from.plus(lost.lasts)
}

fn follows(a: &Lost, b: &Lost) -> bool {
    (&a.rendition, a.epoch, &a.why, a.number + 1) == (&b.rendition, b.epoch, &b.why, b.number)
}

/// One phrase per run of segments that share a fate.
fn describe<'a>(lost: impl Iterator<Item = &'a Lost>) -> Vec<String> {
    let lost: Vec<&Lost> = lost.collect();
    let runs = lost.chunk_by(|a, b| follows(a, b));
    runs.filter_map(|run| match run {
        [only] => Some(format!("segment {} of epoch {} {}", only.number, only.epoch, only.why)),
        [first, .., last] => {
            Some(format!("segments {} to {} of epoch {}: each {}", first.number, last.number, first.epoch, first.why))
        }
        [] => None,
    })
    .collect()
}
