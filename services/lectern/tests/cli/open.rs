//! `lectern recordings open` gives out a film whole, privately, and only when it is proven.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use storage::keys::Institution;

use crate::archive::Archive;
use crate::machine::{Machine, text};

/// Three megabytes that differ everywhere.
fn film() -> Vec<u8> {
    (0..750_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 3).to_le_bytes()).collect()
}

#[tokio::test]
async fn a_film_comes_out_whole_and_private_and_overwrites_nothing() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let film = film();
    let id = Archive::of(&machine).await.keep("ready", 0, Some(&film)).await.recording.to_string();
    let elsewhere = tempfile::tempdir().unwrap();
    let out = elsewhere.path().join("film.mp4");

    // The identity of the configuration counts from its folder, the file from here.
    let opened = machine.run_from(elsewhere.path(), &["recordings", "open", &id, "--out", "film.mp4", "--json"]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let answer: Value = serde_json::from_slice(&opened.stdout).unwrap();
    assert_eq!(answer, serde_json::json!({ "recording": id, "file": "film.mp4", "bytes": film.len() }));
    assert!(std::fs::read(&out).unwrap() == film);
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(text(&opened.stderr), "", "progress is for terminals");

    std::fs::write(&out, "mine").unwrap();
    let again = machine.run_from(elsewhere.path(), &["recordings", "open", &id, "--out", "film.mp4"]);
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("give another --out"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");

    // An archivist with the offline key.
    let archive_key = machine.at("keys/archive.key").display().to_string();
    let second = ["recordings", "open", &id, "--identity", &archive_key, "--out", "second.mp4"];
    let opened = machine.run_from(elsewhere.path(), &second);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    assert!(text(&opened.stdout).contains("no longer encrypted"), "{}", text(&opened.stdout));
    assert!(std::fs::read(elsewhere.path().join("second.mp4")).unwrap() == film);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 2, "something else was left");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_leaves_nothing_behind() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let archive = Archive::of(&machine).await;
    let live = archive.keep("live", 0, None).await.recording.to_string();
    let altered = archive.keep("altered", 1, Some(&film())).await;
    archive.alter(&altered.composite(1)).await;
    let forged = archive.keep("forged", 2, Some(b"film")).await;
    archive.alter(&forged.manifest(1)).await;
    let sound = archive.keep("sound", 3, Some(b"film")).await.recording.to_string();
    let stranger = tempfile::tempdir().unwrap();
    Institution::generate(stranger.path(), "stranger").unwrap();
    let key = stranger.path().join("archive.key").display().to_string();
    let out = tempfile::tempdir().unwrap();
    let film = out.path().join("film.mp4").display().to_string();
    let nowhere = out.path().join("none/film.mp4").display().to_string();

    let (altered, forged) = (altered.recording.to_string(), forged.recording.to_string());
    #[rustfmt::skip]
    let table: [(&[&str], &str); 6] = [
        (&[&live, "--out", &film],                                 "recordings show"),
        (&[&altered, "--out", &film],                              "recordings verify"),
        (&[&forged, "--out", &film],                               "does not prove itself"),
        (&[&sound, "--out", &film, "--identity", &key],            "not sealed to this identity"),
        (&[&sound, "--out", &film, "--identity", "/nowhere.key"],  "/nowhere.key"),
        (&[&sound, "--out", &nowhere],                             "give another --out"),
    ];
    for (args, says) in table {
        let ended = machine.run(&[&["recordings", "open"], args].concat());
        assert!(!ended.status.success(), "{args:?}");
        assert!(text(&ended.stderr).contains(says), "{args:?}: {}", text(&ended.stderr));
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "{args:?} left something");
    }
}

#[tokio::test]
async fn a_film_that_was_slipped_in_is_not_given_out() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let archive = Archive::of(&machine).await;
    let forged = archive.keep("forged", 0, Some(b"the lecture")).await;
    archive.forge(&forged, b"another one").await;
    let (copied, other) =
        (archive.keep("copied", 1, Some(b"the lecture")).await, archive.keep("other", 2, Some(b"another one")).await);
    archive.copy(&other, &copied).await;
    for path in [forged, copied] {
        let out = machine.at("film.mp4");
        let id = path.recording.to_string();
        let opened = machine.run(&["recordings", "open", &id, "--out", out.to_str().unwrap()]);
        assert!(!opened.status.success(), "{id} was given out");
        assert!(!out.exists());
        assert!(!machine.run(&["recordings", "verify", &id]).status.success());
    }
}
