//! Puts what several workers recorded onto one line of time. Pure: positions in, pieces and holes out. What a position
//! counts, where it comes from and how a hole is bridged is the caller's to say.
//!
//! Two workers overlap when a recording is handed over or taken over. The one that recorded goes on as long as it can;
//! the next enters at a beginning of one of its segments (a key frame), and what the first recorded beyond that point
//! is cut. A hole in one worker's stretch is filled from another's where there is one.
//!
//! # Clocks that disagree
//! Positions come from the wall clocks of the workers' machines, which may differ by some 100 ms. Where workers overlap
//! by more than that, there is no hole; but at the seam as much is shown twice or left out as their clocks differ. Where
//! they do not overlap, the hole is longer or shorter than it was by as much. Nothing here can tell: whoever needs less
//! keeps the machines' clocks together. Sound and picture stay together all the same, if the sound goes over where the
//! picture does ([`accompany`]).
//!
//! # Design
//! A day of one rendition has 27,000 segments of up to thousands of workers, so [`cover`] sorts once and never looks
//! back: what ends before the line has come so far can be of no use any more.

use std::collections::HashMap;
use std::ops::Range;

/// A stored segment of one rendition on the common line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Who recorded it: segments of one epoch continue each other.
    pub epoch: usize,
    /// Not empty, or it is left out.
    pub time: Range<i64>,
}

/// The part of a stored segment that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Index into the stored segments.
    pub stored: usize,
    /// Of [`cover`], from the segment's own beginning on.
    pub time: Range<i64>,
    /// Does not continue the piece before it: a decoder begins anew here.
    pub fresh: bool,
}

/// Covers as much of the line as can be, in order of time and no moment twice. `slack`, not negative, is how far apart
/// two segments may be and still follow one another: what reaches beyond the end by no more than that is left out.
#[must_use]
pub fn cover(stored: &[Stored], slack: i64) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut ahead = Ahead::of(stored);
    while let Some(next) = ahead.next(pieces.last(), slack) {
        let time = stored[next].time.clone();
        let before = pieces.last().map(|last| (stored[last.stored].epoch, last.time.end));
        while pieces.last().is_some_and(|last| last.time.start >= time.start) {
            pieces.pop();
        }
        if let Some(last) = pieces.last_mut() {
            last.time.end = last.time.end.min(time.start);
        }
        let fresh = !before.is_some_and(|(epoch, end)| epoch == stored[next].epoch && time.start <= end + slack);
        pieces.push(Piece { stored: next, time, fresh });
    }
    pieces
}

/// The stretches between the pieces that are longer than `slack`.
#[must_use]
pub fn holes(pieces: &[Piece], slack: i64) -> Vec<Range<i64>> {
    let pairs = pieces.windows(2).map(|pair| pair[0].time.end..pair[1].time.start);
    pairs.filter(|hole| hole.end - hole.start > slack).collect()
}

/// A stretch of the line for which one epoch is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub epoch: usize,
    pub time: Range<i64>,
}

/// Whose turn it is when: from where an epoch enters to where the next does. The first begins before all time, the last
/// never ends.
#[must_use]
pub fn turns(stored: &[Stored], pieces: &[Piece]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for piece in pieces {
        let epoch = stored[piece.stored].epoch;
        if turns.last().is_some_and(|last| last.epoch == epoch) {
            continue;
        }
        let start = if turns.is_empty() { i64::MIN } else { piece.time.start };
        if let Some(last) = turns.last_mut() {
            last.time.end = start;
        }
        turns.push(Turn { epoch, time: start..i64::MAX });
    }
    turns
}

