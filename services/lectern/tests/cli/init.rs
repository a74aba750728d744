//! What `lectern init` and `lectern keys new` leave on the disk.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::machine::{Machine, lectern, text};

/// Every file and folder below `folder`, with its rights.
fn all(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        found.push((name.clone(), entry.metadata().unwrap().permissions().mode() & 0o777));
        if entry.path().is_dir() {
            found.extend(all(&entry.path()).into_iter().map(|(inner, mode)| (format!("{name}/{inner}"), mode)));
        }
    }
    found
}

#[test]
fn init_makes_private_files_and_overwrites_nothing() {
    let around = tempfile::tempdir().unwrap();
    let made = lectern(around.path(), &["init", "deep/lectern"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let found = all(around.path());
    let names: BTreeSet<_> = found.iter().filter_map(|(name, _)| name.strip_prefix("deep/lectern/")).collect();
    #[rustfmt::skip]
    let wanted = [
        "keys", "keys/allowed_signers", "keys/archive.key", "keys/ingest-token", "keys/pipeline.key",
        "keys/recipients.txt", "keys/s3-access-key", "keys/s3-secret-key", "keys/signing.key", "lectern.toml",
        "policy.toml",
    ];
    assert_eq!(names, BTreeSet::from(wanted));
    for (name, mode) in &found {
        assert_eq!(mode & 0o077, 0, "{name} is open to others: {mode:o}");
    }

    let secret = std::fs::read(around.path().join("deep/lectern/keys/archive.key")).unwrap();
    let again = lectern(around.path(), &["init", "deep/lectern"]);
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("never overwritten"), "{}", text(&again.stderr));
    // Neither does it when the configuration alone was moved away.
    std::fs::remove_file(around.path().join("deep/lectern/lectern.toml")).unwrap();
    assert!(!lectern(around.path(), &["init", "deep/lectern"]).status.success());
    assert!(!lectern(around.path(), &["keys", "new", "deep/lectern/keys"]).status.success());
    assert_eq!(std::fs::read(around.path().join("deep/lectern/keys/archive.key")).unwrap(), secret);
}

#[test]
fn no_secret_is_printed_and_no_two_are_alike() {
    let machine = Machine::new();
    let again = tempfile::tempdir().unwrap();
    let made = lectern(again.path(), &["init", ".", "--json"]);
    let answer: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(machine.config().contains("age1") && answer["archive"].as_str().unwrap().starts_with("age1"));
    for name in ["archive.key", "pipeline.key", "signing.key", "s3-access-key", "s3-secret-key", "ingest-token"] {
        let one = std::fs::read_to_string(machine.at("keys").join(name)).unwrap();
        let other = std::fs::read_to_string(again.path().join("keys").join(name)).unwrap();
        assert_ne!(one, other, "{name}");
        let secret = other.lines().rfind(|line| line.len() > 20 && !line.starts_with("-----")).unwrap();
        assert!(!text(&made.stdout).contains(secret) && !text(&made.stderr).contains(secret), "{name} was printed");
    }
}
