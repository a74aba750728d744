//! When a run begins and ends, who counts, and what is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use std::time::Duration;

use bridge::memory::Memory;
use bridge::news::{Fact, What};
use bridge::past::Recorder;
use bridge::rooms::{Presence, Rooms, Tiding};
use events::{Body, PolicyId, RecordingId, RecordingStopped, RoomId, SessionId, TenantId};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-22 09:15 UTC);

fn second(n: u64) -> OffsetDateTime {
    NOW + Duration::from_secs(n)
}

fn rooms() -> Rooms {
    Rooms::new("hall", Duration::from_secs(120))
}

fn room() -> RoomId {
    RoomId::new("1234").unwrap()
}

fn fact(at: i64, what: What) -> Fact {
    Fact { room: room(), at, what }
}

fn joined(who: &str) -> What {
    What::Joined { who: who.into(), bot: false }
}

fn left(who: &str) -> What {
    What::Left { who: who.into() }
}

fn people(who: &[(&str, bool)], bot: bool) -> Presence {
    Presence { people: who.iter().map(|(who, publishes)| ((*who).to_owned(), *publishes)).collect(), bot }
}

fn kinds(told: &[Tiding]) -> Vec<String> {
    let who = |body: &Body| match body {
        Body::ParticipantJoined(news) | Body::ParticipantLeft(news) => format!(" {}", news.participant),
        Body::TrackPublished(news) | Body::TrackUnpublished(news) => format!(" {}", news.participant),
        Body::RoomEnded(ended) => format!(" {}", ended.reason),
        _ => String::new(),
    };
    told.iter().map(|tiding| format!("{}{}", tiding.body.kind(), who(&tiding.body))).collect()
}

#[test]
fn a_run_begins_with_the_first_person_and_ends_when_empty_for_a_while() {
    let mut rooms = rooms();
    assert_eq!(kinds(&rooms.hear(&fact(1, joined("a")), second(0))), ["room.started", "participant.joined a"]);
    assert_eq!(kinds(&rooms.hear(&fact(2, joined("b")), second(1))), ["participant.joined b"]);
    assert_eq!(kinds(&rooms.hear(&fact(3, left("a")), second(2))), ["participant.left a"]);
    assert!(rooms.tick(second(500)).is_empty(), "somebody is there");
    assert_eq!(kinds(&rooms.hear(&fact(4, left("b")), second(600))), ["participant.left b"]);
    assert!(rooms.tick(second(719)).is_empty());
    assert_eq!(kinds(&rooms.tick(second(720))), ["room.ended empty"]);
    assert!(rooms.tick(second(9999)).is_empty(), "it ends once");
}

#[test]
fn who_comes_back_in_time_continues_the_run() {
    let mut rooms = rooms();
    let first = rooms.hear(&fact(1, joined("a")), second(0));
    rooms.hear(&fact(2, left("a")), second(10));
    let again = rooms.hear(&fact(3, joined("a")), second(100));
    assert_eq!(kinds(&again), ["participant.joined a"]);
    assert_eq!(again[0].session, first[0].session);
    assert_ne!(again[0].sequence, first[1].sequence, "two arrivals are two events");
    assert!(rooms.tick(second(300)).is_empty());
}

#[test]
fn the_next_run_of_a_room_is_another_session_and_the_same_news_the_same() {
    let session = |at: i64| rooms().hear(&fact(at, joined("a")), NOW)[0].session.clone();
    assert_eq!(session(1), session(1));
    assert_ne!(session(1), session(2));
    let elsewhere = Rooms::new("annex", Duration::ZERO).hear(&fact(1, joined("a")), NOW)[0].session.clone();
    assert_ne!(session(1), elsewhere);
    let mut rooms = rooms();
    let first = rooms.hear(&fact(1, joined("a")), NOW)[0].session.clone();
    assert_eq!(kinds(&rooms.hear(&fact(2, What::Destroyed), NOW)), ["room.ended destroyed"]);
    assert_ne!(rooms.hear(&fact(3, joined("a")), NOW)[0].session, first);
}

#[test]
fn our_bots_neither_begin_a_run_nor_keep_it_open() {
    let mut rooms = rooms();
    let bot = |who: &str| What::Joined { who: who.into(), bot: true };
    assert!(rooms.hear(&fact(1, bot("r")), second(0)).is_empty());
    rooms.hear(&fact(2, joined("a")), second(1));
    assert!(rooms.hear(&fact(3, bot("r2")), second(2)).is_empty());
    rooms.hear(&fact(4, left("a")), second(3));
    assert!(rooms.hear(&fact(5, left("r2")), second(4)).is_empty());
    assert_eq!(kinds(&rooms.tick(second(123))), ["room.ended empty"]);
}

