//! The whole bridge between a real Janus and a real RabbitMQ.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod bed;
#[path = "../../../pipelines/meeting/tests/janus_server/mod.rs"]
mod janus_server;
#[path = "../../../pipelines/broker/tests/server/mod.rs"]
mod server;

use std::time::Duration;

use bed::{Bed, Guest, SIGN, expect, soon, wanted};
use broker::Work;
use events::{Body, TenantId};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lecture_is_told_and_asked_for_from_its_first_person_to_its_end() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("1234").await;
    let mut work = bed.broker.work(Work::Record, 8).await.unwrap();
    let bridge = bed.bridge(120);
    bed.janus.create_room(1234, json!({ "description": "Forelesning i fysikk" })).await;

    let kari = Guest::join(&bed.janus, 1234, "Kari Nordmann").await;
    let told = expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
    let bot = Guest::join(&bed.janus, 1234, SIGN).await;
    let ola = Guest::join(&bed.janus, 1234, "Ola").await;
    bot.leave().await;
    kari.leave().await;
    let more = expect(&mut room, ["participant.joined", "participant.left"]).await;
    bed.janus.ask(json!({ "request": "destroy", "room": 1234 })).await;
    let [ended] = expect(&mut room, ["room.ended"]).await;
    drop(ola);

    let wish = soon(work.next()).await.unwrap();
    assert_eq!(wish.event, told[2]);
    wish.settle().await.unwrap();
    let Body::RecordingRequested(wish) = &told[2].body else { panic!("{:?}", told[2]) };
    assert_eq!((wish.policy.as_str(), wish.requested_by.as_str(), wish.retention_days), ("lectures", "policy", 365));
    let (Body::ParticipantJoined(came), Body::ParticipantLeft(went)) = (&told[1].body, &more[1].body) else {
        panic!("{told:?} {more:?}")
    };
    assert_eq!(came, went, "it was Kari who came and left");
    let Body::RoomEnded(ending) = &ended.body else { panic!("{ended:?}") };
    assert_eq!(ending.reason, "destroyed");
    for event in told.iter().chain(&more).chain([&ended]) {
        assert_eq!(event.meta.session, told[0].meta.session);
        assert_eq!((event.meta.source().as_str(), event.meta.tenant.as_str()), ("/janus/hall", "uni"));
        let message = String::from_utf8(event.to_json()).unwrap();
        assert!(!["Kari", "Ola", "Forelesning"].iter().any(|name| message.contains(name)), "{message}");
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_room_ends_its_run_and_the_next_run_is_asked_for_anew() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("5").await;
    let bridge = bed.bridge(1);
    bed.janus.create_room(5, json!({ "description": "forelesning" })).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let kari = Guest::join(&bed.janus, 5, "Kari").await;
        let [started, ..] = expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
        // Gone without a word: Janus notices that the socket closed.
        drop(kari);
        let [_, ended] = expect(&mut room, ["participant.left", "room.ended"]).await;
        assert_eq!(ended.meta.session, started.meta.session);
        sessions.push(started.meta.session);
    }
    assert_ne!(sessions[0], sessions[1]);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_no_rule_records_is_told_and_not_asked_for() {
    let bed = Bed::lay().await;
    let (mut coffee, mut asked) = (bed.hears("6").await, bed.hears("77").await);
    let bridge = bed.bridge(120);
    bed.janus.create_room(6, json!({ "description": "Kaffe" })).await;
    bed.janus.create_room(77, json!({ "description": "Kollokvium" })).await;
    for (number, room) in [(6, &mut coffee), (77, &mut asked)] {
        let _guest = Guest::join(&bed.janus, number, "Kari").await;
        let _second = Guest::join(&bed.janus, number, "Ola").await;
        expect(room, ["room.started", "participant.joined", "participant.joined"]).await;
        bed.janus.ask(json!({ "request": "destroy", "room": number })).await;
        expect(room, ["room.ended"]).await;
    }
    bridge.stop().await;
}

