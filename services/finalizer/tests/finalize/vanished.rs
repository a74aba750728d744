//! Epochs that began to record and left nothing in the store: their spool is gone with its machine, or comes late.

use std::time::Instant;

use bytes::Bytes;
use claim::{Phase, Record};
use finalizer::{Outcome, Steward};
use media::{MediaTime, WallTime};
use storage::ledger::{self, Stored};
use storage::{Bucket, recordings};

use crate::film::{Film, Style, ffprobe, pictures};
use crate::studio::{Studio, frames, zero};

const LOST: &str = "epoch 2 began to record, and nothing of it was stored";

/// From, to in tenths of a second, and why.
fn told(gaps: &[storage::journal::Gap]) -> Vec<(u64, u64, &str)> {
    let tenth = |at: MediaTime| (at.0 + 50_000_000) / 100_000_000;
    gaps.iter().map(|gap| (tenth(gap.from), tenth(gap.to), gap.why.as_str())).collect()
}

/// An epoch that stores its all, then loses it: in a spool that may come back.
async fn record_into_a_spool(studio: &Studio, epoch: u32, film: &Film) -> Vec<(String, Bytes)> {
    studio.record(epoch, film, Vec::new()).await;
    let all = studio.store().list(Bucket::Media, &studio.path.prefix()).await.unwrap();
    let of = [format!("live/{epoch:04}"), format!("meta/{epoch:04}")];
    let all = all.into_iter().map(|entry| entry.key).filter(|key| of.iter().any(|of| key.contains(of)));
    studio.hold_back(all).await
}

async fn open(studio: &Studio) -> Vec<u32> {
    ledger::open_of(studio.store(), &studio.path).await.unwrap().into_iter().map(|entry| entry.epoch).collect()
}

/// What the ledger has been told of an epoch.
async fn entry(studio: &Studio, epoch: u32) -> Stored {
    let (path, recording) = (&studio.path, studio.path.recording);
    let key = format!("ledger/v1/{}/{:04}/{recording}/{epoch:04}.stored.json", path.tenant, path.year);
    let (bytes, _) = studio.store().get(Bucket::Keys, &key, 4096).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn nothing(studio: &Studio, epoch: u32) {
    ledger::started(studio.store(), &studio.path, epoch, zero()).await.unwrap();
    ledger::stored(studio.store(), &studio.path, &Stored::nothing(epoch, zero())).await.unwrap();
}

async fn set(studio: &Studio, change: impl FnOnce(Record) -> Record) {
    let (record, etag) = recordings::state(studio.store(), &studio.path).await.unwrap();
    recordings::swap(studio.store(), &studio.path, &change(record), &etag).await.unwrap();
}

#[tokio::test]
async fn a_first_epoch_that_is_lost_is_a_gap_before_the_film() {
    let studio = Studio::open().await;
    let spool = record_into_a_spool(&studio, 1, &Film::shoot(0, 288, Style::Live)).await;
    studio.record(2, &Film::shoot(288, 96, Style::Live), Vec::new()).await;
    studio.end(2).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, complete: false, .. }));
    let report = studio.verify().await;
    let why = "epoch 1 began to record, and nothing of it was stored; the first 9.6 s are missing";
    assert_eq!(told(&report.manifest.gaps), [(0, 0, why)]);
    assert_eq!((report.findings, &report.manifest.lost[..]), (Vec::new(), &[1][..]));
    assert_eq!(studio.state().await.phase, Phase::Partial);
    // Named, and so known: as lost, not as stored.
    assert_eq!(open(&studio).await, [0_u32; 0]);
    let entry = entry(&studio, 1).await;
    assert_eq!((entry.generation, entry.segments, entry.gaps), (1, 0, 1));

    // And still it may come.
    studio.bring(spool).await;
    let mut steward = Steward::default();
    let seen = steward.look(&studio.finalizer, Instant::now(), studio.state().await.changed).await.unwrap();
    assert!(matches!(seen.finished[..], [(_, Outcome::Ready { generation: 2, complete: true, .. })]), "{seen:?}");
    let report = studio.verify().await;
    assert_eq!((report.findings, &report.manifest.lost[..]), (Vec::new(), &[][..]));
    assert_eq!(pictures(&studio.open_final().await).len(), 384);
}

