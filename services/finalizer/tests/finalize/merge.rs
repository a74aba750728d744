//! Several workers: one line of time, however they overlapped.

use std::time::Duration;

use claim::Phase;
use finalizer::Outcome;
use media::MediaTime;
use storage::journal::Gap;

use crate::film::{CYCLE, FPS, Film, Style, beeps, flashes, pictures, sound};
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
    assert_eq!(told, [(60, 134, "audio: nobody recorded"), (60, 135, "video: nobody recorded")]);

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

#[tokio::test]
async fn a_worker_that_died_without_a_journal_is_not_forgotten() {
    let studio = Studio::open().await;
    studio.put_segments(1, &Film::shoot(0, 192, Style::Live)).await;
    studio.record(2, &Film::shoot(240, 96, Style::Live), Vec::new()).await;
    studio.end(2).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));
    let report = studio.verify().await;
    assert_eq!(report.findings, []);
    let whys: Vec<&str> = report.manifest.gaps.iter().map(|gap| gap.why.as_str()).collect();
    assert!(
        whys.contains(&"epoch 1: its journal is missing; its segments were taken as they lie in the store"),
        "{whys:?}"
    );

    let shown = pictures(&studio.open_final().await);
    let expected: Vec<u32> = (0..192).chain(240..336).map(|n| n % CYCLE).collect();
    assert_eq!(shown.iter().map(|p| p.number).collect::<Vec<_>>(), expected);
    assert!((shown[192].at - 240.0 / f64::from(FPS)).abs() < 0.002);
}
