//! However often and by however many: one final file, one manifest.

use std::time::Duration;

use claim::Phase;
use finalizer::{FinalizeError, Outcome};
use storage::{Bucket, SealKey, Writer};

use crate::film::{Film, Style, pictures};
use crate::studio::{Studio, zero};

async fn finals(studio: &Studio) -> usize {
    let media = studio.store().list(Bucket::Media, &studio.path.prefix()).await.unwrap();
    media.iter().filter(|entry| entry.key.contains("/final/")).count()
}

#[tokio::test]
async fn a_repeated_event_finds_it_ready() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    assert!(matches!(studio.finalizer.finalize(&studio.path).await, Err(FinalizeError::NotEnded(Phase::Claimed))));
    studio.end(1).await;
    let first = studio.finalize().await;
    let Outcome::Ready { generation, complete, duration, new: true } = first else { panic!("{first:?}") };
    assert_eq!(studio.finalize().await, Outcome::Ready { generation, complete, duration, new: false });
    assert_eq!(finals(&studio).await, 1);
}

#[tokio::test]
async fn of_finalizers_at_once_one_publishes_and_the_others_leave_nothing() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 150, Style::Live), Vec::new()).await;
    studio.end(1).await;
    let tries = (0..3).map(|_| studio.finalizer.finalize(&studio.path));
    for outcome in futures_util::future::join_all(tries).await {
        match outcome {
            Ok(Outcome::Ready { generation: 1, complete: true, .. }) => {}
            // Two that met at the same key; the message comes again and finds it ready.
            Err(error) => assert!(error.is_passing(), "{error:?}"),
            Ok(other) => panic!("{other:?}"),
        }
    }
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: false, .. }));
    assert_eq!(finals(&studio).await, 1);
    assert_eq!(studio.verify().await.findings, []);
    assert_eq!(pictures(&studio.open_final().await).len(), 150);
}

#[tokio::test]
async fn what_a_dead_finalizer_left_is_swept() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    studio.end(1).await;
    // It died with its file written and nothing signed.
    let writer = Writer::Final(1);
    let seal = SealKey::create(studio.store(), &studio.path, &writer, &studio.finalizer.recipients).await.unwrap();
    seal.seal(b"half a film").put(studio.store(), &studio.path.composite(1)).await.unwrap();
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: true, .. }));
    assert_eq!(studio.verify().await.findings, []);
    assert_eq!(pictures(&studio.open_final().await).len(), 60);
}

#[tokio::test]
async fn a_recording_that_nobody_called_for_is_found_after_a_while() {
    let studio = Studio::open().await;
    let later = |minutes: u64| zero().plus(Duration::from_secs(60 * minutes));
    let overdue = async |minutes| studio.finalizer.overdue(later(minutes)).await.unwrap().len();
    assert_eq!(overdue(60).await, 0, "a recorder is at work on it");
    studio.end(1).await;
    assert_eq!([overdue(5).await, overdue(60).await], [0, 1]);
    studio.finalize().await;
    assert_eq!(overdue(60).await, 0);
}

#[tokio::test]
async fn a_manifest_that_was_signed_before_its_finalizer_died_is_kept() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    studio.end(1).await;
    studio.finalize().await;
    let published = studio.manifest().await;
    // As if it had died before it told the record.
    studio.end(1).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: true, .. }));
    assert_eq!(studio.manifest().await, published);
    assert_eq!(studio.state().await.phase, Phase::Ready);
}

#[tokio::test]
async fn a_manifest_that_somebody_planted_is_replaced() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    studio.end(1).await;
    let planted = bytes::Bytes::from_static(b"{}");
    studio.store().put(Bucket::Media, &studio.path.manifest(1), planted, storage::Condition::None).await.unwrap();
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: true, .. }));
    assert_eq!(studio.verify().await.findings, []);
}
