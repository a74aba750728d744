//! Says which stretches of the final file are missing, and why. Pure.
//!
//! One hole has one name. Where picture and sound are missing for the same reason, that is one gap; what a worker told of
//! and what was found missing there is one, too; and so is a hole and the epoch of which nothing is left that would have
//! filled it. One that would have come before the film or after it is a gap without length there.

use std::ops::Range;
use std::time::Duration;

use media::{MediaTime, Rendition, WallTime};
use storage::journal::Gap;
use storage::ledger::Entry;

use crate::gather::{Gathered, Lost};

/// A shorter difference between picture and sound is not worth a word.
const NEAR: Duration = Duration::from_millis(250);

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
    pub(crate) rendition: Rendition,
    /// From the first to the last kept sample.
    pub(crate) kept: Range<WallTime>,
    pub(crate) holes: Vec<Hole>,
}

/// Between two epochs, or within one: indices into the gathered epochs.
pub(crate) struct Hole {
    pub(crate) time: Range<WallTime>,
    pub(crate) before: usize,
    pub(crate) after: usize,
}

/// A stretch that one rendition, or each, lacks.
struct Named {
    rendition: Option<Rendition>,
    time: Range<WallTime>,
    why: String,
}

/// Every gap with its reason, in order of time. Nothing that another worker's stretch covers is one. `end` is what is
/// unknown about the end, if anything.
pub(crate) fn name(gathered: &Gathered, tracks: &[Holes], line: Line, end: Option<&str>) -> Vec<Gap> {
    let each = tracks.iter().map(|track| named(gathered, track));
    let together = each.reduce(merge).unwrap_or_default();
    let told = |named: Named| {
        let why = named.rendition.map_or_else(|| named.why.clone(), |rendition| format!("{rendition}: {}", named.why));
        Gap { from: line.place(named.time.start), to: line.place(named.time.end), why }
    };
    let mut gaps: Vec<Gap> = together.into_iter().map(told).collect();
    let end = ends(gathered, tracks, line, end, &mut gaps);
    let mut gap = |from: WallTime, to: WallTime, why: String| {
        gaps.push(Gap { from: line.place(from), to: line.place(to), why });
    };
    // What is lost at either end, or with a rendition that is lost altogether, leaves no hole between two pieces.
    let outside = |lost: &&Lost| match tracks.iter().find(|track| track.rendition == lost.rendition) {
        Some(track) => lost.ends() <= track.kept.start || lost.from >= track.kept.end,
        None => true,
    };
    let mut outer: Vec<&Lost> = gathered.lost.iter().filter(outside).collect();
    outer.sort_by_key(|lost| (&lost.rendition, lost.epoch, lost.first));
    for run in outer.chunk_by(|a, b| follows(a, b)) {
        if let ([first, ..], [.., last]) = (run, run) {
            let why = describe(run.iter().copied()).join("; ");
            gap(first.from, last.ends(), format!("{}: {why}", first.rendition));
        }
    }
    for epoch in &gathered.epochs {
        for told in &epoch.gaps {
            let on_wall = |at: MediaTime| epoch.zero.plus(Duration::from_nanos(at.0));
            gap(on_wall(told.from), on_wall(told.to), told.why.clone());
        }
    }
    for (number, why) in &gathered.doubts {
        let from = gathered.epochs.iter().find(|epoch| epoch.number == *number).map_or(line.zero, |epoch| epoch.zero);
        gap(from, from, format!("epoch {number}: {why}"));
    }
    if let Some(why) = end {
        gap_at(&mut gaps, line.lasts, why);
    }
    gaps.sort_by(|a, b| (a.from, a.to, &a.why).cmp(&(b.from, b.to, &b.why)));
    gaps
}

/// The holes of one rendition with their reasons.
fn named(gathered: &Gathered, track: &Holes) -> Vec<Named> {
    let lost: Vec<&Lost> = gathered.lost.iter().filter(|lost| lost.rendition == track.rendition).collect();
    let named = track.holes.iter().map(|hole| {
        let inside = |lost: &&&Lost| lost.ends() > hole.time.start && lost.from < hole.time.end;
        let mut whys = describe(lost.iter().filter(inside).copied());
        let vanished = between(gathered, hole);
        let died = hole.before != hole.after && !gathered.epochs[hole.before].told;
        match (words(&vanished), died) {
            (Some(vanished), true) => whys.insert(0, format!("the recorder died; {vanished}")),
            (Some(vanished), false) => whys.insert(0, vanished),
            (None, true) => whys.insert(0, "the recorder died; another went on".into()),
            (None, false) => {}
        }
        let why = if whys.is_empty() { "nobody recorded".to_owned() } else { whys.join("; ") };
        Named { rendition: Some(track.rendition.clone()), time: hole.time.clone(), why }
    });
    named.collect()
}

