//! Rooms whose sound and pictures are for their participants alone.

#![allow(clippy::expect_used, reason = "a test says what it missed")]

mod guest;
mod janus_server;
mod relay;
mod watcher;

use guest::{Guest, Signal};
use janus_server::{JanusServer, Options};
use media::{Codec, ParticipantId};
use meeting::{Event, JoinSpec, Loss};
use relay::Relay;
use serde_json::json;
use watcher::Watcher;

const GREEN: u32 = 0x001e_c81e;

fn spec(url: &str, room: &str) -> JoinSpec {
    let server = serde_json::from_value(json!({"platform": "janus", "url": url})).expect("a server");
    JoinSpec { server, room: room.into(), pin: None, api_secret: None }
}

fn is_loss(event: &Event) -> Option<Loss> {
    match event {
        Event::Lost(loss) => Some(loss.clone()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_takes_only_what_is_encrypted_is_not_entered() {
    for string_ids in [false, true] {
        let server = JanusServer::start(Options { string_ids, ..Options::default() }).await;
        let id = |number: u64| if string_ids { json!(number.to_string()) } else { json!(number) };
        server.create_room(id(1), json!({"require_e2ee": true})).await;
        server.create_room(id(2), json!({"require_e2ee": true, "pin": "1379"})).await;
        server.create_room(id(3), json!({})).await;
        for room in ["1", "2"] {
            let loss = Watcher::join(spec(&server.url(), room)).await.map(drop).expect_err("the recorder went in");
            assert_eq!(loss, Loss::Encrypted, "room {room}");
            assert!(loss.to_string().contains("encrypted end to end"), "{loss}");
        }
        Watcher::join(spec(&server.url(), "3")).await.expect("an open room").meeting.leave().await;
    }
}

/// No list tells of a private room, and whoever comes first must not decide for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_encrypt_end_nothing_though_nobody_else_is_there_yet() {
    let server = JanusServer::start(Options::default()).await;
    server.create_room(1, json!({"is_private": true})).await;
    let _ann = Guest::publishing(&server.url(), 1, "Ann", &[Signal::Vp8(GREEN)]).await;
    let relay = Relay::start(server.url(), &["Ann"]).await;
    let mut watcher = Watcher::join(spec(&relay.url(), "1")).await.expect("nobody is asked to encrypt yet");
    let noise = watcher.track(Codec::Vp8).await;
    watcher.untracked(&noise).await;
    let _bo = Guest::publishing(&server.url(), 1, "Bo", &[Signal::Opus]).await;
    let sound = watcher.track(Codec::Opus).await;
    watcher.collect(&sound).reach(40).await;
    assert!(watcher.passed.iter().all(|event| is_loss(event).is_none()), "{:?}", watcher.passed);
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_encrypts_is_left_out_and_ends_nothing() {
    let server = JanusServer::start(Options::default()).await;
    server.create_room(1, json!({})).await;
    let mut eve = Guest::publishing(&server.url(), 1, "Eve", &[Signal::Vp8(GREEN)]).await;
    let bo = Guest::publishing(&server.url(), 1, "Bo", &[Signal::Opus]).await;
    let (eve_id, bo_id) = (ParticipantId(eve.id.to_string()), ParticipantId(bo.id.to_string()));
    let relay = Relay::start(server.url(), &["Eve"]).await;
    let mut watcher = Watcher::join(spec(&relay.url(), "1")).await.expect("an open room");
    let noise = watcher.track(Codec::Vp8).await;
    assert_eq!(noise.participant, eve_id);
    let (nothing, sound) = (watcher.collect(&noise), watcher.track(Codec::Opus).await);
    watcher.untracked(&noise).await;
    watcher.collect(&sound).reach(40).await;
    assert_eq!(nothing.len(), 0, "noise was taken for pictures");

    // The only one who can be heard goes, and somebody else comes: an hour's break may lie between.
    bo.leave().await;
    watcher.departed(&bo_id).await;
    let _carl = Guest::publishing(&server.url(), 1, "Carl", &[Signal::Opus]).await;
    let again = watcher.track(Codec::Opus).await;
    watcher.collect(&again).reach(40).await;

    relay.mark_nobody();
    eve.unpublish().await;
    eve.publish(&[Signal::Vp8(GREEN)], &[]).await;
    let plain = watcher.track(Codec::Vp8).await;
    assert_eq!(plain.participant, eve_id);
    watcher.collect(&plain).reach(10).await;
    assert!(watcher.passed.iter().all(|event| is_loss(event).is_none()), "{:?}", watcher.passed);
    watcher.meeting.leave().await;
}
