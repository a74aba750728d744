//! Whom to believe: signed events (trust.md 6, row 12), and properties that want something of us (row 16).
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod server;
mod support;

use broker::{Broker, Config, Work};
use events::RoomId;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::protocol::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldTable};
use server::Server;
use support::{connect, event, parked, requested, say, say_with, soon, stranger, tenant, until};

const KEY: &str = "uni.janus.recording.requested.0123456789abcdef";

/// A configuration with a key to sign with and another to believe.
fn signing(server: &Server, url: &str, folder: &tempfile::TempDir, keys: [Option<&str>; 2]) -> Config {
    let file = |word: &str| {
        let path = folder.path().join(word);
        std::fs::write(&path, word.repeat(8)).unwrap();
        path
    };
    let [signing_key_file, previous_key_file] = keys.map(|word| word.map(file));
    Config { signing_key_file, previous_key_file, ..support::config(server, url.to_owned()) }
}

#[tokio::test]
async fn with_a_key_only_what_one_of_us_signed_is_taken() {
    let server = Server::shared();
    let (folder, url) = (tempfile::tempdir().unwrap(), server.fresh_url());
    let ours = connect(&signing(&server, &url, &folder, [Some("new-key"), Some("old-key")])).await;
    let old = connect(&signing(&server, &url, &folder, [Some("old-key"), Some("new-key")])).await;
    let foreign = connect(&signing(&server, &url, &folder, [Some("foreign"), None])).await;
    let keyless = connect(&support::config(&server, url.clone())).await;
    let mut work = ours.work(Work::Record, 8).await.unwrap();
    let mut room = ours.room(&tenant(), &RoomId::new("1234").unwrap()).await.unwrap();
    for (broker, id) in [(&keyless, "keyless"), (&foreign, "foreign"), (&old, "old"), (&ours, "ours")] {
        broker.publish(&event(id, "1234", requested())).await.unwrap();
    }
    for wanted in ["old", "ours"] {
        let taken = soon(work.next()).await.unwrap();
        assert_eq!(taken.event.meta.id, wanted);
        if wanted == "ours" {
            // A copy is as good as what it was made of.
            taken.give_back().await.unwrap();
            let again = soon(work.next()).await.unwrap();
            assert_eq!(again.event.meta.id, wanted);
            again.settle().await.unwrap();
        } else {
            taken.settle().await.unwrap();
        }
        assert_eq!(soon(room.next()).await.unwrap().event.meta.id, wanted, "a room's own queue is as strict");
    }
    let stranger = stranger(&Config { url, ..support::config(&server, String::new()) }).await;
    let mut found = Vec::new();
    while let Some((message, reason)) = parked(&stranger).await {
        found.push((events::Event::parse(&message).unwrap().meta.id, reason));
    }
    found.sort();
    let wanted = [("foreign", "bad-signature"), ("keyless", "unsigned")];
    // Each twice: by the work queue and by the room's.
    assert_eq!(found, wanted.map(|(id, why)| [(); 2].map(|()| (id.to_owned(), why.to_owned()))).concat());
}

