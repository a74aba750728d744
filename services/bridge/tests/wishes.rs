//! How long a wish waits, and when it is worth a look at the server.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use std::time::Duration;

use bridge::wishes::{KEPT, Wish, Wishes};
use events::{Body, Event, Meta, Platform, RecordingWanted, RoomId, SessionId, TenantId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-22 09:15 UTC);

fn wish(id: &str, room: &str, at: OffsetDateTime, carrier: u32) -> Wish<u32> {
    let meta = Meta {
        id: id.into(),
        platform: Platform::Janus,
        instance: "hall".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new(room).unwrap(),
        session: SessionId::new(id).unwrap(),
        time: at.format(&Rfc3339).unwrap(),
    };
    let body = Body::RecordingWanted(RecordingWanted { policy: None, requested_by: "operator".into() });
    Wish::read(&Event { meta, body }, carrier, NOW).unwrap()
}

#[test]
fn a_wish_waits_ten_minutes_from_when_it_was_made_whatever_clock_made_it() {
    let second = Duration::from_secs(1);
    for (made, since) in [(NOW, NOW), (NOW - KEPT / 2, NOW - KEPT / 2), (NOW + KEPT * 9, NOW)] {
        let wish = wish("a", "1", made, 0);
        assert!(!wish.is_overdue(since + KEPT), "{made}");
        assert!(wish.is_overdue(since + KEPT + second), "{made}");
    }
}

#[test]
fn a_wish_presses_while_it_is_new_and_when_its_room_runs() {
    let mut wishes = Wishes::default();
    assert!(!wishes.press(|_| true), "nobody asked");
    assert!(wishes.hold(wish("a", "1", NOW, 0)).is_empty());
    assert!(wishes.press(|_| false), "news of the room may have been lost");
    wishes.looked();
    assert!(!wishes.press(|room| room.as_str() == "2"));
    assert!(wishes.press(|room| room.as_str() == "1"));
}

#[test]
fn a_message_that_comes_again_takes_its_own_place_and_is_given_out_once() {
    let mut wishes = Wishes::default();
    let mut replaced = Vec::new();
    for (id, room, carrier) in [("a", "1", 1), ("b", "2", 2), ("c", "1", 3), ("a", "1", 4)] {
        replaced.extend(wishes.hold(wish(id, room, NOW, carrier)).into_iter().map(|wish| wish.carrier));
    }
    assert_eq!(replaced, [1], "what is dropped unsettled comes again at once");
    let given: Vec<_> = wishes.take(|wish| wish.room.as_str() == "1").into_iter().map(|wish| wish.carrier).collect();
    assert_eq!(given, [3, 4]);
    assert_eq!(wishes.rooms().map(RoomId::as_str).collect::<Vec<_>>(), ["2"]);
}
