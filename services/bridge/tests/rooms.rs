//! When a run begins and ends, who counts, and what is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use std::time::Duration;

use bridge::news::{Fact, What};
use bridge::rooms::{Presence, Rooms, Tiding};
use events::{Body, RoomId};
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
    rooms.decided(&room());
    rooms.hear(&fact(2, joined("b")), second(6));
    rooms.see(&room(), Some(&people(&[("a", true), ("b", true)], false)), second(7));
    assert!(rooms.undecided().is_empty());

    let mut after_restart = Rooms::new("hall", Duration::from_secs(120));
    after_restart.see(&room(), Some(&people(&[("a", true)], true)), second(8));
    assert!(after_restart.undecided().is_empty());
}