/// One hole, one name: in the manifest and in the film's chapters. A film that is made anew goes on saying it.
#[tokio::test]
async fn an_epoch_that_is_lost_between_others_names_the_hole() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 192, Style::Live), Vec::new()).await;
    record_into_a_spool(&studio, 2, &Film::shoot(192, 48, Style::Live)).await;
    studio.record(3, &Film::shoot(240, 96, Style::Live), Vec::new()).await;
    let late = record_into_a_spool(&studio, 4, &Film::shoot(336, 96, Style::Live)).await;
    studio.end(4).await;
    studio.finalize().await;
    let gaps = studio.manifest().await.gaps;
    let last = "epoch 4 began to record, and nothing of it was stored";
    assert_eq!(told(&gaps), [(64, 80, LOST), (112, 112, last)]);
    let file = studio.open_final().await;
    let marks = ffprobe(&["-show_entries", "chapter_tags=title", "-of", "csv=p=0", file.to_str().unwrap()]);
    let mark = format!("Recording interrupted 10:00:06-10:00:08 UTC (1.6 s): {LOST}");
    assert!(marks.contains(&mark), "{marks}");

    studio.bring(late).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 2, complete: false, .. }));
    let manifest = studio.manifest().await;
    assert_eq!((told(&manifest.gaps), &manifest.lost[..]), (vec![(64, 80, LOST)], &[2][..]));
}

/// While another recorded on: nothing is missing from the film, and what was lost has a name all the same.
#[tokio::test]
async fn an_epoch_that_is_lost_while_others_recorded_is_named_where_it_began() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 192, Style::Live), Vec::new()).await;
    ledger::started(studio.store(), &studio.path, 2, zero().plus(frames(150))).await.unwrap();
    studio.record(3, &Film::shoot(192, 96, Style::Live), Vec::new()).await;
    studio.end(3).await;
    studio.finalize().await;
    assert_eq!(told(&studio.manifest().await.gaps), [(50, 50, LOST)]);
}

#[tokio::test]
async fn after_a_recorder_that_died_a_lost_epoch_is_named_with_the_end() {
    let studio = Studio::open().await;
    studio.put_segments(1, &Film::shoot(0, 96, Style::Live)).await;
    record_into_a_spool(&studio, 2, &Film::shoot(96, 96, Style::Live)).await;
    studio.end(2).await;
    studio.finalize().await;
    let gaps = studio.manifest().await.gaps;
    let died = "the recorder died; what came after this, up to the end of the meeting, is not recorded";
    assert_eq!(told(&gaps), [(32, 32, format!("{LOST}; {died}").as_str())]);
}

/// Nothing is left of any epoch: that is a failure that somebody must look at, until what is missing comes.
#[tokio::test]
async fn a_recording_of_which_all_is_lost_has_failed_until_it_comes() {
    let studio = Studio::open().await;
    let spool = record_into_a_spool(&studio, 1, &Film::shoot(0, 96, Style::Live)).await;
    studio.end(2).await;
    assert_eq!(studio.finalize().await, Outcome::Failed { reason: "unreadable".into() });
    assert_eq!(open(&studio).await, [1]);
    let mut steward = Steward::default();
    let wall = studio.state().await.changed;
    for _ in 0..2 {
        let seen = steward.look(&studio.finalizer, Instant::now(), wall).await.unwrap();
        assert!(seen.finished.is_empty(), "{seen:?}");
        assert_eq!(seen.alarms.iter().map(|alarm| alarm.epoch).collect::<Vec<_>>(), [1]);
    }
    studio.bring(spool).await;
    let seen = steward.look(&studio.finalizer, Instant::now(), wall).await.unwrap();
    assert!(matches!(seen.finished[..], [(_, Outcome::Ready { generation: 1, complete: true, .. })]), "{seen:?}");
    assert_eq!(seen.alarms, []);
    let state = studio.state().await;
    assert_eq!((state.phase, state.generation, state.reason), (Phase::Ready, Some(1), None));
    assert_eq!((studio.verify().await.findings, pictures(&studio.open_final().await).len()), (Vec::new(), 96));
    assert_eq!(open(&studio).await, [0_u32; 0]);
}

