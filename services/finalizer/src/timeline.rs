//! Puts what several workers recorded onto one line of time. Pure: positions in, pieces and holes out.
//!
//! Two workers overlap when a recording is handed over or taken over. The one that recorded goes on as long as it can;
//! the next enters at a beginning of one of its segments (a key frame), and what the first recorded beyond that point
//! is cut. A hole in one worker's stretch is filled from another's where there is one.

use std::ops::Range;

/// A stored segment of one rendition on the common line, in units of the track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) epoch: usize,
    pub(crate) time: Range<i64>,
}

/// The part of a stored segment that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Index into the stored segments.
    pub(crate) stored: usize,
    pub(crate) time: Range<i64>,
    /// Does not continue the piece before it: a decoder begins anew here.
    pub(crate) fresh: bool,
}

/// Covers as much of the line as can be. `slack` is how far apart two segments may be and still follow one another.
pub(crate) fn cover(stored: &[Stored], slack: i64) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    while let Some(next) = follow(stored, &pieces, slack) {
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

/// The segment that comes after `pieces`. It ends later than they do, so there is an end to this.
fn follow(stored: &[Stored], pieces: &[Piece], slack: i64) -> Option<usize> {
    let all = || stored.iter().enumerate();
    let Some(last) = pieces.last() else { return all().min_by_key(|(_, s)| s.time.start).map(|(n, _)| n) };
    let (end, epoch) = (last.time.end, stored[last.stored].epoch);
    let beyond = || all().filter(|(_, s)| s.time.end > end + slack);
    let own = beyond().filter(|(_, s)| s.epoch == epoch && (s.time.start - end).abs() <= slack);
    let over = || beyond().filter(|(_, s)| s.time.start <= end + slack).max_by_key(|(_, s)| s.time.start);
    let later = || beyond().min_by_key(|(_, s)| s.time.start);
    own.min_by_key(|(_, s)| s.time.start).or_else(over).or_else(later).map(|(n, _)| n)
}

/// The stretches between the pieces that are longer than `slack`.
pub(crate) fn holes(pieces: &[Piece], slack: i64) -> Vec<Range<i64>> {
    let pairs = pieces.windows(2).map(|pair| pair[0].time.end..pair[1].time.start);
    pairs.filter(|hole| hole.end - hole.start > slack).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(segments: &[(usize, i64, i64)]) -> Vec<Stored> {
        segments.iter().map(|(epoch, from, to)| Stored { epoch: *epoch, time: *from..*to }).collect()
    }

    fn kept(segments: &[(usize, i64, i64)]) -> Vec<(usize, i64, i64)> {
        let stored = line(segments);
        cover(&stored, 2).iter().map(|p| (stored[p.stored].epoch, p.time.start, p.time.end)).collect()
    }

    #[test]
    fn one_worker_is_kept_as_it_is() {
        let all = [(1, 0, 100), (1, 100, 200), (1, 201, 300)];
        assert_eq!(kept(&all), all);
    }

    #[test]
    fn the_next_worker_enters_at_its_last_segment_that_leaves_no_hole() {
        let all = [(1, 0, 100), (1, 100, 200), (1, 200, 270), (2, 130, 230), (2, 230, 330), (2, 330, 400)];
        assert_eq!(kept(&all), [(1, 0, 100), (1, 100, 200), (1, 200, 230), (2, 230, 330), (2, 330, 400)]);
    }

    #[test]
    fn a_cut_may_take_whole_segments_of_the_worker_before() {
        let all = [(1, 0, 100), (1, 100, 110), (1, 110, 120), (2, 95, 300)];
        assert_eq!(kept(&all), [(1, 0, 95), (2, 95, 300)]);
    }

    #[test]
    fn a_hole_is_left_where_nobody_recorded_and_filled_where_another_did() {
        assert_eq!(kept(&[(1, 0, 100), (2, 500, 600)]), [(1, 0, 100), (2, 500, 600)]);
        let stored = line(&[(1, 0, 100), (2, 500, 600)]);
        assert_eq!(holes(&cover(&stored, 2), 2), std::iter::once(100..500).collect::<Vec<_>>());
        let filled = [(1, 0, 100), (1, 200, 300), (2, 50, 150), (2, 150, 250)];
        assert_eq!(kept(&filled), [(1, 0, 50), (2, 50, 150), (2, 150, 200), (1, 200, 300)]);
    }

    #[test]
    fn a_worker_that_only_repeats_is_left_out() {
        assert_eq!(kept(&[(1, 0, 100), (1, 100, 200), (2, 20, 120)]), [(1, 0, 100), (1, 100, 200)]);
    }

    #[test]
    fn nothing_stored_is_nothing_kept() {
        assert_eq!(cover(&[], 2), []);
    }

    proptest! {
        #[test]
        fn every_moment_that_anybody_recorded_is_kept_once(
            segments in proptest::collection::vec((0_usize..4, 0_i64..2000, 1_i64..200), 0..40)
        ) {
            let stored: Vec<Stored> =
                segments.iter().map(|(epoch, from, lasts)| Stored { epoch: *epoch, time: *from..from + lasts }).collect();
            let pieces = cover(&stored, 0);
            for pair in pieces.windows(2) {
                prop_assert!(pair[0].time.start < pair[0].time.end && pair[0].time.end <= pair[1].time.start);
            }
            for piece in &pieces {
                let whole = &stored[piece.stored].time;
                prop_assert!(piece.time.start == whole.start && piece.time.end <= whole.end, "enters at its beginning");
            }
            for at in 0..2200 {
                let recorded = stored.iter().any(|s| s.time.contains(&at));
                let kept = pieces.iter().filter(|p| p.time.contains(&at)).count();
                prop_assert_eq!(kept, usize::from(recorded), "at {}", at);
            }
        }
    }
}
