//! Janus' news as it really was, message by message: `tests/news/*.jsonl` was recorded from Janus 1.1.2 with its
//! RabbitMQ event handler, `single` with and `grouped` without `grouping = false`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use std::time::Duration;

use bridge::news::{Fact, News, What, read};
use bridge::rooms::Rooms;
use events::{Body, RoomId};
use time::macros::datetime;

const SIGN: &str = "\u{23fa} Recording (Lectern)";

fn recorded(name: &str) -> Vec<String> {
    let path = format!("{}/tests/news/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn facts(messages: &[String]) -> Vec<Fact> {
    messages.iter().flat_map(|message| read(message.as_bytes(), SIGN).facts).collect()
}

/// `joined 17…` and so on, for tables.
fn word(what: &What) -> String {
    match what {
        What::Joined { who, bot } => format!("joined {who}{}", if *bot { " (bot)" } else { "" }),
        What::Published { who, bot } => format!("published {who}{}", if *bot { " (bot)" } else { "" }),
        What::Unpublished { who } => format!("unpublished {who}"),
        What::Left { who } => format!("left {who}"),
        What::Destroyed => "destroyed".into(),
    }
}

fn plugin(data: &str) -> String {
    format!(
        r#"{{"emitter":"J","type":64,"timestamp":7,"session_id":1,"handle_id":2,"event":{{"plugin":"janus.plugin.videoroom","data":{data}}}}}"#
    )
}

#[test]
fn single_news_is_read_one_by_one() {
    let facts = facts(&recorded("single"));
    let words: Vec<_> = facts.iter().map(|fact| word(&fact.what)).collect();
    let (kari, ola) = ("1700440759166780", "7272081849233473");
    #[rustfmt::skip]
    let wanted = [
        format!("joined {kari}"), format!("published {kari}"),
        format!("unpublished {kari}"), format!("unpublished {kari}"), format!("left {kari}"),
        format!("joined {ola}"), format!("published {ola}"),
        format!("unpublished {ola}"), format!("unpublished {ola}"), format!("left {ola}"),
        "destroyed".to_owned(),
    ];
    assert_eq!(words, wanted);
    assert!(facts.iter().all(|fact| fact.room == RoomId::new("1234").unwrap()));
    assert_eq!(facts[0].at, 1_795_376_222_934_699);
}

#[test]
fn grouped_news_is_read_and_what_is_not_about_rooms_passed_over() {
    let words: Vec<_> = facts(&recorded("grouped")).iter().map(|fact| word(&fact.what)).collect();
    let (kari, ola) = ("3094570576780912", "331160602032819");
    #[rustfmt::skip]
    let wanted = [
        format!("joined {kari}"), format!("published {kari}"),
        format!("unpublished {kari}"), format!("unpublished {kari}"), format!("left {kari}"),
        format!("joined {ola}"), format!("published {ola}"), format!("left {ola}"),
        "destroyed".to_owned(),
    ];
    assert_eq!(words, wanted);
}

/// The whole way: what a lecture with two people, one after the other, is told as.
#[test]
fn a_recorded_lecture_becomes_its_events() {
    let now = datetime!(2026-11-22 09:15 UTC);
    let mut rooms = Rooms::new("hall", Duration::from_secs(120));
    let told: Vec<_> = facts(&recorded("single")).iter().flat_map(|fact| rooms.hear(fact, now)).collect();
    let kinds: Vec<_> = told.iter().map(|tiding| tiding.body.kind()).collect();
    #[rustfmt::skip]
    let wanted = [
        "room.started",
        "participant.joined", "track.published", "track.unpublished", "participant.left",
        "participant.joined", "track.published", "track.unpublished", "participant.left",
        "room.ended",
    ];
    assert_eq!(kinds, wanted);
    assert!(told.iter().all(|tiding| tiding.session == told[0].session), "one run has one session");
    let Body::ParticipantJoined(first) = &told[1].body else { panic!("{:?}", told[1]) };
    assert_eq!(first.participant, "1700440759166780");
    assert!(!format!("{told:?}").contains("Kari"));
    assert_eq!(rooms.running().count(), 0);
}

#[test]
fn our_bots_are_known_by_the_sign_at_the_start_of_their_names() {
    let told = |display: &str| {
        let news =
            read(plugin(&format!(r#"{{"event":"joined","room":1,"id":5,"display":"{display}"}}"#)).as_bytes(), SIGN);
        word(&news.facts[0].what)
    };
    assert_eq!(told(SIGN), "joined 5 (bot)");
    assert_eq!(told(&format!("{SIGN} 2")), "joined 5 (bot)");
    assert_eq!(told("Kari"), "joined 5");
    assert_eq!(told(&format!("not {SIGN}")), "joined 5");
}

#[test]
fn ids_may_be_strings_and_those_outside_the_grammar_do_not_travel() {
    let read = |data: &str| read(plugin(data).as_bytes(), SIGN);
    let news = read(r#"{"event":"joined","room":"aud-1","id":"kari.nordmann@uni.example"}"#);
    let [Fact { room, what: What::Joined { who, .. }, .. }] = &news.facts[..] else { panic!("{news:?}") };
    assert_eq!(room.as_str(), "aud-1");
    assert!(who.starts_with("h-") && who.len() == 26, "{who}");
    assert_eq!(
        read(r#"{"event":"joined","room":"aud-1","id":"kari.nordmann@uni.example"}"#),
        news,
        "the hash is lasting"
    );
    for room in ["../../etc/passwd", "Aud 1", "", "a*b"] {
        let news = read(&format!(r#"{{"event":"joined","room":"{room}","id":1}}"#));
        assert_eq!(news, News { facts: vec![], foreign_rooms: 1 }, "{room}");
    }
}

#[test]
fn whatever_else_comes_is_passed_over() {
    let statistics =
        r#"{"emitter":"J","type":32,"subtype":3,"timestamp":1,"event":{"mid":"0","media":"video","rtt":1}}"#;
    let long = format!("[{}]", vec![plugin(r#"{"event":"destroyed","room":1}"#); 20_000].join(","));
    let table = [
        "",
        "{",
        "null",
        "\u{feff}{}",
        r#"{"type":64}"#,
        r#"{"type":"64","event":{"plugin":"janus.plugin.videoroom"}}"#,
        r#"{"type":64,"event":{"plugin":"janus.plugin.videoroom"}}"#,
        r#"{"type":64,"event":{"plugin":"janus.plugin.audiobridge","data":{"event":"destroyed","room":1,"x":"janus.plugin.videoroom"}}}"#,
        statistics,
        &long,
        &plugin(r#"{"event":"joined","room":1}"#),
        &plugin(r#"{"event":"joined","room":[1],"id":1}"#),
        &plugin(r#"{"event":"destroyed"}"#),
        &plugin(r#"{"event":"subscribed","room":1,"id":1}"#),
        &plugin("[]"),
    ];
    for message in table {
        let news = read(message.as_bytes(), SIGN);
        assert_eq!(news, News::default(), "{}", &message[..message.len().min(200)]);
    }
    let _ = read(&[0xff, 0xfe, 0], SIGN);
}
