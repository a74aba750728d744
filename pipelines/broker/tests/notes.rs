//! What survives a restart: notes, and the desk of a bridge.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod server;
mod support;

use std::sync::Arc;

use broker::Config;
use events::{Body, RecorderJoined, RecordingId};
use lapin::types::FieldTable;
use server::Server;
use support::{connect, event, joined, policy, requested, soon, stopped, stranger, tenant, until};

const NAME: &str = "lectern.bridge.runs.hall";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_is_the_newest_that_was_written_also_after_a_crash_of_the_broker() {
    let server = Arc::new(Server::start());
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    assert_eq!(broker.kept(NAME).await.unwrap(), None);
    broker.keep(NAME, b"one").await.unwrap();
    // A quorum queue of RabbitMQ 3.10 that is not a minute old when its only node is killed never finds a leader again, so
    // that is stopped once before it is killed.
    for (disturb, notes) in [(Server::stop as fn(&Server), ["two", "three"]), (Server::kill, ["four", "five"])] {
        let restarting = server.clone();
        tokio::task::spawn_blocking(move || {
            disturb(&restarting);
            restarting.again();
        })
        .await
        .unwrap();
        let broker = connect(&config).await;
        for note in notes {
            broker.keep(NAME, note.as_bytes()).await.unwrap();
        }
    }
    let restarting = server.clone();
    tokio::task::spawn_blocking(move || {
        restarting.kill();
        restarting.again();
    })
    .await
    .unwrap();
    // Read as often as one likes, by whoever comes.
    for _ in 0..5 {
        assert_eq!(soon(connect(&config).await.kept(NAME)).await.unwrap().as_deref(), Some(&b"five"[..]));
    }
    let broker = connect(&config).await;
    broker.keep(NAME, b"six").await.unwrap();
    let depth = async || {
        let look = lapin::options::QueueDeclareOptions::durable().passive();
        let channel = stranger(&config).await;
        channel.queue_declare(NAME.into(), look, FieldTable::default()).await.unwrap().message_count()
    };
    until(1, depth).await;
    assert_eq!(broker.kept(NAME).await.unwrap().as_deref(), Some(&b"six"[..]));
    assert_eq!(broker.kept("lectern.bridge.runs.annex").await.unwrap(), None, "each has its own");
}

#[tokio::test]
async fn a_note_that_is_not_ours_is_none() {
    let server = Server::shared();
    let (folder, url) = (tempfile::tempdir().unwrap(), server.fresh_url());
    let key = folder.path().join("key");
    std::fs::write(&key, "k".repeat(32)).unwrap();
    let plain = support::config(&server, url);
    let signed = Config { signing_key_file: Some(key), ..plain.clone() };
    connect(&plain).await.keep(NAME, b"forged").await.unwrap();
    let ours = connect(&signed).await;
    assert_eq!(ours.kept(NAME).await.unwrap(), None);
    ours.keep(NAME, b"ours").await.unwrap();
    assert_eq!(connect(&signed).await.kept(NAME).await.unwrap().as_deref(), Some(&b"ours"[..]));
}

#[tokio::test]
async fn a_desk_hears_what_was_said_while_nobody_sat_at_it() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    drop(connect(&config).await.desk(&tenant(), "hall").await.unwrap());
    let broker = connect(&config).await;
    let recording = RecordingId::derive(&tenant(), &event("", "7", stopped()).meta.session, &policy());
    let back = Body::RecorderJoined(RecorderJoined { recording, epoch: 2, attempt: 1 });
    // A stop that nobody but the bridge hears is taken all the same.
    for event in
        [event("a", "7", joined("1")), event("b", "7", stopped()), event("c", "8", requested()), event("d", "7", back)]
    {
        broker.publish(&event).await.unwrap();
    }
    let mut desk = broker.desk(&tenant(), "hall").await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let delivery = soon(desk.next()).await.unwrap();
        heard.push(delivery.event.meta.id.clone());
        delivery.settle().await.unwrap();
    }
    assert_eq!(heard, ["b", "d"]);
}