/// What a deployment in the middle of a teaching day does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_starts_anew_finds_running_rooms_and_asks_only_for_what_is_not_recorded() {
    let bed = Bed::lay().await;
    let (mut recorded, mut missed) = (bed.hears("8").await, bed.hears("9").await);
    for room in [8, 9] {
        bed.janus.create_room(room, json!({ "description": "Forelesning" })).await;
    }
    let _kari = Guest::join(&bed.janus, 8, "Kari").await;
    let _bot = Guest::join(&bed.janus, 8, SIGN).await;
    let _ola = Guest::join(&bed.janus, 9, "Ola").await;
    let bridge = bed.bridge(120);
    expect(&mut recorded, ["room.started", "participant.joined"]).await;
    expect(&mut missed, ["room.started", "participant.joined", "recording.requested"]).await;
    // Nothing else is told of the recorded one before the next thing that happens there.
    let late = Guest::join(&bed.janus, 8, "Per").await;
    expect(&mut recorded, ["participant.joined"]).await;
    late.leave().await;
    expect(&mut recorded, ["participant.left"]).await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_recorded_when_somebody_asks_though_it_was_asked_for_before_it_opened() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("77").await;
    // No bridge runs yet: the wish waits for it, and then for its room.
    bed.broker.publish(&wanted("early", "77", "hall")).await.unwrap();
    expect(&mut room, ["recording.wanted"]).await;
    let bridge = bed.bridge(120);
    bed.janus.create_room(77, json!({ "description": "Kollokvium" })).await;
    let _kari = Guest::join(&bed.janus, 77, "Kari").await;
    let told = expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
    let Body::RecordingRequested(wish) = &told[2].body else { panic!("{:?}", told[2]) };
    assert_eq!((wish.policy.as_str(), wish.requested_by.as_str(), wish.retention_days), ("asked-for", "operator", 30));
    assert_eq!(told[2].meta.session, told[0].meta.session);

    bed.broker.publish(&wanted("again", "77", "hall")).await.unwrap();
    let [_, again] = expect(&mut room, ["recording.wanted", "recording.requested"]).await;
    assert_eq!((&again.meta.id, &again.meta.session), (&told[2].meta.id, &told[2].meta.session), "the same request");
    bed.answered().await;
    bridge.stop().await;
}

/// A server whose rooms are numbers refuses to be asked for a name, and takes "01234" for another room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_for_a_room_that_cannot_be_keeps_no_lecture_from_its_recording() {
    let bed = Bed::lay().await;
    let (mut room, mut other) = (bed.hears("1234").await, bed.hears("01234").await);
    let bridge = bed.bridge(120);
    for (id, room) in [("odd", "aula"), ("odder", "01234")] {
        bed.broker.publish(&wanted(id, room, "hall")).await.unwrap();
    }
    expect(&mut other, ["recording.wanted"]).await;
    bed.held(2).await;
    bed.janus.create_room(1234, json!({ "description": "Forelesning i kjemi" })).await;
    let _kari = Guest::join(&bed.janus, 1234, "Kari").await;
    expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
    let second = tokio::time::timeout(Duration::from_secs(3), other.next()).await;
    assert!(second.is_err(), "a second run of the same room: {second:?}");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_no_rule_grants_is_settled_and_one_in_anothers_name_is_parked() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("6").await;
    let bridge = bed.bridge(120);
    bed.janus.create_room(6, json!({ "description": "Kaffe" })).await;
    let _guest = Guest::join(&bed.janus, 6, "Kari").await;
    expect(&mut room, ["room.started", "participant.joined"]).await;
    bed.broker.publish(&wanted("refused", "6", "hall")).await.unwrap();
    let mut foreign = wanted("foreign", "77", "hall");
    foreign.meta.tenant = TenantId::new("other").unwrap();
    bed.broker.publish(&foreign).await.unwrap();
    soon(async {
        while bed.broker.parked_count().await.unwrap() != 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let _second = Guest::join(&bed.janus, 6, "Ola").await;
    expect(&mut room, ["recording.wanted", "participant.joined"]).await;
    bed.answered().await;
    bridge.stop().await;
}