/// The epochs of which nothing is left whose turn it was in this hole.
fn between<'a>(gathered: &'a Gathered, hole: &Hole) -> Vec<&'a Entry> {
    let [before, after] = [hole.before, hole.after].map(|at| gathered.epochs[at].number);
    gathered.vanished.iter().filter(|entry| before < entry.epoch && entry.epoch < after).collect()
}

/// Names the epochs of which nothing is left and that no hole speaks of. Returns what there is to say about the end.
fn ends(gathered: &Gathered, tracks: &[Holes], line: Line, end: Option<&str>, gaps: &mut Vec<Gap>) -> Option<String> {
    let used = || gathered.segments.iter().map(|segment| gathered.epochs[segment.epoch].number);
    let (first, last) = (used().min().unwrap_or(0), used().max().unwrap_or(0));
    let holes = tracks.iter().flat_map(|track| &track.holes);
    let named: Vec<&Entry> = holes.flat_map(|hole| between(gathered, hole)).collect();
    let vanished =
        |of: &dyn Fn(u32) -> bool| gathered.vanished.iter().filter(|entry| of(entry.epoch)).collect::<Vec<_>>();

    let before = vanished(&|epoch| epoch < first);
    if let Some(mut why) = words(&before) {
        let lacks = before.iter().filter_map(|entry| entry.at).min().map_or(Duration::ZERO, |at| line.zero.since(at));
        if !lacks.is_zero() {
            why.push_str(&format!("; the first {:.1} s are missing", lacks.as_secs_f64()));
        }
        gap_at(gaps, MediaTime::default(), why);
    }
    // The others covered its time, as far as can be told.
    let covered = vanished(&|epoch| first < epoch && epoch < last);
    for entry in covered.into_iter().filter(|entry| !named.contains(entry)) {
        let after = gathered.epochs.iter().find(|epoch| epoch.number > entry.epoch).map(|epoch| epoch.zero);
        let at = entry.at.or(after).unwrap_or(line.zero);
        gap_at(gaps, line.place(at), words(&[entry]).unwrap_or_default());
    }
    let after = words(&vanished(&|epoch| epoch > last));
    let whys: Vec<String> = after.into_iter().chain(end.map(str::to_owned)).collect();
    (!whys.is_empty()).then(|| whys.join("; "))
}

fn gap_at(gaps: &mut Vec<Gap>, at: MediaTime, why: String) {
    gaps.push(Gap { from: at, to: at, why });
}

/// What is said of epochs of which nothing is left; nothing of none.
fn words(vanished: &[&Entry]) -> Option<String> {
    let word = |entry: &&Entry| format!("epoch {} began to record, and nothing of it was stored", entry.epoch);
    (!vanished.is_empty()).then(|| vanished.iter().map(word).collect::<Vec<_>>().join("; "))
}

/// Two renditions that lack the same stretch for the same reason lack it together, from the first to the last moment
/// that either does.
fn merge(mut pictures: Vec<Named>, mut sounds: Vec<Named>) -> Vec<Named> {
    for picture in &mut pictures {
        let same = |sound: &Named| {
            let (a, b) = (&sound.time, &picture.time);
            sound.why == picture.why && a.start < b.end && b.start < a.end
        };
        let Some(at) = sounds.iter().position(same) else { continue };
        let sound = sounds.swap_remove(at);
        let alone = |this: &Named, other: &Named| {
            this.before_and_after(other).checked_sub(NEAR).map(|over| (over + NEAR).as_secs_f64())
        };
        let mut why = picture.why.clone();
        for (seconds, what) in [(alone(&sound, picture), "sound"), (alone(picture, &sound), "picture")] {
            if let Some(seconds) = seconds {
                why.push_str(&format!("; for {seconds:.1} s of it only the {what} is missing"));
            }
        }
        let time = picture.time.start.min(sound.time.start)..picture.time.end.max(sound.time.end);
        *picture = Named { rendition: None, time, why };
    }
    pictures.extend(sounds);
    pictures
}

impl Named {
    /// How much of it lies outside of `other`.
    fn before_and_after(&self, other: &Self) -> Duration {
        other.time.start.since(self.time.start) + self.time.end.since(other.time.end)
    }
}

fn follows(a: &Lost, b: &Lost) -> bool {
    (&a.rendition, a.epoch, &a.why, a.last + 1) == (&b.rendition, b.epoch, &b.why, b.first)
}

/// One phrase per run of segments that share a fate.
fn describe<'a>(lost: impl Iterator<Item = &'a Lost>) -> Vec<String> {
    let mut lost: Vec<&Lost> = lost.collect();
    lost.sort_by_key(|lost| (lost.epoch, lost.first));
    let runs = lost.chunk_by(|a, b| follows(a, b));
    runs.filter_map(|run| match (run, run) {
        ([first, ..], [.., last]) if first.first == last.last => {
            Some(format!("segment {} of epoch {} {}", first.first, first.epoch, first.why))
        }
        ([first, ..], [.., last]) => {
            Some(format!("segments {} to {} of epoch {}: each {}", first.first, last.last, first.epoch, first.why))
        }
        _ => None,
    })
    .collect()
}
