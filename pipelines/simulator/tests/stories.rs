//! A seed tells one story, and one that breaks a promise is written down. That the logs of its sessions are what
//! `recorder replay` reads is tested there.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

use std::process::Command;

use simulator::{every_call, run};

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

/// The first seed that breaks a promise is named and told, with a log of each session and how to run it again.
#[test]
fn seeds_that_break_a_promise_are_written_down() {
    let folder = std::env::temp_dir().join(format!("lectern-simulator-{}", std::process::id()));
    let simulator = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(["--seeds", "1..100", "--mistake", "LyingStore", "--log"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(!simulator.status.success());
    let (told, why) = (String::from_utf8(simulator.stdout).unwrap(), String::from_utf8(simulator.stderr).unwrap());
    let seed = why.strip_prefix("seed ").and_then(|why| why.split_once(':')).expect("a seed").0;
    let logs: Vec<_> = told.lines().filter_map(|line| line.split_once("recorder replay ")).collect();
    assert!(!logs.is_empty(), "{told}");
    let mut lines = 0;
    for (_, log) in logs {
        assert!(log.contains(&format!("seed-{seed}-worker")), "{log}");
        lines += std::fs::read_to_string(log).unwrap().lines().count();
    }
    assert!(lines > 10, "{lines} lines in all logs");
    let story = std::fs::read_to_string(folder.join(format!("seed-{seed}.txt"))).unwrap();
    assert!(story.lines().count() > 10, "{story}");
    std::fs::remove_dir_all(folder).unwrap();
}
