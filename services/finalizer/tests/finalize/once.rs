//! However often and by however many: one final file, one manifest.

use std::time::{Duration, Instant};

use claim::Phase;
use finalizer::{FinalizeError, Outcome};
use storage::manifest::{PublishError, SigningKey, sign};
use storage::{Bucket, Condition, SealKey, Writer};
use tokio::task::JoinSet;

use crate::film::{Film, Style, pictures};
use crate::gate::Gate;
use crate::studio::Studio;

/// What finalizers have there: films, and keys of films.
async fn finals(studio: &Studio) -> (usize, usize) {
    let media = studio.store().list(Bucket::Media, &format!("{}final/", studio.path.prefix())).await.unwrap();
    let keys = studio.store().list(Bucket::Keys, &format!("{}f", studio.path.keys_prefix())).await.unwrap();
    (media.len(), keys.len())
}

/// A recording of two seconds whose worker is done.
async fn ended() -> Studio {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 60, Style::Live), Vec::new()).await;
    studio.end(1).await;
    studio
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
    assert_eq!(finals(&studio).await, (1, 1));
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
    assert_eq!(finals(&studio).await, (1, 1));
    assert_eq!(studio.verify().await.findings, []);
    assert_eq!(pictures(&studio.open_final().await).len(), 150);
}

/// The order that cannot be had by chance: the faster one sweeps, then the slower one's film lands, then it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_lands_after_the_sweep_is_taken_away_by_its_own_try() {
    let studio = ended().await;
    let mut gate = Gate::before(studio.endpoint(), "/composite.mp4.age").await;
    let slower = studio.finalizer_at(gate.url()).await;
    let path = studio.path.clone();
    let mut running = JoinSet::new();
    running.spawn(async move { slower.finalize(&path).await });
    gate.reached().await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: true, .. }));
    let swept = studio.manifest().await;
    gate.open();
    let slower = running.join_next().await.unwrap().unwrap();
    assert!(matches!(slower, Ok(Outcome::Ready { generation: 1, complete: true, new: false, .. })), "{slower:?}");
    assert_eq!(finals(&studio).await, (1, 1));
    assert_eq!(studio.manifest().await, swept);
    assert_eq!(studio.verify().await.findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_finalizer_died_as_it_landed_is_swept_when_its_message_comes_again() {
    let studio = ended().await;
    let mut gate = Gate::before(studio.endpoint(), "/composite.mp4.age").await;
    let dying = studio.finalizer_at(gate.url()).await;
    let path = studio.path.clone();
    let mut running = JoinSet::new();
    running.spawn(async move { dying.finalize(&path).await });
    gate.reached().await;
    studio.finalize().await;
    running.shutdown().await;
    gate.open();
    let deadline = Instant::now() + Duration::from_secs(60);
    while finals(&studio).await != (2, 1) {
        assert!(Instant::now() < deadline, "the film that was on its way lands");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: false, .. }));
    assert_eq!(finals(&studio).await, (1, 1));
    assert_eq!(studio.verify().await.findings, []);
    assert_eq!(pictures(&studio.open_final().await).len(), 60);
}

#[tokio::test]
async fn a_manifest_that_a_stranger_signed_ends_the_tries() {
    let studio = ended().await;
    studio.finalize().await;
    let manifest = studio.manifest().await.to_bytes();
    let (pem, _) = SigningKey::generate();
    let file = studio.folder.path().join("stranger.key");
    std::fs::write(&file, pem.as_bytes()).unwrap();
    let signature = sign(&SigningKey::load(&file).unwrap(), &manifest);
    studio.store().put(Bucket::Media, &studio.path.signature(1), signature.into(), Condition::None).await.unwrap();
    studio.end(1).await;
    let before = finals(&studio).await;
    let refused = studio.finalizer.finalize(&studio.path).await.unwrap_err();
    assert!(matches!(refused, FinalizeError::Publish(PublishError::Unproven { generation: 1, .. })), "{refused:?}");
    assert!(!refused.is_passing());
    assert_eq!(finals(&studio).await, before, "no film is made in vain");
}

#[tokio::test]
async fn what_a_dead_finalizer_left_is_swept() {
    let studio = ended().await;
    // It died with its file written and nothing signed.
    let writer = Writer::Final(1);
    let seal = SealKey::create(studio.store(), &studio.path, &writer, &studio.finalizer.recipients).await.unwrap();
    seal.seal(b"half a film").put(studio.store(), &studio.path.composite(1)).await.unwrap();
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: true, .. }));
    assert_eq!((studio.verify().await.findings, finals(&studio).await), (Vec::new(), (1, 1)));
    assert_eq!(pictures(&studio.open_final().await).len(), 60);
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
    studio.store().put(Bucket::Media, &studio.path.manifest(1), planted, Condition::None).await.unwrap();
    assert!(matches!(studio.finalize().await, Outcome::Ready { generation: 1, new: true, .. }));
    assert_eq!(studio.verify().await.findings, []);
}
