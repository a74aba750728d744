//! Recordings that nobody calls for, or that nobody holds any more.

use std::time::{Duration, Instant};

use claim::{Phase, Record};
use finalizer::{Outcome, Seen, Steward};
use storage::{Bucket, ledger, recordings};

use crate::film::{Film, Style, pictures};
use crate::studio::{Studio, zero};

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

async fn look(steward: &mut Steward, studio: &Studio, clock: Instant, wall: Duration) -> Seen {
    steward.look(&studio.finalizer, clock, zero().plus(wall)).await.unwrap()
}

#[tokio::test]
async fn a_recording_that_nobody_called_for_is_finished_after_a_while() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    studio.end(1).await;
    let (mut steward, clock) = (Steward::default(), Instant::now());
    assert!(look(&mut steward, &studio, clock, minutes(5)).await.finished.is_empty());
    let seen = look(&mut steward, &studio, clock, minutes(60)).await;
    assert!(matches!(seen.finished[..], [(_, Outcome::Ready { complete: true, .. })]), "{seen:?}");
    assert!(look(&mut steward, &studio, clock, minutes(60)).await.finished.is_empty());
}

/// No recorder is left: what was stored becomes a film all the same, and says that its end is not known.
#[tokio::test]
async fn a_recording_that_nobody_holds_any_more_is_ended() {
    let studio = Studio::open().await;
    studio.put_segments(1, &Film::shoot(0, 96, Style::Live)).await;
    let (mut steward, clock) = (Steward::default(), Instant::now());
    // The wall says nothing: this machine's clock may be years ahead.
    for at in [0, 29] {
        let seen = look(&mut steward, &studio, clock + minutes(at), minutes(60)).await;
        assert!(seen.finished.is_empty() && seen.alarms.is_empty(), "{seen:?}");
    }
    // Its holder lives: it has renewed its record. What it stores counts as much.
    let (record, etag) = recordings::state(studio.store(), &studio.path).await.unwrap();
    let renewed = Record { phase: Phase::Recording, changed: zero().plus(minutes(29)), ..record };
    recordings::swap(studio.store(), &studio.path, &renewed, &etag).await.unwrap();
    assert!(look(&mut steward, &studio, clock + minutes(31), minutes(60)).await.finished.is_empty());
    assert!(look(&mut steward, &studio, clock + minutes(60), minutes(60)).await.finished.is_empty());

    let seen = look(&mut steward, &studio, clock + minutes(61), minutes(60)).await;
    assert!(matches!(seen.finished[..], [(_, Outcome::Ready { complete: false, .. })]), "{seen:?}");
    let state = studio.state().await;
    assert_eq!((state.phase, state.reason.as_deref()), (Phase::Partial, Some("abandoned")));
    let report = studio.verify().await;
    let whys: Vec<_> = report.manifest.gaps.iter().map(|gap| gap.why.as_str()).collect();
    assert_eq!(whys, ["the recorder was gone, and no other went on; what came after this is not recorded"]);
    assert_eq!(report.findings, []);
    assert_eq!(pictures(&studio.open_final().await).len(), 96);
}

#[tokio::test]
async fn what_the_ledger_alone_remembers_is_an_alarm() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    let (mut steward, clock) = (Steward::default(), Instant::now());
    assert_eq!(look(&mut steward, &studio, clock, minutes(10)).await.alarms, [], "it is being recorded");
    let late = look(&mut steward, &studio, clock, minutes(60 * 40)).await.alarms;
    assert!(late.len() == 1 && late[0].what.contains("36 hours"), "{late:?}");

    // Everything of it is taken away.
    for (bucket, prefix) in [(Bucket::Media, studio.path.prefix()), (Bucket::Keys, studio.path.keys_prefix())] {
        for entry in studio.store().list(bucket, &prefix).await.unwrap() {
            studio.store().delete(bucket, &entry.key).await.unwrap();
        }
    }
    let gone = look(&mut steward, &studio, clock, minutes(10)).await.alarms;
    assert_eq!((gone.len(), gone[0].recording, gone[0].epoch), (1, studio.path.recording, 1));
    assert!(gone[0].what.contains("restore its folder"), "{gone:?}");
}

#[tokio::test]
async fn what_is_stored_is_no_alarm() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    studio.end(1).await;
    assert_eq!(ledger::open(studio.store(), None).await.unwrap().len(), 1);
    studio.finalize().await;
    assert_eq!(ledger::open(studio.store(), None).await.unwrap(), []);
    // As if the finalizer had died before it told the ledger.
    for entry in studio.store().list(Bucket::Keys, "ledger/v1/").await.unwrap() {
        if entry.key.ends_with(".stored.json") {
            studio.store().delete(Bucket::Keys, &entry.key).await.unwrap();
        }
    }
    let seen = look(&mut Steward::default(), &studio, Instant::now(), minutes(60 * 40)).await;
    assert_eq!(seen.alarms, []);
    assert_eq!(ledger::open(studio.store(), None).await.unwrap(), [], "told now");
}

/// Killed before its first segment was closed: what it had captured is gone, and nobody has looked for it yet.
#[tokio::test]
async fn an_epoch_that_was_killed_before_its_first_segment_is_an_alarm() {
    let studio = Studio::open().await;
    ledger::started(studio.store(), &studio.path, 1, zero()).await.unwrap();
    studio.end(1).await;
    assert_eq!(studio.finalize().await, Outcome::Failed { reason: "unreadable".into() });
    let alarms = look(&mut Steward::default(), &studio, Instant::now(), minutes(60 * 40)).await.alarms;
    assert!(alarms.len() == 1 && alarms[0].what.contains("failed"), "{alarms:?}");
    assert_eq!(ledger::open(studio.store(), None).await.unwrap().len(), 1);
}
