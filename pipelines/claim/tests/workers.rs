//! The rules with simulated workers over one compare-and-swap cell: whatever they try in whatever order, there is one
//! holder at a time, epochs grow, and what is over stays over.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

use claim::{Phase, Record, Refused, TRIES};
use events::{Basis, LayoutName, Meta, Platform, PolicyId, RecordingRequested, RoomId, SessionId, TenantId};
use media::WallTime;
use proptest::prelude::*;

fn meta(time: &str) -> Meta {
    Meta {
        id: "e1".into(),
        platform: Platform::Janus,
        instance: "main".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new("run-1").unwrap(),
        time: time.into(),
    }
}

fn asked() -> RecordingRequested {
    RecordingRequested {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 7200,
    }
}

fn at(text: &str) -> WallTime {
    WallTime::parse(text).unwrap()
}

fn first() -> Record {
    let now = at("2026-11-22T10:00:00Z");
    Record::first(&meta("2026-11-22T10:00:00Z"), &asked(), "me".into(), now)
}

#[test]
fn a_request_that_comes_again_after_midnight_finds_the_same_year() {
    let told = "2026-12-31T23:59:59Z";
    let before = Record::first(&meta(told), &asked(), "a".into(), at("2026-12-31T23:59:59.5Z"));
    let after = Record::first(&meta(told), &asked(), "b".into(), at("2027-01-01T00:00:09Z"));
    assert_eq!((before.recording, before.created), (after.recording, after.created));
}

#[test]
fn a_clock_in_another_century_does_not_name_a_record() {
    let now = at("2026-11-22T10:00:00Z");
    for wrong in ["1970-01-01T00:00:00Z", "2106-02-07T06:28:15Z", "yesterday"] {
        assert_eq!(Record::first(&meta(wrong), &asked(), "a".into(), now).created, now, "{wrong}");
    }
}

#[test]
fn only_what_is_offered_can_be_taken_and_only_so_often_without_storing_anything() {
    let now = at("2026-11-22T10:05:00Z");
    let mut record = first();
    assert_eq!(record.take("you".into(), now), Err(Refused::Held));
    for epoch in 2..=TRIES {
        record = record.offer(now).unwrap().take(format!("worker {epoch}"), now).unwrap();
        assert_eq!((record.epoch, record.owner.clone()), (epoch, format!("worker {epoch}")));
    }
    assert_eq!((record.offer(now), record.take_over("you".into(), now)), (Err(Refused::Spent), Err(Refused::Spent)));
    // One stored segment, and there is hope again.
    let stored = record.beats(true, now).unwrap();
    assert_eq!(stored.take_over("you".into(), now).unwrap().epoch, TRIES + 1);
    let over = record.becomes(Phase::Failed, Some("worker-broken"), now).unwrap();
    assert_eq!((over.offer(now), over.take("you".into(), now)), (Err(Refused::Over), Err(Refused::Over)));
    assert_eq!((over.take_over("you".into(), now), over.beats(true, now)), (Err(Refused::Over), Err(Refused::Over)));
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let mut old = serde_json::to_value(first()).unwrap();
    for new in ["platform", "basis", "max_seconds", "beat", "idle"] {
        old.as_object_mut().unwrap().remove(new).unwrap();
    }
    let read: Record = serde_json::from_value(old).unwrap();
    assert_eq!(read, Record { idle: 0, max_seconds: 0, ..first() });
}

#[test]
#[rustfmt::skip]
fn phases_only_go_forward() {
    use Phase::{Claimed, Empty, Ended, Failed, Partial, Ready, Recording};
    let all = [Claimed, Recording, Ended, Ready, Partial, Failed, Empty];
    let onward = [
        (Claimed,   &all[..]),
        (Recording, &[Recording, Ended, Ready, Partial, Failed, Empty]),
        (Ended,     &[Ready, Partial, Failed, Empty]),
        (Ready,     &[Ready, Partial]),
        (Partial,   &[Ready, Partial]),
        (Failed,    &[Ready, Partial]),
        (Empty,     &[Ready, Partial]),
    ];
    for (from, to) in onward {
        for phase in all {
            let record = Record { phase: from, ..first() };
            assert_eq!(record.becomes(phase, None, record.created).is_ok(), to.contains(&phase), "{from:?} to {phase:?}");
        }
    }
}

/// What a simulated worker tries with the record as it last read it.
#[derive(Debug, Clone, Copy)]
enum Try {
    Read,
    Take,
    Offer,
    Begin,
    Finish,
}

proptest! {
    #[test]
    fn of_any_number_of_workers_one_holds_it(
        tries in prop::collection::vec((0..4_usize, prop::sample::select(vec![
            Try::Read, Try::Read, Try::Take, Try::Offer, Try::Begin, Try::Finish,
        ])), 0..200)
    ) {
        let now = at("2026-11-22T10:05:00Z");
        let (mut cell, mut version) = (first().offer(now).unwrap(), 0_u64);
        let mut known = vec![(version, cell.clone()); 4];
        for (worker, tried) in tries {
            let (seen, record) = known[worker].clone();
            let me = format!("worker {worker}");
            let holds = record.owner == me;
            let next = match tried {
                Try::Read => { known[worker] = (version, cell.clone()); continue }
                Try::Take => record.take(me.clone(), now),
                Try::Offer if holds => record.offer(now),
                Try::Begin if holds => record.becomes(Phase::Recording, None, now),
                Try::Finish if holds => record.becomes(Phase::Ended, None, now),
                Try::Offer | Try::Begin | Try::Finish => continue,
            };
            // The swap succeeds for whoever saw the newest version.
            if let Ok(next) = next && seen == version {
                prop_assert!(next.epoch >= cell.epoch && next.idle <= TRIES);
                prop_assert!(cell.phase.open(), "changed after the end");
                if next.owner != cell.owner {
                    prop_assert!(next.owner.is_empty() || (cell.owner.is_empty() && next.epoch == cell.epoch + 1));
                }
                version += 1;
                cell = next;
                known[worker] = (version, cell.clone());
            }
        }
    }

    #[test]
    fn a_record_survives_its_text(epoch in 1_u32..9999, owner in "[a-f0-9]{0,32}", webinar: bool) {
        let record = Record { epoch, owner, webinar, ..first() };
        prop_assert_eq!(serde_json::from_slice::<Record>(&serde_json::to_vec(&record).unwrap()).unwrap(), record);
    }
}
