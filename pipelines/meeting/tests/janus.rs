//! Joining real rooms on a real Janus, seen from both sides.

#![allow(clippy::expect_used, reason = "a test says what it missed")]

mod guest;
mod janus_server;
mod watcher;

use std::time::Duration;

use guest::{Guest, Signal};
use janus_server::{JanusServer, Options, free_tcp_port};
use media::{Codec, ParticipantId, Source};
use meeting::{Event, JanusServer as Server, JoinSpec, Loss, Meeting, ScreenRule};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use watcher::{Frames, Watcher, looks, onsets};

const RED: u32 = 0x00c8_1e1e;
const BLUE: u32 = 0x001e_1ec8;

fn spec(url: String, room: &str) -> JoinSpec {
    let server = Server {
        url,
        api_secret_file: None,
        pins_file: None,
        screen: ScreenRule::default(),
        sign: "⏺ Recording".into(),
    };
    JoinSpec { server: meeting::Server::Janus(server), room: room.into(), pin: None, api_secret: None }
}

fn lost(joined: Result<Watcher, Loss>) -> Loss {
    match joined {
        Ok(_) => panic!("the recorder was let in"),
        Err(loss) => loss,
    }
}

/// `id` as the recorder names it.
fn person(id: &Value) -> ParticipantId {
    ParticipantId(id.to_string())
}

async fn room(extra: Value) -> JanusServer {
    let server = JanusServer::start(Options::default()).await;
    server.create_room(1, extra).await;
    server
}

