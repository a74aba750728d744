//! Segments that come after the manifest was signed: a spool that a worker emptied when it came back.

use std::time::Instant;

use claim::Phase;
use finalizer::{Outcome, Steward};
use media::Rendition;
use storage::{Bucket, Condition, ledger};

use crate::film::{CYCLE, Film, Style, pictures};
use crate::studio::{Studio, zero};

/// A worker died with its last segments and its journal in its spool; another went on.
async fn half_stored() -> (Studio, Vec<(String, bytes::Bytes)>) {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 288, Style::Live), Vec::new()).await;
    studio.record(2, &Film::shoot(288, 96, Style::Live), Vec::new()).await;
    let path = &studio.path;
    let last = [Rendition::video(), Rendition::audio()].map(|rendition| path.segment(1, &rendition, 2));
    let held = studio.hold_back(last.into_iter().chain([path.journal(1)])).await;
    studio.end(2).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, complete: false, .. }));
    assert_eq!(pictures(&studio.open_final().await).len(), 288);
    (studio, held)
}

async fn is_whole(studio: &Studio) {
    let report = studio.verify().await;
    assert_eq!((report.findings, report.notes), (Vec::new(), Vec::new()));
    assert!(report.manifest.complete, "{:?}", report.manifest.gaps);
    let state = studio.state().await;
    assert_eq!((state.phase, state.generation), (Phase::Ready, Some(report.manifest.generation)));
    let shown = pictures(&studio.open_final().await);
    assert_eq!(shown.iter().map(|p| p.number).collect::<Vec<_>>(), (0..384).map(|n| n % CYCLE).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_comes_late_is_taken_up_by_the_next_generation() {
    let (studio, held) = half_stored().await;
    assert!(studio.finalizer.renew(&studio.path).await.unwrap().is_none(), "nothing came");
    studio.bring(held).await;
    assert!(!studio.verify().await.findings.is_empty(), "nobody vouches for it yet");
    // By its event coming late, or any other coming again.
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 2, complete: true, new: true, .. }));
    is_whole(&studio).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 2, new: false, .. }));
    is_whole(&studio).await;
}

#[tokio::test]
async fn the_steward_takes_up_what_came_without_a_word() {
    let (studio, held) = half_stored().await;
    let mut steward = Steward::default();
    let wall = studio.state().await.changed;
    let seen = steward.look(&studio.finalizer, Instant::now(), wall).await.unwrap();
    assert!(seen.finished.is_empty() && seen.alarms.is_empty(), "{seen:?}");
    studio.bring(held).await;
    let seen = steward.look(&studio.finalizer, Instant::now(), wall).await.unwrap();
    assert!(matches!(seen.finished[..], [(_, Outcome::Ready { generation: 2, complete: true, .. })]), "{seen:?}");
    is_whole(&studio).await;
}

/// Published, and dead before the record and the sweep: the next call tells the record and clears up, and never takes
/// the new film for a leftover.
#[tokio::test]
async fn a_next_generation_whose_finalizer_died_is_found() {
    let (studio, held) = half_stored().await;
    let (before, _) = studio.store().get(Bucket::Media, &studio.path.state(), 1 << 16).await.unwrap();
    studio.bring(held).await;
    studio.finalize().await;
    studio.store().put(Bucket::Media, &studio.path.state(), before, Condition::None).await.unwrap();
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 2, complete: true, .. }));
    is_whole(&studio).await;
}

/// A film is never made of less than the one that stands.
#[tokio::test]
async fn what_has_been_lost_since_is_no_reason_for_a_lesser_film() {
    let (studio, held) = half_stored().await;
    studio.bring(held).await;
    studio.store().delete(Bucket::Media, &studio.path.segment(1, &Rendition::video(), 0)).await.unwrap();
    assert!(studio.finalizer.renew(&studio.path).await.unwrap().is_none());
    assert_eq!(studio.state().await.generation, Some(1));
    assert_eq!(pictures(&studio.open_final().await).len(), 288);
}

/// Objects that no manifest can vouch for do not lead to film after film.
#[tokio::test]
async fn what_can_never_be_used_is_looked_at_once() {
    let (studio, held) = half_stored().await;
    let spoilt = held.into_iter().filter(|(key, _)| key.ends_with(".m4s.age"));
    studio.bring(spoilt.map(|(key, bytes)| (key, bytes.slice(..bytes.len() / 2))).collect()).await;
    assert!(studio.finalizer.renew(&studio.path).await.unwrap().is_none());
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: false, .. }));
    assert_eq!(ledger::open(studio.store(), None).await.unwrap(), []);
    assert!(zero() < studio.state().await.changed);
}
