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
//! keeps the machines' clocks together.
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
