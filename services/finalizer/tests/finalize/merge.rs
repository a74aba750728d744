//! Several workers: one line of time, however they overlapped.

use std::time::Duration;

use claim::Phase;
use finalizer::Outcome;
use media::{MediaTime, Rendition};
use storage::journal::Gap;
use storage::manifest::Sum;

use crate::film::{CYCLE, FPS, Film, Style, beeps, ffprobe, flashes, pictures, sound};
use crate::studio::Studio;

/// Each flash and each beep is at a whole second.
fn on_the_second(times: &[f64], within: f64) -> bool {
    times.iter().all(|at| (at - at.round()).abs() < within)
}

#[tokio::test]
async fn a_hand_over_leaves_no_seam() {
    let studio = Studio::open().await;
    // The second worker begins 5.0 s in; the first goes on until 8.2 s.
    studio.record(1, &Film::shoot(0, 246, Style::Live), Vec::new()).await;
    studio.record(2, &Film::shoot(150, 240, Style::Live), Vec::new()).await;
    studio.end(2).await;
    let outcome = studio.finalize().await;
    assert!(matches!(outcome, Outcome::Ready { complete: true, .. }), "{outcome:?}");

    let file = studio.open_final().await;
    let shown = pictures(&file);
    let numbers: Vec<u32> = shown.iter().map(|p| p.number).collect();
    assert_eq!(numbers, (0..390).map(|n| n % CYCLE).collect::<Vec<_>>(), "no frame twice, none missing");
    let (seen, heard) = (flashes(&shown), beeps(&file));
    assert_eq!((seen.len(), heard.len()), (13, 13));
    assert!(on_the_second(&seen, 0.002) && on_the_second(&heard, 0.04), "{seen:?} {heard:?}");
    assert_eq!(studio.verify().await.findings, []);
}

#[tokio::test]
async fn a_gap_is_named_and_everything_after_it_keeps_its_time() {
    let studio = Studio::open().await;
    // 6 s, then nobody for 7.5 s, then 6 s.
    studio.record(1, &Film::shoot(0, 180, Style::Reordered), Vec::new()).await;
    studio.record(2, &Film::shoot(405, 180, Style::Reordered), Vec::new()).await;
    studio.end(2).await;
    let Outcome::Ready { complete: false, duration, .. } = studio.finalize().await else { panic!("not partial") };
    assert!(duration.abs_diff(Duration::from_millis(19_500)) < Duration::from_millis(50), "{duration:?}");
    assert_eq!(studio.state().await.phase, Phase::Partial);

    let gaps = studio.manifest().await.gaps;
    let told: Vec<_> = gaps.iter().map(|g| (g.from.0 / 100_000_000, g.to.0 / 100_000_000, g.why.as_str())).collect();
    assert_eq!(told, [(60, 135, "nobody recorded")], "one hole, one name");

    let file = studio.open_final().await;
    let shown = pictures(&file);
    let expected: Vec<u32> = (0..180).chain(405..585).map(|n| n % CYCLE).collect();
    assert_eq!(shown.iter().map(|p| p.number).collect::<Vec<_>>(), expected);
    assert!((shown[180].at - 13.5).abs() < 0.002, "the picture after the gap is at {}", shown[180].at);
    let (seen, heard) = (flashes(&shown), beeps(&file));
    assert!(on_the_second(&seen, 0.002) && on_the_second(&heard, 0.04), "{seen:?} {heard:?}");
    assert_eq!(heard.len(), 12, "{heard:?}");
    let sound = sound(&file);
    assert!(sound[48_000 * 61 / 10..48_000 * 134 / 10].iter().all(|s| s.abs() < 8), "silence in between");
}

#[tokio::test]
async fn what_the_recorder_could_not_record_is_told() {
    let studio = Studio::open().await;
    let told = Gap { from: MediaTime(2_000_000_000), to: MediaTime(3_000_000_000), why: "slate: rejoining".into() };
    studio.record(1, &Film::shoot(0, 120, Style::Live), vec![told.clone()]).await;
    studio.end(1).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));
    assert_eq!(studio.manifest().await.gaps, [told]);
}