/// A store that was away kept even the beginning from the ledger.
#[tokio::test]
async fn a_recording_that_seemed_empty_becomes_a_film_when_it_comes() {
    let studio = Studio::open().await;
    let spool = record_into_a_spool(&studio, 1, &Film::shoot(0, 96, Style::Live)).await;
    for entry in studio.store().list(Bucket::Keys, "ledger/").await.unwrap() {
        studio.store().delete(Bucket::Keys, &entry.key).await.unwrap();
    }
    studio.end(2).await;
    assert_eq!(studio.finalize().await, Outcome::Empty);
    assert_eq!(studio.finalize().await, Outcome::Empty);
    studio.bring(spool).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, complete: true, new: true, .. }));
    assert_eq!(studio.state().await.phase, Phase::Ready);
}

/// Dead between publishing and telling the record: the film is found, not made again.
#[tokio::test]
async fn a_late_film_whose_finalizer_died_is_found() {
    let studio = Studio::open().await;
    let spool = record_into_a_spool(&studio, 1, &Film::shoot(0, 96, Style::Live)).await;
    studio.end(1).await;
    studio.finalize().await;
    let failed = studio.state().await;
    studio.bring(spool).await;
    studio.finalize().await;
    let made = studio.manifest().await;
    set(&studio, |_| failed).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, complete: true, .. }));
    assert_eq!((studio.state().await.phase, studio.manifest().await), (Phase::Ready, made));
}

#[tokio::test]
async fn an_epoch_that_is_known_to_be_empty_is_not_missed() {
    // Alone, and in each place beside one that was recorded.
    for (empty, last) in [(&[1][..], 1), (&[1], 2), (&[2], 3), (&[2], 2)] {
        let studio = Studio::open().await;
        for epoch in 1..=last {
            if empty.contains(&epoch) {
                nothing(&studio, epoch).await;
            } else {
                let begins = if epoch == 3 { 96 } else { 0 };
                studio.record(epoch, &Film::shoot(begins, 96, Style::Live), Vec::new()).await;
            }
        }
        studio.end(last).await;
        let outcome = studio.finalize().await;
        match last {
            1 => assert_eq!(outcome, Outcome::Empty),
            _ => assert!(matches!(outcome, Outcome::Ready { complete: true, .. }), "{empty:?} of {last}: {outcome:?}"),
        }
        assert_eq!(open(&studio).await, [0_u32; 0]);
        let wall = WallTime(studio.state().await.changed.0);
        let seen = Steward::default().look(&studio.finalizer, Instant::now(), wall).await.unwrap();
        assert!(seen.finished.is_empty() && seen.alarms.is_empty(), "{seen:?}");
    }
}

/// Nothing was captured since something went wrong: its recorder's word for it stands.
#[tokio::test]
async fn an_empty_recording_that_its_workers_could_not_make_has_failed() {
    for (why, outcome) in [
        (Some("worker-broken"), Outcome::Failed { reason: "worker-broken".into() }),
        (Some("room-ended"), Outcome::Empty),
        (Some("abandoned"), Outcome::Empty),
        (None, Outcome::Empty),
    ] {
        let studio = Studio::open().await;
        nothing(&studio, 1).await;
        studio.end(5).await;
        set(&studio, |record| Record { reason: why.map(str::to_owned), ..record }).await;
        assert_eq!(studio.finalize().await, outcome, "{why:?}");
    }
}

/// It began after the film was made, and the film knows nothing of it: no word is invented for it.
#[tokio::test]
async fn what_a_film_knows_nothing_of_stays_open_and_is_an_alarm() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    studio.end(1).await;
    studio.finalize().await;
    ledger::started(studio.store(), &studio.path, 2, studio.state().await.changed).await.unwrap();
    let wall = studio.state().await.changed;
    let seen = Steward::default().look(&studio.finalizer, Instant::now(), wall).await.unwrap();
    assert_eq!(seen.alarms.iter().map(|alarm| alarm.epoch).collect::<Vec<_>>(), [2]);
    assert!(seen.alarms[0].what.contains("knows nothing of it"), "{seen:?}");
    assert_eq!(open(&studio).await, [2]);
}
