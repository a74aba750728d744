//! An institution's first keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use storage::keys::{Institution, KeysError};
use storage::manifest::{Signers, SigningKey};
use storage::{Identity, Recipients};

#[test]
fn new_keys_are_whole_and_readable_by_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let made = Institution::generate(&keys, "archive@uni.example").unwrap();
    for file in &made.files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(keys.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(Identity::load(&keys.join("archive.key")).unwrap().public(), made.archive);
    assert_eq!(Identity::load(&keys.join("pipeline.key")).unwrap().public(), made.pipeline);
    assert_eq!(SigningKey::load(&keys.join("signing.key")).unwrap().public(), made.signer);
    Signers::load(&keys.join("allowed_signers")).unwrap();
    Recipients::parse(&[made.archive, made.pipeline]).unwrap();
}

#[test]
fn stock_tools_read_the_same_public_halves() {
    let dir = tempfile::tempdir().unwrap();
    let made = Institution::generate(dir.path(), "archive@uni.example").unwrap();
    let run = |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned();
    assert_eq!(run(Command::new("age-keygen").arg("-y").arg(dir.path().join("archive.key"))), made.archive);
    let public = run(Command::new("ssh-keygen").arg("-y").arg("-f").arg(dir.path().join("signing.key")));
    assert_eq!(public, made.signer);
}

#[test]
fn keys_are_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pipeline.key"), "mine").unwrap();
    let again = Institution::generate(dir.path(), "archive@uni.example");
    assert!(matches!(again, Err(KeysError::Exists(path)) if path.ends_with("pipeline.key")));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_key_file_that_is_none_is_refused_and_never_echoed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "AGE-SECRET-KEY-1BROKEN\n").unwrap();
    for why in [
        format!("{0} {0:?}", Identity::load(&file).unwrap_err()),
        format!("{0} {0:?}", SigningKey::load(&file).unwrap_err()),
        format!("{0} {0:?}", Signers::load(&file).unwrap_err()),
    ] {
        assert!(!why.contains("BROKEN"), "{why}");
    }
}

#[test]
fn signers_that_cannot_be_honoured_in_full_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("allowed_signers");
    let (_, key) = SigningKey::generate();
    let load = |text: String| {
        std::fs::write(&file, text).unwrap();
        Signers::load(&file)
    };
    load(format!("# ours\n\na@b {key}\n")).unwrap();
    load(format!("a@b namespaces=\"git,rec-manifest-v1\" {key} a comment\n")).unwrap();
    let refused = [
        String::new(),
        format!("a@b namespaces=\"git\" {key}\n"),
        format!("a@b valid-before=\"20200101\" {key}\n"),
        format!("a@b cert-authority {key}\n"),
        format!("a@b namespaces=\"rec-manifest-v1\",valid-before=\"20200101\" {key}\n"),
        format!("a@b namespaces=\"rec-manifest-v1 {key}\n"),
        "a@b ssh-rsa AAAA\n".into(),
        "a@b ssh-ed25519 AAAA\n".into(),
    ];
    for text in refused {
        assert!(load(text.clone()).is_err(), "{text}");
    }
}
