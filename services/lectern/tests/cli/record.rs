//! `lectern record`: what cannot come of a wish is said before it is sent.

use std::time::{Duration, Instant};

use crate::machine::{Machine, text};

const POLICY: &str = "
    [[rule]]
    id = 'lectures'
    room = ['1']
    language = 'nb'
    retention_days = 1
    basis = 'consent'
    [[rule]]
    id = 'seminars'
    room = ['2']
    on_request = true
    language = 'nb'
    retention_days = 1
    basis = 'consent'
";

#[test]
fn a_wish_that_nothing_can_come_of_is_refused_with_what_to_do() {
    let machine = Machine::new();
    std::fs::write(machine.at("policy.toml"), POLICY).unwrap();
    #[rustfmt::skip]
    let table: [(&[&str], &str); 5] = [
        (&["--room", "3"],                            "on_request = true"),
        (&["--room", "1"],                            "lectures records this room without being asked"),
        (&["--room", "2", "--policy", "gone"],        "no rule gone"),
        (&["--room", "2", "--policy", "lectures"],    "on_request = true"),
        (&["--room", "2", "--instance", "elsewhere"], "there are: campus"),
    ];
    for (args, says) in table {
        let ended = machine.run(&[&["record", "start"], args].concat());
        assert_eq!(ended.status.code(), Some(1), "{args:?}");
        let told = text(&ended.stderr);
        assert!(told.contains(says), "{args:?}: {told}");
        assert!(!told.contains("broker"), "{args:?} was sent: {told}");
    }
}

/// Nothing listens where the broker should be.
#[test]
fn a_broker_that_is_away_is_waited_for_thirty_seconds_and_no_longer() {
    let machine = Machine::new();
    std::fs::write(machine.at("policy.toml"), POLICY).unwrap();
    let since = Instant::now();
    let ended = machine.run(&["record", "start", "--room", "2"]);
    let took = since.elapsed();
    assert_eq!(ended.status.code(), Some(1));
    let told = text(&ended.stderr);
    assert!(told.contains("within 30 s") && told.contains("check-config"), "{told}");
    assert!((Duration::from_secs(29)..Duration::from_secs(50)).contains(&took), "{took:?}");
}