#[test]
fn news_about_nobody_begins_nothing_and_repeats_tell_nothing() {
    let mut rooms = rooms();
    for what in [left("a"), What::Unpublished { who: "a".into() }, What::Destroyed] {
        assert!(rooms.hear(&fact(1, what), NOW).is_empty());
    }
    let published = What::Published { who: "a".into(), bot: false };
    assert_eq!(
        kinds(&rooms.hear(&fact(2, published.clone()), NOW)),
        ["room.started", "participant.joined a", "track.published a"]
    );
    assert!(rooms.hear(&fact(3, published), NOW).is_empty());
    assert!(rooms.hear(&fact(4, joined("a")), NOW).is_empty());
    assert_eq!(kinds(&rooms.hear(&fact(5, left("a")), NOW)), ["track.unpublished a", "participant.left a"]);
}

/// News is lost now and then. A ghost would keep the run open, and the next lecture in this room would be the last
/// one's rest: asked for already, and never recorded.
#[test]
fn a_look_lets_ghosts_leave_and_finds_who_was_missed() {
    let mut rooms = rooms();
    rooms.hear(&fact(1, joined("ghost")), second(0));
    let told = rooms.see(&room(), Some(&people(&[("b", true), ("c", false)], false)), second(1));
    #[rustfmt::skip]
    let wanted = ["participant.joined b", "track.published b", "participant.joined c", "participant.left ghost"];
    assert_eq!(kinds(&told), wanted);
    assert!(
        rooms.see(&room(), Some(&people(&[("b", true), ("c", false)], false)), second(2)).is_empty(),
        "all is known"
    );
    assert_eq!(
        kinds(&rooms.see(&room(), Some(&people(&[], true)), second(3))),
        ["track.unpublished b", "participant.left b", "participant.left c"]
    );
    assert_eq!(kinds(&rooms.tick(second(123))), ["room.ended empty"]);
}

#[test]
fn a_look_finds_running_rooms_and_ends_those_that_are_gone() {
    let mut rooms = rooms();
    assert!(rooms.see(&room(), Some(&people(&[], true)), NOW).is_empty(), "a bot alone is no run");
    assert!(rooms.see(&room(), None, NOW).is_empty());
    assert_eq!(
        kinds(&rooms.see(&room(), Some(&people(&[("a", false)], false)), NOW)),
        ["room.started", "participant.joined a"]
    );
    assert_eq!(kinds(&rooms.see(&room(), None, NOW)), ["room.ended gone"]);
}

#[test]
fn a_run_is_decided_once_and_one_with_our_bot_in_it_was_asked_for_already() {
    let mut rooms = rooms();
    rooms.hear(&fact(1, joined("a")), second(5));
    let open = rooms.undecided();
    assert_eq!((open.len(), &open[0].room, open[0].since), (1, &room(), second(5)));
    rooms.decided(&room(), true);
    rooms.hear(&fact(2, joined("b")), second(6));
    rooms.see(&room(), Some(&people(&[("a", true), ("b", true)], false)), second(7));
    assert!(rooms.undecided().is_empty());

    let mut after_restart = Rooms::new("hall", Duration::from_secs(120));
    after_restart.see(&room(), Some(&people(&[("a", true)], true)), second(8));
    assert!(after_restart.undecided().is_empty());
}

/// The bridge is killed and starts anew: what its broker kept is all that is left.
fn after_restart(before: &Rooms) -> (Rooms, Vec<Tiding>) {
    let text = before.memory().write();
    let mut rooms = rooms();
    let untold = rooms.restore(Memory::read(&text).unwrap());
    assert_eq!(Memory::read(&text).unwrap(), rooms.memory(), "nothing is lost on the way");
    (rooms, untold)
}

/// A room that goes on with a person in it, decided and asked for.
fn running() -> (Rooms, SessionId) {
    let mut rooms = rooms();
    let session = rooms.hear(&fact(1, joined("a")), second(0))[0].session.clone();
    rooms.decided(&room(), true);
    (rooms, session)
}

#[test]
fn after_a_restart_a_run_goes_on_under_its_id_whoever_came_and_went_meanwhile() {
    let (before, session) = running();
    let (mut rooms, untold) = after_restart(&before);
    assert!(untold.is_empty() && rooms.undecided().is_empty(), "it was told and asked for");
    // Emptied and filled again, for all we know.
    let told = rooms.see(&room(), Some(&people(&[("b", true)], false)), second(900));
    assert_eq!(kinds(&told), ["participant.joined b", "track.published b"]);
    assert!(told.iter().all(|tiding| tiding.session == session));
    rooms.hear(&fact(9, left("b")), second(901));
    let ended = rooms.tick(second(1021));
    assert_eq!(kinds(&ended), ["room.ended empty"]);
    assert_eq!(ended[0].session, session);
}