/// Killed again and again, each time in the middle of a segment: what each had stored is there, and each hole has one
/// name. An epoch that came to nothing gives its name to the hole that it should have filled.
#[tokio::test]
async fn workers_that_were_killed_leave_one_gap_each() {
    let studio = Studio::open().await;
    studio.put_segments(1, &Film::shoot(0, 192, Style::Live)).await;
    // Epoch 2 had a key and no more; of epoch 3's picture one segment more is stored than of its sound.
    studio.put_segments(2, &Film::shoot(240, 96, Style::Live)).await;
    let nothing = studio.store().list(storage::Bucket::Media, &format!("{}live/0002", studio.path.prefix())).await;
    studio.hold_back(nothing.unwrap().into_iter().map(|entry| entry.key)).await;
    studio.put_segments(3, &Film::shoot(240, 192, Style::Live)).await;
    // The last of its sound is a rest that is shorter.
    studio.hold_back([1, 2].map(|number| studio.path.segment(3, &Rendition::audio(), number))).await;
    studio.record(4, &Film::shoot(480, 96, Style::Live), Vec::new()).await;
    studio.end(4).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));
    let report = studio.verify().await;
    assert_eq!(report.findings, []);
    let tenth = |at: MediaTime| (at.0 + 50_000_000) / 100_000_000;
    let told: Vec<_> = report.manifest.gaps.iter().map(|g| (tenth(g.from), tenth(g.to), g.why.as_str())).collect();
    let died = "the recorder died; another went on";
    let lost = "the recorder died; epoch 2 began to record, and nothing of it was stored";
    let uneven = format!("{died}; for 3.2 s of it only the sound is missing");
    assert_eq!(told, [(64, 80, lost), (112, 160, uneven.as_str())]);
    assert_eq!(report.sum, Some(Sum { epochs: 3, segments: (2 + 3) + (2 + 1) + (1 + 2), missing: 0 }));

    let file = studio.open_final().await;
    let shown = pictures(&file);
    let expected: Vec<u32> = (0..192).chain(240..432).chain(480..576).map(|n| n % CYCLE).collect();
    assert_eq!(shown.iter().map(|p| p.number).collect::<Vec<_>>(), expected);
    // By the stamps alone, for want of journals.
    assert!((shown[192].at - 240.0 / f64::from(FPS)).abs() < 0.002 && (shown[384].at - 16.0).abs() < 0.002);
    let (seen, heard) = (flashes(&shown), beeps(&file));
    assert!(on_the_second(&seen, 0.002) && on_the_second(&heard, 0.04), "{seen:?} {heard:?}");

    let marks =
        ffprobe(&["-show_entries", "chapter=start_time:chapter_tags=title", "-of", "csv=p=0", file.to_str().unwrap()]);
    let marks: Vec<_> = marks.lines().map(|line| line.split_once(',').unwrap()).collect();
    let marks: Vec<_> = marks.iter().map(|(at, title)| (at.parse::<f64>().unwrap(), title.trim_matches('"'))).collect();
    let titles: Vec<_> = marks.iter().map(|(_, title)| *title).collect();
    let first = format!("Recording interrupted 10:00:06-10:00:08 UTC (1.6 s): {lost}");
    let second = format!("Recording interrupted 10:00:11-10:00:16 UTC (4.8 s): {uneven}");
    assert_eq!(titles, ["Recording", &first, "Recording goes on", &second, "Recording goes on"]);
    for ((at, _), expected) in marks.iter().zip([0.0, 6.4, 8.0, 11.2, 16.0]) {
        assert!((at - expected).abs() < 0.05, "{marks:?}");
    }
}

#[tokio::test]
async fn a_worker_that_died_at_the_end_leaves_a_doubt_about_the_end() {
    let studio = Studio::open().await;
    studio.put_segments(1, &Film::shoot(0, 96, Style::Live)).await;
    studio.end(1).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));
    let gaps = studio.manifest().await.gaps;
    let why = "the recorder died; what came after this, up to the end of the meeting, is not recorded";
    assert_eq!(gaps.iter().map(|gap| gap.why.as_str()).collect::<Vec<_>>(), [why]);
    assert_eq!(gaps[0].from, gaps[0].to);
}

/// Two machines whose clocks are 300 ms apart, at a hand-over whose picture comes to an end before its sound: nothing is
/// missing, and the sound goes over with the picture.
#[tokio::test]
async fn clocks_that_disagree_do_not_part_sound_from_picture() {
    let mut studio = Studio::open().await;
    studio.put_segments(1, &Film::shoot(0, 246, Style::Live)).await;
    studio.hold_back([studio.path.segment(1, &Rendition::video(), 2)]).await;
    studio.fast = Duration::from_millis(300);
    studio.put_segments(2, &Film::shoot(150, 240, Style::Live)).await;
    studio.end(2).await;
    studio.finalize().await;
    let gaps = studio.manifest().await.gaps;
    assert!(gaps.iter().all(|gap| gap.from == gap.to), "{gaps:?}");
    let file = studio.open_final().await;
    let (seen, heard) = (flashes(&pictures(&file)), beeps(&file));
    // What was recorded within those 300 ms is told twice, the flash and the beep of second 5.
    assert_eq!(seen.len(), 14, "{seen:?}");
    for (flash, beep) in seen.iter().zip(&heard) {
        assert!((flash - beep).abs() < 0.04, "{seen:?} {heard:?}");
    }
    assert_eq!(seen.len(), heard.len(), "{seen:?} {heard:?}");
}

/// An encoder that made a segment which nobody stored: by the journal's count, by the numbers, or by both.
#[tokio::test]
async fn a_segment_that_was_made_and_never_stored_is_named() {
    let studio = Studio::open().await;
    let film = Film::shoot(0, 480, Style::Live);
    let (seal, mut entries) = studio.put_segments(1, &film).await;
    let keys = [1, 2, 4].map(|number| studio.path.segment(1, &Rendition::video(), number));
    studio.hold_back(keys.clone()).await;
    entries.retain(|entry| !keys.contains(&entry.key));
    // Its recorder knew of one of them.
    let told = Gap { from: MediaTime(12_800_000_000), to: MediaTime(16_000_000_000), why: "lost in the spool".into() };
    studio.journal(1, &film, &seal, entries, vec![told]).await;
    studio.end(1).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));
    let report = studio.verify().await;
    assert_eq!(report.findings, []);
    let tenth = |at: MediaTime| (at.0 + 50_000_000) / 100_000_000;
    let gaps: Vec<_> = report.manifest.gaps.iter().map(|g| (tenth(g.from), tenth(g.to), g.why.as_str())).collect();
    assert_eq!(
        gaps,
        [
            (32, 96, "video: segments 1 to 2 of epoch 1: each was made and never stored"),
            (128, 160, "video: segment 4 of epoch 1 is missing: lost in the spool"),
        ]
    );
    assert_eq!(report.sum, Some(Sum { epochs: 1, segments: 5 + 6, missing: 3 }));
}
