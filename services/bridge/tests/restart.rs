//! What a bridge that starts anew still knows, and what is said again to a recorder that comes late.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod bed;
#[path = "../../../pipelines/meeting/tests/janus_server/mod.rs"]
mod janus_server;
#[path = "../../../pipelines/broker/tests/server/mod.rs"]
mod server;

use std::net::TcpListener;
use std::time::Duration;

use bed::{Bed, Guest, SIGN, expect, soon, wanted};
use broker::{Consumer, Work};
use events::{Body, Event, Meta, RecorderJoined, RecordingId, RecordingStopped};
use serde_json::json;

/// `event`'s envelope around something else.
fn about(event: &Event, id: &str, body: Body) -> Event {
    Event { meta: Meta { id: id.into(), ..event.meta.clone() }, body }
}

/// What a worker says that begins with, or goes on with, the recording that `request` asked for.
fn joined(request: &Event, epoch: u32) -> Event {
    let Body::RecordingRequested(asked) = &request.body else { panic!("{request:?}") };
    let recording = RecordingId::derive(&request.meta.tenant, &request.meta.session, &asked.policy);
    let body = Body::RecorderJoined(RecorderJoined { recording, epoch, attempt: 1 });
    about(request, &format!("joined-{epoch}"), body)
}

/// Nothing comes for a while.
async fn quiet(consumer: &mut Consumer) {
    let next = tokio::time::timeout(Duration::from_secs(2), consumer.next()).await;
    assert!(next.is_err(), "{next:?}");
}

/// What a deployment does in the middle of a lecture. A bridge that forgot gave the room a new session id, and then the
/// recording never heard of the room's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_bridge_goes_on_with_the_runs_under_their_ids_and_asks_for_nothing_twice() {
    let bed = Bed::lay().await;
    let (mut stays, mut goes, mut empties) = (bed.hears("21").await, bed.hears("22").await, bed.hears("23").await);
    let mut work = bed.broker.work(Work::Record, 8).await.unwrap();
    let bridge = bed.bridge(3);
    let mut guests = Vec::new();
    let mut began = Vec::new();
    for (number, room) in [(21, &mut stays), (22, &mut goes), (23, &mut empties)] {
        bed.janus.create_room(number, json!({ "description": "Forelesning" })).await;
        guests.push(Guest::join(&bed.janus, number, "Kari").await);
        let [started, ..] = expect(room, ["room.started", "participant.joined", "recording.requested"]).await;
        began.push(started.meta.session);
        soon(work.next()).await.unwrap().settle().await.unwrap();
    }
    // No bot is in any of the rooms. The memory is whole once the next thing that happens has been told.
    let late = Guest::join(&bed.janus, 21, "Per").await;
    expect(&mut stays, ["participant.joined"]).await;
    bridge.kill().await;

    // Meanwhile one room is emptied and filled again, one is closed, one is left.
    guests.remove(0).leave().await;
    late.leave().await;
    let _ola = Guest::join(&bed.janus, 21, "Ola").await;
    bed.janus.ask(json!({ "request": "destroy", "room": 22 })).await;
    guests.remove(1).leave().await;

    let bridge = bed.bridge(3);
    let [gone] = expect(&mut goes, ["room.ended"]).await;
    let [left] = expect(&mut empties, ["room.ended"]).await;
    assert_eq!([&gone.meta.session, &left.meta.session], [&began[1], &began[2]]);
    let [came] = expect(&mut stays, ["participant.joined"]).await;
    assert_eq!(came.meta.session, began[0], "who is there is told anew, under the old id");
    quiet(&mut stays).await;
    bed.janus.ask(json!({ "request": "destroy", "room": 21 })).await;
    let [ended] = expect(&mut stays, ["room.ended"]).await;
    assert_eq!(ended.meta.session, began[0]);
    quiet(&mut work).await;
    bridge.stop().await;
}

/// Killed at the worst moment, before it was decided whether to record; and the broker is restarted with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_has_asked_for_yet_is_asked_for_once_after_the_restart() {
    let mut bed = Bed::lay().await;
    let mut room = bed.hears("31").await;
    bed.janus.create_room(31, json!({ "description": "Forelesning" })).await;
    let bridge = bed.bridge(120);
    // Janus answers no more, but its news still comes: told by hand.
    let news = bed.news("31", "joined", 7, 1_700_000_000_000_000);
    bed.janus.kill();
    // Again and again, for the bridge may not listen yet; the same news makes no second run.
    let told = expect(&mut room, ["room.started", "participant.joined"]);
    let [started, _] = tokio::select! {
        told = told => told,
        () = async { loop {
            bed.tell(&news).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        } } => unreachable!("it goes on"),
    };
    bridge.kill().await;
    bed.janus.again().await;
    bed.janus.create_room(31, json!({ "description": "Forelesning" })).await;
    let _kari = Guest::join(&bed.janus, 31, "Kari").await;
    let bridge = bed.bridge(120);
    let mut request = None;
    for kind in ["participant.joined", "recording.requested"] {
        let [event] = expect(&mut room, [kind]).await;
        assert_eq!(event.meta.session, started.meta.session, "{kind}");
        request = Some(event);
    }
    let mut work = bed.broker.work(Work::Record, 8).await.unwrap();
    let asked = soon(work.next()).await.unwrap();
    assert_eq!(Some(&asked.event), request.as_ref());
    asked.settle().await.unwrap();
    quiet(&mut work).await;
    bridge.stop().await;
}