#[test]
fn after_a_restart_a_room_that_is_gone_or_empty_ends_under_its_id() {
    let (before, session) = running();
    let (mut rooms, _) = after_restart(&before);
    let told = rooms.see(&room(), None, second(900));
    assert_eq!((kinds(&told), &told[0].session), (vec!["room.ended gone".to_owned()], &session));

    let (mut rooms, _) = after_restart(&before);
    assert!(rooms.tick(second(100_000)).is_empty(), "nobody has looked yet");
    assert!(rooms.see(&room(), Some(&people(&[], true)), second(100_000)).is_empty());
    assert!(rooms.tick(second(100_119)).is_empty(), "they may all be on their way back");
    assert_eq!(rooms.tick(second(100_120))[0].session, session);

    // It was empty before, and still is.
    let (mut before, session) = running();
    before.hear(&fact(2, left("a")), second(10));
    let (mut rooms, _) = after_restart(&before);
    assert!(rooms.tick(second(100_000)).is_empty(), "nobody has looked yet");
    rooms.see(&room(), Some(&people(&[], false)), second(100_000));
    assert_eq!(rooms.tick(second(100_000))[0].session, session);
}

#[test]
fn after_a_restart_news_before_the_first_look_continues_the_run() {
    let (before, session) = running();
    let (mut rooms, _) = after_restart(&before);
    let told = rooms.hear(&fact(5, joined("b")), second(20));
    assert_eq!((kinds(&told), &told[0].session), (vec!["participant.joined b".to_owned()], &session));
    // Who was there before leaves before anybody has looked.
    assert!(rooms.hear(&fact(6, left("a")), second(21)).is_empty());
    assert_eq!(kinds(&rooms.hear(&fact(7, left("b")), second(22))), ["participant.left b"]);
    rooms.see(&room(), Some(&people(&[], false)), second(23));
    assert_eq!(rooms.tick(second(143))[0].session, session);
}

#[test]
fn a_run_that_was_not_decided_is_decided_after_the_restart() {
    let mut before = rooms();
    let session = before.hear(&fact(1, joined("a")), second(5))[0].session.clone();
    let (rooms, _) = after_restart(&before);
    let open = rooms.undecided();
    assert_eq!((open.len(), &open[0].session, open[0].since), (1, &session, second(5)));
}

/// Killed between the decision to end a run and the word of it.
#[test]
fn an_end_that_was_not_told_is_told_after_the_restart_and_no_other() {
    let (mut before, session) = running();
    let ended = before.hear(&fact(2, What::Destroyed), second(10));
    let (mut rooms, untold) = after_restart(&before);
    assert_eq!(untold, ended, "the very same, so that who heard it drops it");
    assert_eq!(untold[0].session, session);
    rooms.told();
    assert!(after_restart(&rooms).1.is_empty());
}

#[test]
fn every_change_that_must_outlive_the_bridge_is_counted() {
    let mut rooms = rooms();
    let mut last = (rooms.changes(), rooms.memory());
    let policy = PolicyId::new("lectures").unwrap();
    let stop = RecordingStopped { policy, requested_by: "operator".into() };
    let session = SessionId::new("s").unwrap();
    let steps: [&dyn Fn(&mut Rooms); 14] = [
        &|rooms| drop(rooms.hear(&fact(1, joined("a")), second(0))),
        &|rooms| drop(rooms.hear(&fact(2, joined("b")), second(1))),
        &|rooms| rooms.decided(&room(), false),
        &|rooms| rooms.recorded(&room()),
        &|rooms| drop(rooms.see(&room(), Some(&people(&[("a", true)], false)), second(2))),
        &|rooms| drop(rooms.hear(&fact(3, left("a")), second(3))),
        &|rooms| drop(rooms.see(&room(), Some(&people(&[("a", true)], true)), second(4))),
        &|rooms| drop(rooms.see(&room(), Some(&people(&[], true)), second(5))),
        &|rooms| rooms.stopped(&room(), &session, &stop, second(6)),
        &|rooms| rooms.stopped(&room(), &session, &stop, second(7)),
        &|rooms| drop(rooms.tick(second(500))),
        &|rooms| rooms.told(),
        &|rooms| drop(rooms.tick(second(501))),
        &|rooms| drop(rooms.tick(second(400_000))),
    ];
    for (at, step) in steps.iter().enumerate() {
        step(&mut rooms);
        let now = (rooms.changes(), rooms.memory());
        assert!(now.0 != last.0 || now.1 == last.1, "step {at} changed the memory and was not counted");
        last = now;
    }
    assert_eq!(last.1, Rooms::new("hall", Duration::ZERO).memory(), "after two days nothing is left");
}

