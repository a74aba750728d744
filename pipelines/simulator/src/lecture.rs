//! The recordings of a seed, as the events that ask for them would say.

use claim::Record;
use events::{Basis, LayoutName, Meta, Platform, PolicyId, RecordingRequested, RoomId, SessionId, TenantId};
use media::WallTime;

/// The first claim on recording number `n`.
pub(crate) fn first(n: usize, owner: String, now: WallTime) -> Record {
    let meta = Meta {
        id: format!("request-{n}"),
        platform: Platform::Janus,
        instance: "main".into(),
        tenant: word("uni", TenantId::new),
        room: word(&format!("{}", 1000 + n), RoomId::new),
        session: word(&format!("run-{n}"), SessionId::new),
        time: "2026-11-27T08:15:00Z".into(),
    };
    let asked = RecordingRequested {
        policy: word("lectures", PolicyId::new),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 7200,
    };
    Record::first(&meta, &asked, owner, now)
}

#[expect(clippy::expect_used, reason = "constants of this file, which are words")]
fn word<T, E: std::fmt::Debug>(text: &str, new: impl Fn(String) -> Result<T, E>) -> T {
    new(text.to_owned()).expect("a word")
}
