//! What holds for every message.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use events::{
    Basis, Body, EpochStored, Event, LayoutName, Meta, ParticipantNews, Platform, PolicyId, RecordingId,
    RecordingRequested, RoomEnded, RoomId, RoomStarted, SessionId, TenantId, TranscriptReady, event_id,
};
use proptest::prelude::*;

const ID: &str = "[A-Za-z0-9_-]{1,64}";

prop_compose! {
    fn meta()(id in ID, instance in ID, tenant in ID, room in ID, session in ID, at in 0i64..253_402_300_799) -> Meta {
        let time = time::OffsetDateTime::from_unix_timestamp(at).unwrap();
        Meta {
            id,
            platform: Platform::Janus,
            instance,
            tenant: TenantId::new(tenant).unwrap(),
            room: RoomId::new(room).unwrap(),
            session: SessionId::new(session).unwrap(),
            time: time.format(&time::format_description::well_known::Rfc3339).unwrap(),
        }
    }
}

fn recording() -> impl Strategy<Value = RecordingId> {
    ID.prop_map(|id| {
        RecordingId::derive(&TenantId::new("t").unwrap(), &SessionId::new(id).unwrap(), &PolicyId::new("p").unwrap())
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::RoomStarted(RoomStarted {})),
        ID.prop_map(|reason| Body::RoomEnded(RoomEnded { reason })),
        ID.prop_map(|participant| Body::ParticipantLeft(ParticipantNews { participant })),
        (recording(), any::<u32>(), any::<bool>()).prop_map(|(recording, epoch, last)| {
            Body::EpochStored(EpochStored { recording, epoch, last, language: "nn-NO".into() })
        }),
        (recording(), any::<u32>(), "[A-Za-z0-9._:@ +-]{1,200}").prop_map(|(recording, cues, model)| {
            Body::TranscriptReady(TranscriptReady { recording, generation: 1, language: "sv".into(), model, cues })
        }),
        (ID, ID, any::<u32>(), any::<i64>()).prop_map(|(policy, requested_by, retention_days, max_seconds)| {
            Body::RecordingRequested(RecordingRequested {
                policy: PolicyId::new(policy).unwrap(),
                requested_by,
                layout: LayoutName::Grid,
                language: "en".into(),
                basis: Basis::Consent,
                retention_days,
                webinar: true,
                max_seconds,
            })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Event::parse(&bytes);
    }

    #[test]
    fn any_damage_to_a_message_is_an_event_or_an_error(
        (meta, body) in (meta(), body()), at in any::<prop::sample::Index>(), put in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut message = Event { meta, body }.to_json();
        let at = at.index(message.len());
        if cut { message.truncate(at) } else { message[at] = put }
        let _ = Event::parse(&message);
    }

    #[test]
    fn what_is_written_is_read((meta, body) in (meta(), body())) {
        let event = Event { meta, body };
        // An id may by chance be the twin of a credential; then the refusal is right.
        match Event::parse(&event.to_json()) {
            Err(e) => prop_assert_eq!(e.reason(), "secret"),
            Ok(read) => prop_assert_eq!(read, event),
        }
    }

    #[test]
    fn a_routing_key_fits_and_hides_the_room((meta, body) in (meta(), body())) {
        let event = Event { meta, body };
        let key = event.routing_key();
        prop_assert!(key.len() <= 255, "{}", key.len());
        let parts: Vec<_> = key.split('.').collect();
        prop_assert_eq!(parts.len(), 5, "{}", key);
        prop_assert_eq!(parts[0], event.meta.tenant.as_str());
        prop_assert_eq!(format!("{}.{}", parts[2], parts[3]), event.body.kind());
        prop_assert!(parts[4].len() == 16 && parts[4].bytes().all(|b| b.is_ascii_hexdigit()));
    }
}

#[test]
fn ids_of_events_are_lasting_and_tell_everything_apart() {
    let (room, session) = (RoomId::new("1234").unwrap(), SessionId::new("s1").unwrap());
    let id = |kind, sequence| event_id("/janus/hall", kind, &room, &session, sequence);
    // The value itself: another would make every repeat from before an update look new.
    assert_eq!(id("room.started", ""), "dadf0023c23064aadaa974ca9863ab11");
    assert_ne!(id("room.started", ""), id("room.ended", ""));
    assert_ne!(id("participant.joined", "1"), id("participant.joined", "2"));
    let other = RoomId::new("1234s").unwrap();
    assert_ne!(
        event_id("x", "y", &room, &SessionId::new("s1").unwrap(), ""),
        event_id("x", "y", &other, &SessionId::new("1").unwrap(), "")
    );
}
