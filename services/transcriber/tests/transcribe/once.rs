//! However often and by however many: one text, one next generation, and nothing beside them.

use storage::manifest::{PublishError, SignError};
use storage::{Bucket, Condition, SealKey, Writer, recordings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use transcriber::{Done, TranscribeError};

use crate::archive::Archive;
use crate::gate::Gate;
use crate::text::lecture;
use crate::trouble::short_lecture;

/// A transcriber that has heard everything and is held before its first text, and the gate that holds it.
async fn held(archive: &Archive) -> (Gate, JoinSet<Result<Done, TranscribeError>>) {
    let mut gate = Gate::before(archive.endpoint(), "/transcript.en.json.age").await;
    let slower = archive.transcriber_at(gate.url()).await;
    let recording = archive.path.recording;
    let mut running = JoinSet::new();
    running.spawn(async move { slower.transcribe(recording, &CancellationToken::new()).await });
    gate.reached().await;
    (gate, running)
}

fn is_strangers(error: &TranscribeError) -> bool {
    matches!(
        error,
        TranscribeError::Publish(PublishError::Unproven { generation: 2, source: SignError::UnknownSigner })
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_event_finds_it_done_and_two_at_once_publish_one() {
    let archive = lecture(0, 12_000).await;
    let both = futures_util::future::join_all([archive.transcribe(), archive.transcribe()]).await;
    for outcome in both {
        match outcome {
            Ok(done) => assert_eq!(done.generation, 2),
            Err(error) => assert!(error.is_passing(), "{error:?}"),
        }
    }
    let again = archive.transcribe().await.unwrap();
    assert_eq!((again.generation, archive.state().await.generation), (2, Some(2)));
    assert_eq!((archive.verify().await.findings, archive.texts().await), (Vec::new(), (4, 1)));
}

/// The order that cannot be had by chance: the faster one sweeps, then the slower one's text lands, then it ends. The
/// faster one has heard everything before, so that the slower one is not held for longer than it waits for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_lands_after_the_sweep_is_taken_away_by_its_own_try() {
    let archive = short_lecture().await;
    let (store, path) = (&archive.transcriber.store, &archive.path);
    let done = archive.transcribe().await.unwrap();
    let swept = archive.verify().await.manifest;
    let mut published = Vec::new();
    for key in [path.manifest(2), path.signature(2)] {
        published.push((key.clone(), store.get(Bucket::Media, &key, 1 << 20).await.unwrap().0));
        store.delete(Bucket::Media, &key).await.unwrap();
    }
    let (mut record, etag) = recordings::state(store, path).await.unwrap();
    record.generation = Some(1);
    recordings::swap(store, path, &record, &etag).await.unwrap();

    let (gate, mut running) = held(&archive).await;
    assert_eq!(archive.texts().await, (4, 2));
    for (key, bytes) in published {
        store.put(Bucket::Media, &key, bytes, Condition::Absent).await.unwrap();
    }
    assert_eq!(archive.transcribe().await.unwrap(), done);
    assert_eq!(archive.texts().await, (4, 1));
    gate.open();
    assert_eq!(running.join_next().await.unwrap().unwrap().unwrap(), done);
    assert_eq!(archive.texts().await, (4, 1));
    let report = archive.verify().await;
    assert_eq!((report.manifest, report.findings), (swept, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_transcriber_left_is_swept_then_or_when_its_message_comes_again() {
    let archive = short_lecture().await;
    let (store, path) = (&archive.transcriber.store, &archive.path);
    for number in [1, 9] {
        // It died with two forms written and nothing signed.
        let writer = Writer::Text(number);
        let seal = SealKey::create(store, path, &writer, &archive.transcriber.recipients).await.unwrap();
        for form in ["json", "vtt"] {
            seal.seal(b"half a text").put(store, &path.transcript(number, "en", form)).await.unwrap();
        }
        assert_eq!(archive.transcribe().await.unwrap().generation, 2);
        assert_eq!(archive.texts().await, (4, 1));
        let report = archive.verify().await;
        assert_eq!((report.manifest.objects.len(), report.findings), (2 + 5, Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_a_stranger_signed_lasts_and_nothing_is_heard_in_vain() {
    let archive = short_lecture().await;
    let manifest = archive.intrude().await;
    let wrong = archive.transcribe().await.unwrap_err();
    assert!(is_strangers(&wrong), "{wrong:?}");
    assert_eq!((wrong.reason(), wrong.is_passing(), wrong.is_mendable()), ("unproven", false, true));
    assert!(wrong.to_string().contains("publish"), "{wrong}");
    let (store, path) = (&archive.transcriber.store, &archive.path);
    let (standing, _) = store.get(Bucket::Media, &path.manifest(2), 1 << 20).await.unwrap();
    assert_eq!((standing, archive.texts().await), (manifest.to_bytes().into(), (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_signs_while_it_listens_ends_the_tries_too() {
    let archive = short_lecture().await;
    let (gate, mut running) = held(&archive).await;
    archive.intrude().await;
    gate.open();
    let wrong = running.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(is_strangers(&wrong) && !wrong.is_passing(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_whose_signature_never_comes_is_replaced() {
    let archive = short_lecture().await;
    let mut manifest = archive.verify().await.manifest;
    manifest.generation = 2;
    let (store, path) = (&archive.transcriber.store, &archive.path);
    store.put(Bucket::Media, &path.manifest(2), manifest.to_bytes().into(), Condition::Absent).await.unwrap();
    assert_eq!(archive.transcribe().await.unwrap().generation, 2);
    assert_eq!((archive.verify().await.findings, archive.texts().await), (Vec::new(), (4, 1)));
}
