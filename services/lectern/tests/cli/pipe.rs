//! Commands whose answer nobody reads to its end, as in `lectern recordings list | head`.

use std::process::{Command, Stdio};

use crate::archive::Archive;
use crate::machine::{Machine, text};

/// What a shell shows of `yes | head`'s first half.
const BROKEN_PIPE: Option<i32> = Some(141);

#[tokio::test]
async fn a_command_that_nobody_listens_to_ends_without_a_word() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let id = Archive::of(&machine).await.keep("ready", 0, Some(b"film")).await.recording.to_string();
    #[rustfmt::skip]
    let table: &[&[&str]] = &[
        &["recordings", "list"],       &["recordings", "list", "--json"],
        &["recordings", "show", &id],  &["recordings", "show", &id, "--json"],
        &["recordings", "verify"],     &["recordings", "verify", "--json"],
        &["recordings", "open", &id, "--identity", "keys/archive.key", "--out", "film.mp4"],
        &["store", "probe"],           &["store", "probe", "--json"],
        &["check-config"],             &["check-config", "--json"],
        &["completions", "bash"],      &["init", "another"],
        &["keys", "new", "more-keys"], &["keys", "new", "yet-more-keys", "--json"],
    ];
    for args in table {
        let ended = unheard(&machine, args);
        assert_eq!((text(&ended.stderr).as_str(), ended.status.code()), ("", BROKEN_PIPE), "{args:?}");
    }
    // What was asked for is done, and whole.
    assert_eq!(std::fs::read(machine.at("film.mp4")).unwrap(), b"film");
    assert!(machine.at("another/lectern.toml").exists() && machine.at("more-keys/signing.key").exists());
    for help in [&["--help"][..], &["recordings", "verify", "--help"], &["--version"]] {
        assert_eq!(text(&unheard(&machine, help).stderr), "", "{help:?}");
    }
}

/// With a standard output that was closed before the command began.
fn unheard(machine: &Machine, args: &[&str]) -> std::process::Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_lectern"));
    command.current_dir(machine.folder.path()).args(args).stdout(writer).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_with_its_cause() {
    let machine = Machine::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lectern"));
    command.current_dir(machine.folder.path()).args(["keys", "new", "more-keys"]).stdout(full).stderr(Stdio::piped());
    let ended = command.spawn().unwrap().wait_with_output().unwrap();
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot write the answer") && told.contains("No space left"), "{told}");
}
