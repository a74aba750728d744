//! A seed tells one story, and the logs of its sessions are what `recorder replay` reads: run again, they lead to the
//! very same actions.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

use std::time::{Duration, Instant};

use serde_json::Value;
use session::{Action, Input, Session, Spec};
use simulator::{every_call, run};

/// As `recorder replay` does it.
fn replay(log: &str) -> Vec<Action> {
    let mut lines = log.lines();
    let spec: Spec = serde_json::from_str(lines.next().unwrap()).unwrap();
    let began = Instant::now();
    let (mut session, mut actions) = Session::new(spec, began);
    for line in lines {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let input: Input = serde_json::from_value(line["input"].take()).unwrap();
        let at = Duration::from_micros(line["at"].as_u64().unwrap());
        actions.extend(session.handle(input, began + at));
    }
    actions
}

#[test]
fn every_session_of_a_seed_can_be_replayed() {
    let (mut sessions, mut inputs) = (0, 0);
    for seed in 1..60 {
        let report = run(seed, None, true);
        for (name, log) in report.story.sessions() {
            assert_eq!(replay(&log.text), log.actions, "seed {seed}, {name}");
            sessions += 1;
            inputs += log.text.lines().count() - 1;
        }
    }
    assert!(sessions > 100 && inputs > 5_000, "{sessions} sessions with {inputs} inputs are no proof");
}

#[test]
fn a_seed_tells_the_same_story_whether_it_is_listened_to_or_not() {
    for seed in 100..130 {
        let (told, again, untold) = (run(seed, None, true), run(seed, None, true), run(seed, None, false));
        assert_eq!(told.story.text(), again.story.text(), "seed {seed}");
        assert_eq!((told.calls, told.phases), (untold.calls, untold.phases), "seed {seed}");
    }
}

/// Not only evenings on which nothing happens.
#[test]
fn seeds_lead_to_every_end() {
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    let (mut epochs, mut segments) = (0, 0);
    for seed in 1..400 {
        let report = run(seed, None, false);
        assert_eq!(report.broken, None, "seed {seed}");
        for phase in report.phases {
            *ends.entry(phase).or_default() += 1;
        }
        epochs += report.epochs;
        segments += report.segments;
    }
    println!("{ends:?}, {epochs} epochs, {segments} segments");
    for phase in ["Ready", "Partial", "Empty", "Failed"] {
        assert!(ends.contains_key(phase), "no {phase} among {ends:?}");
    }
    assert!(epochs > 700 && segments > 5_000, "{epochs} epochs, {segments} segments");
}

#[test]
fn whichever_call_fails_the_promises_hold() {
    let sweep = every_call();
    println!("{} evenings, each with another call spoilt", sweep.runs);
    assert_eq!(sweep.broken, None);
    assert!(sweep.runs > 500, "{} runs", sweep.runs);
}