/// A signature does not travel to another message.
#[tokio::test]
async fn what_is_altered_on_its_way_is_parked_and_what_is_moved_back_is_taken() {
    let server = Server::shared();
    let (folder, url) = (tempfile::tempdir().unwrap(), server.fresh_url());
    let config = signing(&server, &url, &folder, [Some("new-key"), None]);
    let ours = connect(&config).await;
    let stranger = stranger(&config).await;
    ours.publish(&event("e1", "1234", requested())).await.unwrap();
    let got = stranger.basic_get("lectern.record".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    let (message, properties) = (got.delivery.data, got.delivery.properties);
    let longer = String::from_utf8(message.clone()).unwrap().replace("7200", "9200");
    say_with(&stranger, "meetings.commands", KEY, longer.as_bytes(), properties.clone()).await;
    say_with(&stranger, "meetings.commands", KEY, &message, properties).await;
    let mut work = ours.work(Work::Record, 1).await.unwrap();
    let taken = soon(work.next()).await.unwrap();
    assert_eq!(taken.event, event("e1", "1234", requested()));
    assert_eq!(parked(&stranger).await.unwrap(), (longer.into_bytes(), "bad-signature".to_owned()));
    // Parked by a worker, and moved back by a person as it lies there.
    taken.park("unknown-instance").await.unwrap();
    let got = stranger.basic_get("lectern.parked".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    say_with(&stranger, "", "lectern.record", &got.delivery.data, got.delivery.properties.clone()).await;
    assert_eq!(soon(work.next()).await.unwrap().event.meta.id, "e1");
}

#[tokio::test]
async fn headers_of_every_sort_are_passed_over_and_nobody_is_replied_to() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    let stranger = stranger(&config).await;
    let bomb = "b".repeat(255);
    stranger.queue_declare(bomb.as_str().into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let mut deep = FieldTable::default();
    for _ in 0..100 {
        let mut outer = FieldTable::default();
        outer.insert("x".into(), AMQPValue::FieldTable(deep));
        deep = outer;
    }
    let mut headers = FieldTable::default();
    #[rustfmt::skip]
    let odd = [
        ("x-lectern-hmac",   AMQPValue::LongInt(7)),
        ("x-lectern-reason", AMQPValue::Boolean(true)),
        ("x-lectern-queue",  AMQPValue::Void),
        ("x-death",          AMQPValue::LongString("often".into())),
        ("x-delivery-count", AMQPValue::LongString("-1".into())),
        ("traceparent",      AMQPValue::Double(-1e300)),
        ("CC",               AMQPValue::Timestamp(u64::MAX)),
        ("deep",             AMQPValue::FieldTable(deep)),
        ("decimal",          AMQPValue::DecimalValue(DecimalValue { scale: 255, value: u32::MAX })),
        ("long",             AMQPValue::LongString("x".repeat(60_000).into())),
    ];
    // RabbitMQ itself refuses a CC that is no list, and a number that is none, and hangs up over them.
    for (name, value) in odd.into_iter().filter(|(name, _)| *name != "CC") {
        headers.insert(name.into(), value);
    }
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_reply_to(bomb.as_str().into())
        .with_correlation_id(bomb.as_str().into())
        .with_content_type("application/xml".into())
        .with_content_encoding("gzip".into())
        .with_app_id(bomb.as_str().into())
        .with_timestamp(u64::MAX)
        .with_priority(255);
    let message = event("e1", "1234", requested()).to_json();
    let mut room = broker.room(&tenant(), &RoomId::new("1234").unwrap()).await.unwrap();
    let key = event("e1", "1234", requested()).routing_key();
    say_with(&stranger, "meetings.commands", &key, &message, properties.clone()).await;
    // One that cannot be read is parked, and its sender hears nothing either.
    say_with(&stranger, "meetings.commands", &key, b"{", properties).await;
    let mut work = broker.work(Work::Record, 2).await.unwrap();
    let taken = soon(work.next()).await.unwrap();
    assert_eq!(taken.event, event("e1", "1234", requested()));
    taken.give_back().await.unwrap();
    let again = soon(work.next()).await.unwrap();
    assert_eq!(again.event.meta.id, "e1");
    again.park("unknown-instance").await.unwrap();
    assert_eq!(soon(room.next()).await.unwrap().event.meta.id, "e1");
    let mut reasons = Vec::new();
    until(2, async || {
        reasons.extend(parked(&stranger).await.map(|(_, reason)| reason));
        reasons.len()
    })
    .await;
    reasons.sort();
    assert_eq!(reasons, ["not-json", "unknown-instance"]);
    let answers =
        stranger.queue_declare(bomb.as_str().into(), QueueDeclareOptions::default().passive(), FieldTable::default());
    assert_eq!(answers.await.unwrap().message_count(), 0, "nobody is answered");
}

/// What is not signed for events of ours may still be told in a room: by us.
#[tokio::test]
async fn foreign_news_needs_no_signature() {
    let server = Server::shared();
    let (folder, url) = (tempfile::tempdir().unwrap(), server.fresh_url());
    let config = signing(&server, &url, &folder, [Some("new-key"), None]);
    let ours = connect(&config).await;
    let mut tap = ours.tap("janus-events").await.unwrap();
    say(&stranger(&config).await, "janus-events", "", b"news").await;
    assert_eq!(soon(tap.next()).await.unwrap(), [b"news"]);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_said_at_once() {
    let server = Server::shared();
    let config =
        Config { signing_key_file: Some("/nowhere/key".into()), ..support::config(&server, server.fresh_url()) };
    let told = soon(Broker::connect(&config, tokio_util::sync::CancellationToken::new())).await.unwrap_err();
    assert!(matches!(told, broker::Error::Key { .. }), "{told:?}");
    assert!(matches!(Broker::check(&config).await, Err(broker::Error::Key { .. })));
}
