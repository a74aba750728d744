//! `Watch` against a model of what a patient looker knows: never is a holder called silent that gave a sign of life within
//! the last six seconds of unbroken looking, and always is one that did not.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

use std::time::{Duration, Instant};

use claim::{PATIENCE, Phase, Record, Watch};
use events::{Basis, LayoutName, Meta, Platform, PolicyId, RecordingRequested, RoomId, SessionId, TenantId};
use media::WallTime;
use proptest::prelude::*;

/// Longer between two looks, and the looker itself was away.
const CLOSE: u64 = 3_000;

fn record(run: usize) -> Record {
    let meta = Meta {
        id: "e1".into(),
        platform: Platform::Janus,
        instance: "main".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new(format!("run-{run}")).unwrap(),
        time: "2026-11-22T10:00:00Z".into(),
    };
    let asked = RecordingRequested {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 7200,
    };
    Record::first(&meta, &asked, "me".into(), WallTime::parse("2026-11-22T10:00:00Z").unwrap())
}

/// What happens to one of two records, or to the looker.
#[derive(Debug, Clone)]
enum Step {
    /// A look after so many milliseconds.
    Look(u64),
    Blind(u64),
    Beat(usize),
    Offer(usize),
    End(usize),
    /// It is not listed any more.
    Vanish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (900..1_100_u64).prop_map(Step::Look),
        2 => (0..9_000_u64).prop_map(Step::Look),
        1 => (900..1_100_u64).prop_map(Step::Blind),
        3 => (0..2_usize).prop_map(Step::Beat),
        1 => (0..2_usize).prop_map(Step::Offer),
        1 => (0..2_usize).prop_map(Step::End),
        1 => (0..2_usize).prop_map(Step::Vanish),
    ]
}

/// What the model knows of one record: since when it has been seen to be the same, without a break.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    etag: u64,
    since: Option<u64>,
}

#[derive(Debug, Clone)]
struct Held {
    record: Record,
    etag: u64,
    listed: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_the_silent_and_the_offered_are_due(steps in prop::collection::vec(step(), 0..120)) {
        let start = Instant::now();
        let (mut watch, mut now, mut last) = (Watch::default(), 0, None::<u64>);
        let mut all = [0, 1].map(|run| Held { record: record(run), etag: 0, listed: true });
        let mut known = [Known::default(); 2];
        for step in steps {
            match step {
                Step::Beat(n) => all[n].etag += 1,
                Step::Offer(n) => {
                    all[n].record.owner.clear();
                    all[n].etag += 1;
                }
                Step::End(n) => {
                    all[n].record.phase = Phase::Ended;
                    all[n].etag += 1;
                }
                Step::Vanish(n) => all[n].listed = !all[n].listed,
                Step::Blind(after) => {
                    now += after;
                    watch.blind();
                    (known, last) = ([Known::default(); 2], None);
                }
                Step::Look(after) => {
                    now += after;
                    let away = last.is_none_or(|last| now - last > CLOSE);
                    let mut expected = Vec::new();
                    for (held, known) in all.iter().zip(&mut known) {
                        if !held.listed || !held.record.phase.open() {
                            *known = Known::default();
                            continue;
                        }
                        if away || known.etag != held.etag || known.since.is_none() {
                            *known = Known { etag: held.etag, since: Some(now) };
                        }
                        let still = Duration::from_millis(now - known.since.unwrap());
                        if held.record.owner.is_empty() || still >= PATIENCE {
                            expected.push(held.record.recording);
                        }
                    }
                    let seen = all.iter().filter(|held| held.listed).map(|held| (&held.record, held.etag.to_string()));
                    let seen: Vec<_> = seen.collect();
                    let at = start + Duration::from_millis(now);
                    let due = watch.look(seen.iter().map(|(record, etag)| (*record, etag.as_str())), at);
                    prop_assert_eq!(due, expected, "at {} ms", now);
                    last = Some(now);
                }
            }
        }
    }
}

/// A holder that beats every two seconds, each beat up to 1.9 s late, is never taken for silent; a dead one is known after
/// six to eight seconds.
#[test]
fn a_late_heart_beats_and_a_still_one_is_seen() {
    let start = Instant::now();
    let held = record(0);
    let mut watch = Watch::default();
    let looks = |watch: &mut Watch, from: u64, to: u64, etag: &dyn Fn(u64) -> u64| {
        (from..to).find(|second| {
            let etag = etag(*second).to_string();
            !watch.look([(&held, etag.as_str())], start + Duration::from_secs(*second)).is_empty()
        })
    };
    assert_eq!(looks(&mut watch, 0, 300, &|second| second / 4), None);
    let dead = looks(&mut watch, 300, 400, &|_| 1_000).unwrap();
    assert!((306..=308).contains(&dead), "known to be silent at {dead} s");
}