fn recorder(session: &SessionId, policy: &str, told_by: &str) -> Recorder {
    let policy = PolicyId::new(policy).unwrap();
    let recording = RecordingId::derive(&TenantId::new("uni").unwrap(), session, &policy);
    Recorder { room: room(), session: session.clone(), recording, told_by: told_by.into() }
}

#[test]
fn who_records_what_is_over_is_told_so_again_also_after_a_restart() {
    let tenant = TenantId::new("uni").unwrap();
    let (mut before, session) = running();
    assert!(before.again(&tenant, &recorder(&session, "lectures", "j1")).is_empty(), "it runs");
    let ended = before.hear(&fact(2, What::Destroyed), second(10));
    before.told();
    let (rooms, _) = after_restart(&before);
    let again = rooms.again(&tenant, &recorder(&session, "lectures", "j2"));
    assert_eq!((kinds(&again), &again[0].session), (vec!["room.ended destroyed".to_owned()], &session));
    assert_ne!(again[0].sequence, ended[0].sequence, "or a worker that heard the first would drop it");
    let other = SessionId::new("other").unwrap();
    assert!(rooms.again(&tenant, &recorder(&other, "lectures", "j3")).is_empty());
    // The next run of the room has nothing to do with it.
    let mut next = rooms;
    let session = next.hear(&fact(20, joined("a")), second(60))[0].session.clone();
    assert!(next.again(&tenant, &recorder(&session, "lectures", "j4")).is_empty());
}

#[test]
fn a_stop_is_told_again_to_who_takes_up_that_recording_and_to_no_other() {
    let tenant = TenantId::new("uni").unwrap();
    let (mut before, session) = running();
    let stop = RecordingStopped { policy: PolicyId::new("lectures").unwrap(), requested_by: "u-7".into() };
    before.stopped(&room(), &session, &stop, second(5));
    let (rooms, _) = after_restart(&before);
    let again = rooms.again(&tenant, &recorder(&session, "lectures", "j1"));
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].body, again[0].sequence.as_str()), (&Body::RecordingStopped(stop), "j1"));
    assert!(rooms.again(&tenant, &recorder(&session, "webinar", "j2")).is_empty(), "the other recording of the run");
}

#[test]
fn what_another_version_left_is_not_guessed_at() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"version":2,"runs":[],"past":{"over":[],"stops":[]}}"#,
        r#"{"version":1,"runs":[{"room":"../x"}],"past":{}}"#,
    ] {
        assert!(Memory::read(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Memory::read(br#"{"version":1,"runs":[],"past":{"over":[],"stops":[]}}"#).is_ok());
}

/// A forgotten room, a restless one, an attacker: none makes the memory grow without end.
#[test]
fn what_is_remembered_is_bounded() {
    let mut rooms = rooms();
    for n in 0..12_000 {
        let at = Duration::from_secs(n);
        rooms.hear(&fact(i64::try_from(n).unwrap(), joined("a")), NOW + at);
        rooms.decided(&room(), true);
        rooms.hear(&fact(0, What::Destroyed), NOW + at);
        let stop = RecordingStopped { policy: PolicyId::new("p").unwrap(), requested_by: "x".repeat(64) };
        rooms.stopped(&room(), &SessionId::new(format!("s{n}")).unwrap(), &stop, NOW + at);
    }
    rooms.told();
    let size = rooms.memory().write().len();
    assert!(size < 5_000_000, "{size}");
    println!("twelve thousand ends and as many stops are remembered in {size} bytes");
}

/// Janus gives each its own number, so names decide nothing; the same number twice is one participant until it leaves.
#[test]
fn two_with_the_same_number_are_one_and_a_look_tells_who_stayed() {
    let mut rooms = rooms();
    rooms.hear(&fact(1, joined("7")), second(0));
    assert!(rooms.hear(&fact(2, joined("7")), second(1)).is_empty());
    assert_eq!(kinds(&rooms.hear(&fact(3, left("7")), second(2))), ["participant.left 7"]);
    let told = rooms.see(&room(), Some(&people(&[("7", true)], false)), second(3));
    assert_eq!(kinds(&told), ["participant.joined 7", "track.published 7"]);
    assert!(rooms.tick(second(500)).is_empty(), "the run never ended");
}