/// The worker died, and the lecturer pressed stop before another took over; and the room closed before a third did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_comes_late_is_told_again_of_a_stop_and_of_the_end() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("41").await;
    let bridge = bed.bridge(120);
    bed.janus.create_room(41, json!({ "description": "Forelesning" })).await;
    let _kari = Guest::join(&bed.janus, 41, "Kari").await;
    let [_, _, request] = expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
    bed.broker.publish(&joined(&request, 1)).await.unwrap();
    expect(&mut room, ["recorder.joined"]).await;
    quiet(&mut room).await;

    let policy = events::PolicyId::new("lectures").unwrap();
    let stop = Body::RecordingStopped(RecordingStopped { policy, requested_by: "operator".into() });
    bed.broker.publish(&about(&request, "stop-1", stop.clone())).await.unwrap();
    expect(&mut room, ["recording.stopped"]).await;
    bed.broker.publish(&joined(&request, 2)).await.unwrap();
    let [_, again] = expect(&mut room, ["recorder.joined", "recording.stopped"]).await;
    assert_eq!((&again.body, &again.meta.session), (&stop, &request.meta.session));
    assert_ne!(again.meta.id, "stop-1", "a worker that heard the first would drop it");
    bridge.kill().await;

    // While no bridge runs, the next worker joins and the room closes.
    bed.broker.publish(&joined(&request, 3)).await.unwrap();
    bed.janus.ask(json!({ "request": "destroy", "room": 41 })).await;
    expect(&mut room, ["recorder.joined"]).await;
    let bridge = bed.bridge(120);
    // The look at Janus and the desk come in either order, so the end is told once or twice; and the killed bridge may not
    // have settled the second joining, so that the stop is, under the same id.
    let mut heard = Vec::new();
    while !(heard.contains(&"room.ended") && heard.contains(&"recording.stopped")) {
        let delivery = soon(room.next()).await.unwrap();
        assert_eq!(delivery.event.meta.session, request.meta.session);
        heard.push(delivery.event.body.kind());
        delivery.settle().await.unwrap();
    }
    while let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_secs(2), room.next()).await {
        assert!(heard.contains(&delivery.event.body.kind()), "{delivery:?}");
        delivery.settle().await.unwrap();
    }
    bed.broker.publish(&joined(&request, 4)).await.unwrap();
    let [_, ended, stopped] = expect(&mut room, ["recorder.joined", "room.ended", "recording.stopped"]).await;
    assert_eq!([&ended.meta.session, &stopped.meta.session], [&request.meta.session; 2]);
    quiet(&mut room).await;
    bridge.stop().await;
}

/// trust.md 6, row 14. There are no callbacks: an address in an event is passed over or refused, and never called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_an_event_is_never_called() {
    let bed = Bed::lay().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/latest/meta-data", listener.local_addr().unwrap());
    let mut room = bed.hears("77").await;
    let bridge = bed.bridge(120);
    bed.janus.create_room(77, json!({ "description": "Kollokvium" })).await;
    let _kari = Guest::join(&bed.janus, 77, "Kari").await;
    expect(&mut room, ["room.started", "participant.joined"]).await;
    let sound: serde_json::Value = serde_json::from_slice(&wanted("w1", "77", "hall").to_json()).unwrap();
    let mut passed = sound.clone();
    for name in ["callback", "webhook", "dataschema", "replyto"] {
        passed[name] = url.as_str().into();
    }
    let mut refused = sound;
    refused["data"]["callback"] = url.as_str().into();
    for message in [refused, passed] {
        bed.tell_wish(&message).await;
    }
    expect(&mut room, ["recording.wanted", "recording.requested"]).await;
    bed.parked(2).await;
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
    bridge.stop().await;
}

/// trust.md 6, row 23. Janus refuses a number that is taken; two of one name are two people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_one_name_are_two_and_our_sign_is_no_disguise_for_staying() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("51").await;
    let bridge = bed.bridge(1);
    bed.janus.create_room(51, json!({ "description": "Kaffe" })).await;
    let first = Guest::join(&bed.janus, 51, "Kari").await;
    let second = Guest::join(&bed.janus, 51, "Kari").await;
    let [_, one, two] = expect(&mut room, ["room.started", "participant.joined", "participant.joined"]).await;
    assert_ne!(one.body, two.body);
    let bot = Guest::join(&bed.janus, 51, SIGN).await;
    first.leave().await;
    expect(&mut room, ["participant.left"]).await;
    quiet(&mut room).await;
    second.leave().await;
    expect(&mut room, ["participant.left", "room.ended"]).await;
    drop(bot);
    bridge.stop().await;
}
