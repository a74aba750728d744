//! What the simulator writes down of a seed is what `recorder replay` runs again, to the very same actions.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

use std::fs::File;
use std::io::BufReader;
use std::process::Command;

use simulator::run;

/// The actions of a replay, as it prints them in its last column.
fn actions(told: &str) -> String {
    let column = |line: &str| line.rsplit("  ").next().unwrap_or_default().to_owned();
    told.lines().map(column).filter(|actions| !actions.is_empty()).collect::<Vec<_>>().join("; ")
}

#[test]
fn every_session_of_a_seed_is_run_again() {
    let (mut sessions, mut inputs) = (0, 0);
    for seed in 1..60 {
        let folder = tempfile::tempdir().unwrap();
        let story = run(seed, None, true).story;
        let logs = story.write(folder.path(), seed).unwrap();
        for (log, (name, session)) in logs.iter().zip(story.sessions()) {
            let mut told = Vec::new();
            recorder::replay(BufReader::new(File::open(log).unwrap()), &mut told).unwrap();
            let expected: Vec<String> = session.actions.iter().map(|action| format!("{action:?}")).collect();
            assert_eq!(actions(&String::from_utf8(told).unwrap()), expected.join("; "), "seed {seed}, {name}");
            sessions += 1;
            inputs += session.text.lines().count() - 1;
        }
        assert_eq!(logs.len(), story.sessions().count(), "seed {seed}");
    }
    assert!(sessions > 100 && inputs > 5_000, "{sessions} sessions with {inputs} inputs are no proof");
}

#[test]
fn the_command_runs_a_log_again() {
    let folder = tempfile::tempdir().unwrap();
    let logs = run(1, None, true).story.write(folder.path(), 1).unwrap();
    let log = logs.first().unwrap();
    let replay = Command::new(env!("CARGO_BIN_EXE_recorder")).arg("replay").arg(log).output().unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    let mut told = Vec::new();
    recorder::replay(BufReader::new(File::open(log).unwrap()), &mut told).unwrap();
    assert_eq!(String::from_utf8_lossy(&replay.stdout), String::from_utf8_lossy(&told));
    assert!(!told.is_empty());
}
