//! The service as it runs: messages come from RabbitMQ, and each ends told, kept or given back.

use std::time::{Duration, Instant};

use broker::Broker;
use chassis::Sections;
use events::{Body, Event, Meta, Platform, RecordingReady, RoomId, SessionId, TenantId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, test_model};
use crate::server::{Server, USER};
use crate::trouble::short_lecture;

/// Far above what any step takes on a busy machine; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// `lectern.toml` for this archive and that broker.
fn sections(archive: &Archive, server: &Server, url: &str) -> Sections {
    let model = &test_model().models["en"];
    let text = format!(
        r#"
        [broker]
        url = "{url}"
        user = "{USER}"
        password_file = "{}"
        [store]
        endpoint = "{}"
        access_key_file = "access"
        secret_key_file = "secret"
        [seal]
        recipients = {:?}
        pipeline_identity_file = "keys/pipeline.key"
        signing_key_file = "keys/signing.key"
        [transcriber]
        test_model = true
        [transcriber.models.en]
        path = "{}"
        sha256 = "{}"
        "#,
        server.password_file().display(),
        archive.endpoint(),
        archive.transcriber.recipients.public(),
        model.path.display(),
        model.sha256,
    );
    Sections::parse(&archive.folder.path().join("lectern.toml"), &text).unwrap()
}

fn ready(archive: &Archive) -> Event {
    let meta = Meta {
        id: "ready-1".into(),
        platform: Platform::Janus,
        instance: "janus-1".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new("s1").unwrap(),
        time: "2026-11-22T11:00:00Z".into(),
    };
    let recording = archive.path.recording;
    let ready = RecordingReady { recording, generation: 1, duration_ms: 20_000, language: "en".into(), complete: true };
    Event { meta, body: Body::RecordingReady(ready) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_generation_is_told_once_and_the_message_kept_for_a_person() {
    let archive = short_lecture().await;
    archive.intrude().await;
    let server = Server::shared();
    let url = server.fresh_url();
    let config = broker::Config {
        url: url.clone(),
        user: USER.into(),
        password_file: Some(server.password_file()),
        ..broker::Config::default()
    };
    let broker = Broker::connect(&config, CancellationToken::new()).await.unwrap();
    let event = ready(&archive);
    let mut news = broker.room(&event.meta.tenant, &event.meta.room).await.unwrap();
    broker.publish(&event).await.unwrap();

    let stop = CancellationToken::new();
    let (sections, stopping) = (sections(&archive, &server, &url), stop.clone());
    let mut running = JoinSet::new();
    running.spawn(async move { transcriber::run(&sections, stopping).await });
    let failed = loop {
        let heard = tokio::time::timeout(DEADLINE, news.next()).await.expect("news within a minute").unwrap();
        let body = heard.event.body.clone();
        heard.settle().await.unwrap();
        match body {
            Body::TranscriptFailed(failed) => break failed,
            Body::RecordingReady(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((failed.reason.as_str(), failed.retryable), ("unproven", true));
    let since = Instant::now();
    while broker.parked_count().await.unwrap() == 0 {
        assert!(since.elapsed() < DEADLINE, "nothing was parked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(broker.parked_count().await.unwrap(), 1);
    let vhost = url.rsplit('/').next().unwrap();
    let waiting = server.ctl(&["list_queues", "-p", vhost, "name", "messages"]);
    assert!(waiting.contains("lectern.transcribe\t0"), "{waiting}");
    broker.close().await;
}
