//! Which events are acted on.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use std::time::Duration;

use events::{
    Basis, Body, Event, Gate, LayoutName, Meta, ParticipantNews, Platform, PolicyId, RecordingRequested,
    RecordingStopped, RoomEnded, RoomId, RoomStarted, SessionId, TenantId, Verdict,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-22 09:15 UTC);
const MINUTE: Duration = Duration::from_secs(60);

fn event(id: &str, session: &str, at: OffsetDateTime, body: Body) -> Event {
    let meta = Meta {
        id: id.into(),
        platform: Platform::Janus,
        instance: "hall".into(),
        tenant: TenantId::new("uni").expect("an id"),
        room: RoomId::new("1234").expect("an id"),
        session: SessionId::new(session).expect("an id"),
        time: at.format(&Rfc3339).expect("a time"),
    };
    Event { meta, body }
}

fn started() -> Body {
    Body::RoomStarted(RoomStarted {})
}

fn ended() -> Body {
    Body::RoomEnded(RoomEnded { reason: "empty".into() })
}

fn joined() -> Body {
    Body::ParticipantJoined(ParticipantNews { participant: "1".into() })
}

fn policy(id: &str) -> PolicyId {
    PolicyId::new(id).expect("an id")
}

fn requested(id: &str) -> Body {
    Body::RecordingRequested(RecordingRequested {
        policy: policy(id),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        basis: Basis::PublicTask,
        retention_days: 1,
        webinar: false,
        max_seconds: 7200,
    })
}

fn stopped(id: &str) -> Body {
    Body::RecordingStopped(RecordingStopped { policy: policy(id), requested_by: "lecturer".into() })
}

#[test]
fn an_event_is_acted_on_once() {
    let mut gate = Gate::default();
    let event = event("a", "s", NOW, started());
    assert_eq!(gate.admit(&event, NOW), Verdict::Fresh);
    assert_eq!(gate.admit(&event, NOW + MINUTE), Verdict::Repeat);
}

#[test]
fn the_same_id_from_another_source_is_another_event() {
    let mut gate = Gate::default();
    let one = event("a", "s", NOW, started());
    let mut other = one.clone();
    other.meta.instance = "annex".into();
    assert_eq!(gate.admit(&one, NOW), Verdict::Fresh);
    assert_eq!(gate.admit(&other, NOW), Verdict::Fresh);
}

#[test]
fn what_was_given_back_is_fresh_when_it_comes_again() {
    let mut gate = Gate::default();
    let event = event("a", "s", NOW, requested("p"));
    assert_eq!(gate.admit(&event, NOW), Verdict::Fresh);
    gate.forget(&event);
    assert_eq!(gate.admit(&event, NOW), Verdict::Fresh);
}

#[test]
fn a_start_after_its_end_is_dropped_for_an_hour() {
    let mut gate = Gate::default();
    assert_eq!(gate.admit(&event("end", "s", NOW, ended()), NOW), Verdict::Fresh);
    for (id, body) in [("a", started()), ("b", joined()), ("c", requested("p"))] {
        assert_eq!(gate.admit(&event(id, "s", NOW, body), NOW + 59 * MINUTE), Verdict::Tombstoned, "{id}");
    }
    assert_eq!(gate.admit(&event("d", "other", NOW, started()), NOW), Verdict::Fresh, "another run of the room");
    let late = NOW + 61 * MINUTE;
    assert_eq!(gate.admit(&event("e", "s", late, started()), late), Verdict::Fresh, "the tombstone is gone");
}

#[test]
fn a_stop_before_its_request_wins_for_that_policy_only() {
    let mut gate = Gate::default();
    assert_eq!(gate.admit(&event("a", "s", NOW, stopped("p")), NOW), Verdict::Fresh);
    assert_eq!(gate.admit(&event("b", "s", NOW, requested("p")), NOW), Verdict::Tombstoned);
    assert_eq!(gate.admit(&event("c", "s", NOW, requested("q")), NOW), Verdict::Fresh);
}

#[test]
fn a_replay_from_last_month_is_stale_unless_its_session_is_known() {
    let mut gate = Gate::default();
    let month = NOW - 43_200 * MINUTE;
    assert_eq!(gate.admit(&event("a", "s", month, started()), NOW), Verdict::Stale);
    assert_eq!(gate.admit(&event("b", "s", month, requested("p")), NOW), Verdict::Stale);
    assert_eq!(gate.admit(&event("c", "s", NOW - 9 * MINUTE, started()), NOW), Verdict::Fresh, "a delay");
    assert_eq!(gate.admit(&event("d", "s", month, joined()), NOW), Verdict::Fresh, "a wrong clock in a known run");
    assert_eq!(gate.admit(&event("e", "t", NOW - 11 * MINUTE, started()), NOW), Verdict::Stale);
}

/// A lecture that waited in the queue until a worker was free is still to be recorded.
#[test]
fn a_request_stays_fresh_for_as_long_as_it_may_last() {
    let mut gate = Gate::default();
    assert_eq!(gate.admit(&event("a", "s", NOW - 119 * MINUTE, requested("p")), NOW), Verdict::Fresh);
    assert_eq!(gate.admit(&event("b", "t", NOW - 121 * MINUTE, requested("p")), NOW), Verdict::Stale);
}

#[test]
fn a_clock_in_1970_or_2106_is_believed_only_where_it_makes_an_event_old() {
    let mut gate = Gate::default();
    assert_eq!(gate.admit(&event("a", "s", datetime!(2106-02-07 06:28 UTC), started()), NOW), Verdict::Fresh);
    assert_eq!(gate.admit(&event("b", "t", OffsetDateTime::UNIX_EPOCH, started()), NOW), Verdict::Stale);
}

#[test]
fn a_flood_of_events_does_not_grow_the_memory_without_end() {
    let mut gate = Gate::default();
    for n in 0..70_000 {
        gate.admit(&event(&n.to_string(), &n.to_string(), NOW, joined()), NOW);
    }
    assert_eq!(gate.admit(&event("69999", "69999", NOW, joined()), NOW), Verdict::Repeat, "the newest is remembered");
    assert_eq!(gate.admit(&event("0", "0", NOW, joined()), NOW), Verdict::Fresh, "the oldest made room");
}
