//! The command line as a person and a script meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod archive;
mod check;
mod init;
mod machine;
mod open;
mod pipe;
mod record;
mod recordings;
#[path = "../../../../pipelines/broker/tests/server/mod.rs"]
mod server;
mod stop;
mod store;

use std::path::Path;
use std::process::{Command, Stdio};

use machine::{Machine, lectern, text};

#[test]
fn a_misspelt_section_ends_every_command_with_its_name() {
    let machine = Machine::new();
    machine.edit("[recorder]", "[recroder]");
    for args in [&["up"][..], &["check-config"], &["recordings", "list"]] {
        let ended = machine.run(args);
        assert!(!ended.status.success(), "{args:?}");
        assert!(text(&ended.stderr).contains("[recroder]"), "{}", text(&ended.stderr));
    }
}

#[test]
fn a_misspelt_log_filter_ends_every_command_with_an_example() {
    let machine = Machine::new();
    for args in [&["--log", "not a filter=", "up"][..], &["recordings", "list", "--log=inof"]] {
        let ended = machine.run(args);
        assert!(!ended.status.success(), "{args:?}");
        let told = text(&ended.stderr);
        assert!(told.contains("--log") && told.contains("info,recorder=debug"), "{told}");
    }
}

#[test]
fn without_a_configuration_the_message_says_how_to_get_one() {
    let nothing = tempfile::tempdir().unwrap();
    for args in [&["check-config"][..], &["up"], &["recordings", "list"], &["service", "origin"]] {
        let ended = lectern(nothing.path(), args);
        assert!(!ended.status.success(), "{args:?}");
        let told = text(&ended.stderr);
        assert!(told.contains("lectern.toml") && told.contains("`lectern init`"), "{told}");
    }
}

#[test]
fn every_command_has_help_and_no_help_is_empty() {
    #[rustfmt::skip]
    let commands: &[&[&str]] = &[
        &[], &["init"], &["keys"], &["keys", "new"], &["check-config"], &["up"], &["recordings"], &["recordings", "list"],
        &["recordings", "show"], &["recordings", "verify"], &["recordings", "open"], &["record"], &["record", "stop"],
        &["service"], &["completions"], &["store"], &["store", "probe"],
    ];
    for command in commands {
        let help = lectern(Path::new("."), &[command, &["--help"][..]].concat());
        let told = text(&help.stdout);
        let about = told.lines().next().unwrap_or_default();
        assert!(help.status.success() && about.len() > 10 && !about.starts_with("Usage"), "{command:?}: {told}");
    }
}

#[test]
fn completions_know_the_commands_and_bash_can_read_its_own() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&lectern(Path::new("."), &["completions", shell]).stdout);
        for word in ["check-config", "recordings", "verify", "probe", "--identity", "--log-json"] {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let script = lectern(Path::new("."), &["completions", "bash"]).stdout;
    let asked = r#"source /dev/stdin; COMP_WORDS=(lectern recordings ve); COMP_CWORD=2
        _lectern lectern ve recordings; echo "${COMPREPLY[@]}""#;
    let mut bash =
        Command::new("bash").args(["-c", asked]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &script).unwrap();
    assert_eq!(text(&bash.wait_with_output().unwrap().stdout), "verify\n");
}
