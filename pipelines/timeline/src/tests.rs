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
    assert_eq!(cover(&line(&[(1, 5, 5)]), 2), []);
}

#[test]
fn sound_goes_over_where_the_picture_does() {
    let sounds = [(1, 0, 100), (1, 100, 200), (2, 95, 195), (2, 195, 300)];
    let along = |pictures: &[(usize, i64, i64)], sounds: &[(usize, i64, i64)]| -> Vec<(usize, i64, i64)> {
        let (pictures, sounds) = (line(pictures), line(sounds));
        let lead = turns(&pictures, &cover(&pictures, 2));
        let pieces = accompany(&sounds, &lead, 2);
        pieces.iter().map(|p| (sounds[p.stored].epoch, p.time.start, p.time.end)).collect()
    };
    // The picture of the first ends early, so that the second enters a segment before its sound would.
    let pictures = [(1, 0, 100), (2, 97, 197), (2, 197, 300)];
    assert_eq!(along(&pictures, &sounds), [(1, 0, 97), (2, 97, 195), (2, 195, 300)]);
    // Whose turn it is, but who has no sound there, is stood in for.
    assert_eq!(
        along(&pictures, &[sounds[0], sounds[1], sounds[3]]),
        [(1, 0, 97), (1, 97, 100), (1, 100, 195), (2, 195, 300)]
    );
    assert_eq!(along(&pictures, &sounds[..2]), [(1, 0, 97), (1, 97, 100), (1, 100, 200)]);
    assert_eq!(along(&pictures, &[]), []);
    assert_eq!(along(&[], &sounds), along(&[(1, 0, 0)], &sounds), "without a picture, as ever");
}

/// A day and a night of a room that kills its workers every few minutes.
#[test]
fn many_segments_take_no_time() {
    let segments = 200_000;
    let stored: Vec<Stored> =
        (0..segments).map(|n| Stored { epoch: n as usize / 100, time: n * 32 - 40..n * 32 + 32 }).collect();
    let pieces = cover(&stored, 1);
    assert_eq!(holes(&pieces, 1), []);
    assert_eq!((pieces[0].time.start, pieces[pieces.len() - 1].time.end), (-40, segments * 32));
}

/// The rules as they would be written without a thought for time.
fn plain(stored: &[Stored], last: Option<&Piece>, slack: i64) -> Option<usize> {
    let all = || stored.iter().enumerate();
    let Some(last) = last else { return all().min_by_key(|(_, s)| s.time.start).map(|(n, _)| n) };
    let (end, epoch) = (last.time.end, stored[last.stored].epoch);
    let beyond = || all().filter(|(_, s)| s.time.end > end + slack);
    let own = beyond().filter(|(_, s)| s.epoch == epoch && (s.time.start - end).abs() <= slack);
    let over = || beyond().filter(|(_, s)| s.time.start <= end + slack).max_by_key(|(_, s)| s.time.start);
    let later = || beyond().min_by_key(|(_, s)| s.time.start);
    own.min_by_key(|(_, s)| s.time.start).or_else(over).or_else(later).map(|(n, _)| n)
}

fn segments() -> impl Strategy<Value = Vec<Stored>> {
    let one = (0_usize..4, 0_i64..2000, 1_i64..200);
    let one = one.prop_map(|(epoch, from, lasts)| Stored { epoch, time: from..from + lasts });
    proptest::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn every_moment_that_anybody_recorded_is_kept_once(stored in segments()) {
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

    #[test]
    fn accompanying_loses_no_moment_and_tells_none_twice(pictures in segments(), sounds in segments()) {
        let lead = turns(&pictures, &cover(&pictures, 0));
        let pieces = accompany(&sounds, &lead, 0);
        for piece in &pieces {
            let whole = &sounds[piece.stored].time;
            prop_assert!(whole.start <= piece.time.start && piece.time.end <= whole.end);
        }
        for at in 0..2200 {
            let recorded = sounds.iter().any(|s| s.time.contains(&at));
            let kept: Vec<_> = pieces.iter().filter(|p| p.time.contains(&at)).collect();
            prop_assert_eq!(kept.len(), usize::from(recorded), "at {}", at);
            let turn = lead.iter().find(|turn| turn.time.contains(&at)).map(|turn| turn.epoch);
            if sounds.iter().any(|s| Some(s.epoch) == turn && s.time.contains(&at)) {
                prop_assert_eq!(Some(sounds[kept[0].stored].epoch), turn, "at {}", at);
            }
        }
    }

    #[test]
    fn never_looking_back_chooses_what_looking_at_all_would(stored in segments(), slack in 0_i64..40) {
        let mut ahead = Ahead::of(&stored);
        let mut last: Option<Piece> = None;
        loop {
            let next = ahead.next(last.as_ref(), slack);
            prop_assert_eq!(next, plain(&stored, last.as_ref(), slack));
            let Some(next) = next else { break };
            last = Some(Piece { stored: next, time: stored[next].time.clone(), fresh: false });
        }
    }
}