/// Frames of a publisher, decoded: the colour is right throughout, and each second begins with a flash and a beep that
/// are no more apart than a viewer would forgive.
fn shows_and_sounds(picture: &Frames, sound: &Frames, colour: u32) {
    let (seen, heard) = (picture.decode(), sound.decode());
    let plain = seen.iter().filter(|seen| looks(seen, colour)).count();
    assert!(plain * 10 > seen.len() * 7, "only {plain} of {} pictures have the colour: {seen:?}", seen.len());
    let (flashes, beeps) = (onsets(&seen), onsets(&heard));
    assert!(flashes.len() >= 2, "flashes at {flashes:?}");
    for flash in &flashes[1..] {
        let apart = beeps.iter().map(|beep| beep.abs_diff(*flash)).min().expect("beeps");
        assert!(apart < Duration::from_millis(100), "flash and beep are {apart:?} apart; {flashes:?} {beeps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vp8_and_opus_arrive_in_colour_and_in_step() {
    let server = room(json!({"description": "Statistikk 1"})).await;
    let _ann = Guest::publishing(&server.url(), 1, "Ann", &[Signal::Vp8(RED), Signal::Opus]).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let title = watcher.wait("Joined", |event| match event {
        Event::Joined { title } => Some(title.clone()),
        _ => None,
    });
    assert_eq!(title.await.as_deref(), Some("Statistikk 1"));
    let (video, audio) = (watcher.track(Codec::Vp8).await, watcher.track(Codec::Opus).await);
    assert_eq!((video.source, audio.source), (Source::Camera, Source::Microphone));
    let (picture, sound) = (watcher.collect(&video), watcher.collect(&audio));
    picture.span(Duration::from_millis(3500)).await;
    assert!(picture.all()[0].keyframe);
    shows_and_sounds(&picture, &sound, RED);

    watcher.meeting.unroute(&video.id);
    let count = picture.len();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(picture.len(), count, "frames without a route");
    let later = watcher.collect(&video);
    later.reach(1).await;
    assert!(later.all()[0].keyframe, "a decoder cannot start in the middle");
    watcher.meeting.leave().await;
    let list = server.ask(json!({"request": "listparticipants", "room": 1})).await;
    assert_eq!(list["participants"].as_array().unwrap().len(), 1, "the recorder is still there: {list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h264_of_a_late_comer_arrives_and_the_room_goes_on_without_them() {
    let server = room(json!({})).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let ann = Guest::publishing(&server.url(), 1, "Ann", &[Signal::Opus, Signal::H264(BLUE)]).await;
    let ann_id = person(&ann.id);
    let name = watcher.wait("Ann", |event| match event {
        Event::Arrived(person) if person.id == ann_id => Some(person.name.clone()),
        _ => None,
    });
    assert_eq!(name.await, "Ann");
    let (video, audio) = (watcher.track(Codec::H264).await, watcher.track(Codec::Opus).await);
    let (picture, sound) = (watcher.collect(&video), watcher.collect(&audio));
    picture.span(Duration::from_millis(3500)).await;
    let first = picture.all()[0].clone();
    assert!(first.keyframe && first.bytes.starts_with(&[0, 0, 0, 1]), "not Annex B from a key frame on");
    shows_and_sounds(&picture, &sound, BLUE);

    ann.leave().await;
    watcher.untracked(&video).await;
    watcher.untracked(&audio).await;
    watcher.departed(&ann_id).await;
    let count = picture.len();
    let _bo = Guest::publishing(&server.url(), 1, "Bo", &[Signal::H264(RED)]).await;
    let next = watcher.track(Codec::H264).await;
    assert_ne!(next.id, video.id);
    let picture_of_bo = watcher.collect(&next);
    picture_of_bo.reach(20).await;
    assert!(looks(&picture_of_bo.decode()[10], RED) || looks(&picture_of_bo.decode()[15], RED));
    assert_eq!(picture.len(), count, "frames of somebody who left");
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namesakes_stay_two_and_who_comes_back_gets_new_tracks() {
    let server = room(json!({})).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let mut bo = Guest::join(&server.url(), 1, "Bo", json!({"id": 41})).await;
    bo.publish(&[Signal::Vp8(RED)], &[]).await;
    let mut other = Guest::join(&server.url(), 1, "Bo", json!({"id": 42})).await;
    other.publish(&[Signal::Vp8(BLUE)], &[]).await;
    let (first, second) = (watcher.track(Codec::Vp8).await, watcher.track(Codec::Vp8).await);
    let mut people = [first.participant.0.as_str(), second.participant.0.as_str()];
    people.sort_unstable();
    assert_eq!(people, ["41", "42"]);
    let of_bo = if first.participant.0 == "41" { first } else { second };

    bo.unpublish().await;
    watcher.untracked(&of_bo).await;
    bo.publish(&[Signal::Vp8(RED)], &[]).await;
    let again = watcher.track(Codec::Vp8).await;
    assert_eq!(again.participant, of_bo.participant);
    drop(bo);
    watcher.untracked(&again).await;
    watcher.departed(&again.participant).await;

    let mut back = Guest::join(&server.url(), 1, "Bo", json!({"id": 41})).await;
    back.publish(&[Signal::Vp8(RED)], &[]).await;
    let back_again = watcher.track(Codec::Vp8).await;
    assert!(back_again.id != again.id && back_again.id != of_bo.id && again.id != of_bo.id);
    let picture = watcher.collect(&back_again);
    picture.reach(20).await;
    assert!(picture.decode().iter().filter(|seen| looks(seen, RED)).count() > 10);
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_is_known_by_its_name_or_its_description() {
    let server = room(json!({})).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let mut ann = Guest::join(&server.url(), 1, "Ann", json!({})).await;
    ann.publish(&[Signal::Vp8(RED), Signal::H264(BLUE)], &["", "Ann's screen"]).await;
    let (camera, screen) = (watcher.track(Codec::Vp8).await, watcher.track(Codec::H264).await);
    assert_eq!((camera.source, screen.source), (Source::Camera, Source::Screen));

    let shared = Guest::publishing(&server.url(), 1, "Ann (screen)", &[Signal::Vp8(BLUE)]).await;
    let second = watcher.track(Codec::Vp8).await;
    assert_eq!((second.source, &second.participant), (Source::Screen, &person(&ann.id)));
    assert!(!watcher.passed.iter().any(|event| matches!(event, Event::Arrived(p) if p.id == person(&shared.id))));
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_added_later_leaves_the_others_alone() {
    let server = room(json!({})).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let mut ann = Guest::publishing(&server.url(), 1, "Ann", &[Signal::Vp8(RED)]).await;
    let camera = watcher.track(Codec::Vp8).await;
    let picture = watcher.collect(&camera);
    picture.reach(10).await;
    ann.add(Signal::H264(BLUE)).await;
    let added = watcher.track(Codec::H264).await;
    let second = watcher.collect(&added);
    second.reach(20).await;
    assert!(second.decode().iter().filter(|seen| looks(seen, BLUE)).count() > 10);
    let count = picture.len();
    picture.reach(count + 10).await;
    let pts: Vec<_> = picture.all().iter().map(|frame| frame.pts).collect();
    let pause = pts.windows(2).map(|pair| pair[1].since(pair[0])).max().expect("frames");
    assert!(pause < Duration::from_millis(500), "the first stream was interrupted for {pause:?}");
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_told_and_a_dead_path_is_replaced() {
    let server = room(json!({})).await;
    let ann = Guest::publishing(&server.url(), 1, "Ann", &[Signal::Vp8(RED), Signal::Opus]).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let (video, audio) = (watcher.track(Codec::Vp8).await, watcher.track(Codec::Opus).await);
    let picture = watcher.collect(&video);
    picture.reach(10).await;

    let moderate = |mute: bool| json!({"request": "moderate", "room": 1, "id": ann.id, "mid": "audio1", "mute": mute});
    server.ask(moderate(true)).await;
    watcher.muted(&audio).await;
    server.ask(moderate(false)).await;
    watcher.unmuted(&audio).await;

    let handles = || server.log().matches("Creating new handle").count();
    let before = handles();
    let held = Instant::now();
    ann.hold(0, true);
    ann.hold(1, true);
    watcher.muted(&video).await;
    watcher.muted(&audio).await;
    let told = held.elapsed();
    assert!((1500..3500).contains(&told.as_millis()), "told after {told:?}");
    while handles() == before {
        assert!(held.elapsed() < Duration::from_secs(20), "no new peer");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(held.elapsed() > Duration::from_secs(9), "a new peer already");
    // What comes now can only come through the new one.
    sleep(Duration::from_secs(1)).await;
    let count = picture.len();
    ann.hold(0, false);
    ann.hold(1, false);
    watcher.unmuted(&video).await;
    watcher.unmuted(&audio).await;
    picture.reach(count + 10).await;
    assert!(picture.all()[count].keyframe, "a decoder cannot start in the middle");
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_a_megabyte_is_cut_and_nobody_needs_media_to_be_here() {
    let server = room(json!({})).await;
    let name = "\u{202e}<script>å\u{1b}[31m\r\n".repeat(60_000);
    assert!(name.len() > 1_000_000);
    let guest = Guest::join(&server.url(), 1, &name, json!({})).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let late = Guest::join(&server.url(), 1, &name, json!({})).await;
    for id in [&guest.id, &late.id] {
        let id = person(id);
        let shown = watcher.wait("a guest", |event| match event {
            Event::Arrived(person) if person.id == id => Some(person.name.clone()),
            _ => None,
        });
        let shown = shown.await;
        assert_eq!(shown.chars().count(), 128);
        assert!(shown.starts_with("<script>å[31m <script>"), "{shown}");
    }
    let left = person(&late.id);
    late.leave().await;
    watcher.departed(&left).await;
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_closed_door_says_which_it_is() {
    let server = room(json!({"pin": "1379"})).await;
    let refused = |loss: &Loss, hint: &str| matches!(loss, Loss::Refused(why) if why.contains(hint));
    let absent = lost(Watcher::join(spec(server.url(), "2")).await);
    assert!(refused(&absent, "no such room"), "{absent}");
    let named = lost(Watcher::join(spec(server.url(), "algebra")).await);
    assert!(refused(&named, "no such room"), "{named}");
    let locked = |loss: &Loss, hint: &str| matches!(loss, Loss::Locked(why) if why.contains(hint));
    let without = lost(Watcher::join(spec(server.url(), "1")).await);
    assert!(locked(&without, "asks for a PIN"), "{without}");
    let wrong = lost(Watcher::join(JoinSpec { pin: Some("0000".into()), ..spec(server.url(), "1") }).await);
    assert!(locked(&wrong, "does not accept the PIN"), "{wrong}");
    server.create_room(3, json!({"allowed": ["a token"]})).await;
    let uninvited = lost(Watcher::join(spec(server.url(), "3")).await);
    assert!(locked(&uninvited, "only invited"), "{uninvited}");

    let with_pin = JoinSpec { pin: Some("1379".into()), ..spec(server.url(), "1") };
    let mut ann = Guest::join(&server.url(), 1, "Ann", json!({"pin": "1379"})).await;
    ann.publish(&[Signal::Opus], &[]).await;
    let mut watcher = Watcher::join(with_pin).await.unwrap();
    let track = watcher.track(Codec::Opus).await;
    watcher.collect(&track).reach(20).await;
    watcher.meeting.leave().await;

    let nobody = format!("ws://127.0.0.1:{}", free_tcp_port());
    let away = lost(Watcher::join(spec(nobody, "1")).await);
    assert!(matches!(away, Loss::Unreachable(_)), "{away}");
    let nonsense = lost(Watcher::join(spec("janus".into(), "1")).await);
    assert!(refused(&nonsense, "url"), "{nonsense}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_rooms_and_secrets_work_and_can_be_checked() {
    let secret = Some("s3cret".to_owned());
    let server =
        JanusServer::start(Options { api_secret: secret.clone(), string_ids: true, ..Options::default() }).await;
    for name in ["1", "algebra"] {
        server.create_room(name, json!({})).await;
        let open = JoinSpec { api_secret: secret.clone(), ..spec(server.url(), name) };
        Watcher::join(open).await.unwrap().meeting.leave().await;
    }
    let shut = lost(Watcher::join(spec(server.url(), "1")).await);
    assert!(matches!(&shut, Loss::Refused(why) if why.contains("API secret")), "{shut}");

    let file = tempfile::NamedTempFile::new().unwrap();
    let mut checked = spec(server.url(), "1").server;
    let meeting::Server::Janus(janus) = &mut checked;
    janus.api_secret_file = Some(file.path().to_owned());
    std::fs::write(file.path(), "s3cret\n").unwrap();
    assert_eq!(Meeting::check(&checked).await, Ok(()));
    std::fs::write(file.path(), "wrong").unwrap();
    assert!(matches!(Meeting::check(&checked).await, Err(Loss::Refused(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_meeting_says_how_it_came() {
    let mut server = room(json!({})).await;
    server.create_room(2, json!({})).await;
    server.create_room(3, json!({})).await;
    let _ann = Guest::publishing(&server.url(), 3, "Ann", &[Signal::Vp8(RED)]).await;
    let mut kicked = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let mut closed = Watcher::join(spec(server.url(), "2")).await.unwrap();
    let mut cut = Watcher::join(spec(server.url(), "3")).await.unwrap();
    let video = cut.track(Codec::Vp8).await;
    cut.collect(&video).reach(5).await;

    let list = server.ask(json!({"request": "listparticipants", "room": 1})).await;
    assert_eq!(list["participants"][0]["display"], "⏺ Recording", "the sign is not shown: {list}");
    let began = Instant::now();
    server.ask(json!({"request": "kick", "room": 1, "id": list["participants"][0]["id"]})).await;
    kicked.wait("Removed", |event| matches!(event, Event::Removed).then_some(())).await;
    kicked.is_over().await;
    server.ask(json!({"request": "destroy", "room": 2})).await;
    closed.wait("Ended", |event| matches!(event, Event::Ended).then_some(())).await;
    closed.is_over().await;
    assert!(began.elapsed() < Duration::from_secs(2), "told after {:?}", began.elapsed());

    server.kill();
    cut.wait("Lost", |event| matches!(event, Event::Lost(Loss::Unreachable(_))).then_some(())).await;
    cut.is_over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_died_and_came_back_is_joined_again() {
    let mut server = room(json!({})).await;
    let ann = Guest::publishing(&server.url(), 1, "Ann", &[Signal::Vp8(RED), Signal::Opus]).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let track = watcher.track(Codec::Vp8).await;
    let before = watcher.collect(&track);
    before.reach(10).await;
    server.kill();
    drop(ann);
    watcher.wait("Lost", |event| matches!(event, Event::Lost(Loss::Unreachable(_))).then_some(())).await;
    watcher.is_over().await;
    let away = lost(Watcher::join(spec(server.url(), "1")).await);
    assert!(matches!(away, Loss::Unreachable(_)), "{away}");

    server.again().await;
    let early = lost(Watcher::join(spec(server.url(), "1")).await);
    assert!(matches!(early, Loss::Refused(_)), "the room is not there yet: {early}");
    server.create_room(1, json!({})).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let _ann = Guest::publishing(&server.url(), 1, "Ann", &[Signal::Vp8(BLUE), Signal::Opus]).await;
    let again = watcher.track(Codec::Vp8).await;
    assert_ne!(again.id, track.id);
    let (count, picture) = (before.len(), watcher.collect(&again));
    picture.reach(20).await;
    assert!(picture.all()[0].keyframe);
    assert!(picture.decode().iter().filter(|seen| looks(seen, BLUE)).count() > 10);
    assert_eq!(before.len(), count, "frames of a meeting that is over");
    watcher.meeting.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impatient_server_keeps_the_recorder() {
    let server = JanusServer::start(Options { session_timeout: Some(6), ..Options::default() }).await;
    server.create_room(1, json!({})).await;
    let mut watcher = Watcher::join(spec(server.url(), "1")).await.unwrap();
    let gone = watcher.wait("Lost", |event| matches!(event, Event::Lost(_)).then_some(()));
    // More than two of its patiences.
    let stayed = timeout(Duration::from_secs(15), gone);
    assert!(stayed.await.is_err(), "the recorder was forgotten");
    let list = server.ask(json!({"request": "listparticipants", "room": 1})).await;
    assert_eq!(list["participants"][0]["display"], "⏺ Recording", "{list}");
    watcher.meeting.leave().await;
}