/// Covers as much as [`cover`] does, of a rendition that can begin anywhere, such as sound: it goes over from one epoch to
/// the next where `lead` does, and takes another's only where the one whose turn it is has none. A piece may begin
/// within its segment.
#[must_use]
pub fn accompany(stored: &[Stored], lead: &[Turn], slack: i64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for turn in lead {
        let own = |of: &Stored| of.epoch == turn.epoch;
        pieces.extend(within(stored, &turn.time, slack, own));
    }
    let starts = pieces.iter().map(|piece| piece.time.start).chain([i64::MAX]);
    let ends = [i64::MIN].into_iter().chain(pieces.iter().map(|piece| piece.time.end));
    let holes: Vec<Range<i64>> = ends.zip(starts).map(|(end, start)| end..start).collect();
    for hole in holes.iter().filter(|hole| hole.end.saturating_sub(hole.start) > slack) {
        pieces.extend(within(stored, hole, slack, |_| true));
    }
    pieces.sort_by_key(|piece| piece.time.start);
    let mut before: Option<(usize, i64)> = None;
    for piece in &mut pieces {
        let epoch = stored[piece.stored].epoch;
        piece.fresh = !before.is_some_and(|(own, end)| own == epoch && piece.time.start <= end + slack);
        before = Some((epoch, piece.time.end));
    }
    pieces
}

/// Covers as much of `time` as can be from those that are `wanted`. What is no longer than the slack is not worth a cut.
fn within(stored: &[Stored], time: &Range<i64>, slack: i64, wanted: impl Fn(&Stored) -> bool) -> Vec<Piece> {
    let (mut cut, mut whole) = (Vec::new(), Vec::new());
    for (index, of) in stored.iter().enumerate().filter(|(_, of)| wanted(of)) {
        let part = of.time.start.max(time.start)..of.time.end.min(time.end);
        if part == of.time || part.end.saturating_sub(part.start) > slack {
            cut.push(Stored { epoch: of.epoch, time: part });
            whole.push(index);
        }
    }
    cover(&cut, slack).into_iter().map(|piece| Piece { stored: whole[piece.stored], ..piece }).collect()
}

/// What may come next, as the end of what is covered moves on.
struct Ahead<'a> {
    stored: &'a [Stored],
    /// By beginning.
    order: Vec<usize>,
    /// So many of `order` begin within reach.
    reached: usize,
    /// Of those, the ones that reach further; the last begins last.
    over: Vec<usize>,
    /// Each epoch's own, by beginning.
    own: HashMap<usize, Vec<usize>>,
}

impl<'a> Ahead<'a> {
    fn of(stored: &'a [Stored]) -> Self {
        let mut order: Vec<usize> = (0..stored.len()).filter(|n| !stored[*n].time.is_empty()).collect();
        order.sort_by_key(|n| stored[*n].time.start);
        let mut own: HashMap<usize, Vec<usize>> = HashMap::new();
        for n in &order {
            own.entry(stored[*n].epoch).or_default().push(*n);
        }
        Self { stored, order, reached: 0, over: Vec::new(), own }
    }

    /// The segment that comes after `last`. It ends later, so there is an end to this.
    fn next(&mut self, last: Option<&Piece>, slack: i64) -> Option<usize> {
        let Some(last) = last else { return self.order.first().copied() };
        let (end, epoch) = (last.time.end, self.stored[last.stored].epoch);
        let start = |n: usize| self.stored[n].time.start;
        let beyond = |n: usize| self.stored[n].time.end > end + slack;

        let own = self.own.get(&epoch).map_or(&[][..], Vec::as_slice);
        let own = &own[own.partition_point(|n| start(*n) < end - slack)..];
        if let Some(next) = own.iter().take_while(|n| start(**n) <= end + slack).find(|n| beyond(**n)) {
            return Some(*next);
        }
        while let Some(next) = self.order.get(self.reached).filter(|n| start(**n) <= end + slack) {
            self.over.push(*next);
            self.reached += 1;
        }
        // The end only grows: what does not reach beyond it now never will.
        while self.over.last().is_some_and(|n| !beyond(*n)) {
            self.over.pop();
        }
        self.over.last().or_else(|| self.order.get(self.reached)).copied()
    }
}

#[cfg(test)]
mod tests;
