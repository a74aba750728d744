//! `lectern recordings list | show | verify`, for people and for scripts.

use serde_json::{Value, json};

use storage::{RecordingPath, ledger};

use crate::archive::{Archive, NOON};
use crate::machine::{Machine, text};

const UNKNOWN: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("no JSON: {}", text(bytes)))
}

#[test]
fn an_empty_store_lists_nothing_in_words_and_in_json() {
    let machine = Machine::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let _server = machine.serve(elsewhere.path());
    let list = machine.run(&["recordings", "list"]);
    assert!(list.status.success(), "{}", text(&list.stderr));
    assert_eq!(text(&list.stdout), "No recordings yet.\n");
    let list = machine.run_from(elsewhere.path(), &["recordings", "list", "--json"]);
    assert_eq!(read(&list.stdout), json!([]));
    assert!(machine.at("s3").is_dir(), "the embedded S3 keeps its objects elsewhere");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);

    for args in [&["recordings", "show", UNKNOWN][..], &["recordings", "verify", UNKNOWN], &["record", "stop", UNKNOWN]]
    {
        let ended = machine.run(args);
        assert!(!ended.status.success(), "{args:?}");
        assert!(text(&ended.stderr).contains("`lectern recordings list`"), "{}", text(&ended.stderr));
    }
}

#[test]
fn an_unreachable_store_says_which() {
    let machine = Machine::new();
    let list = machine.run(&["recordings", "list"]);
    assert!(!list.status.success());
    assert!(text(&list.stderr).contains("does not answer"), "{}", text(&list.stderr));
}

/// Scripts live by these names: a field that is renamed or lost breaks them.
#[tokio::test]
async fn what_is_listed_as_json_has_these_fields_and_the_newest_first() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let archive = Archive::of(&machine).await;
    let ready = archive.keep("ready", 0, Some(b"film")).await.recording;
    let live = archive.keep("live", 30, None).await.recording;
    let one = |recording, session: &str, phase: &str, at: &str, generation: Value| {
        json!({
            "recording": recording, "tenant": "example", "platform": "janus", "instance": "campus", "room": "1234", "session": session,
            "policy": "lectures", "layout": "speaker", "language": "nb", "retention_days": 365, "webinar": false,
            "basis": "public-task", "max_seconds": 0, "phase": phase, "epoch": 1, "owner": "worker", "beat": 0, "idle": 0,
            "created": at, "changed": at, "generation": generation,
            "reason": null,
        })
    };
    let listed = read(&machine.run(&["recordings", "list", "--json"]).stdout);
    let wanted = json!([
        one(live, "live", "recording", "2026-11-22T12:30:00Z", Value::Null),
        one(ready, "ready", "ready", "2026-11-22T12:00:00Z", json!(1)),
    ]);
    assert_eq!(listed, wanted);
    let shown = read(&machine.run(&["recordings", "show", &ready.to_string(), "--json"]).stdout);
    assert_eq!(shown["record"], wanted[1]);
    let objects: Vec<_> = shown["objects"].as_array().unwrap().iter().map(|o| o["key"].as_str().unwrap()).collect();
    assert!(objects.iter().any(|key| key.ends_with("/composite.mp4.age")), "{objects:?}");
    assert!(shown["objects"][0]["size"].as_u64().unwrap() > 0);

    let words = text(&machine.run(&["recordings", "list"]).stdout);
    let rows: Vec<Vec<_>> = words.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], [&live.to_string(), "2026-11-22T12:30:00", "recording", "1234"]);
    assert_eq!(rows[1][..3], [&ready.to_string(), "2026-11-22T12:00:00", "ready"]);
}

#[tokio::test]
async fn verify_is_silent_about_what_is_sound_and_names_each_object_that_is_not() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let archive = Archive::of(&machine).await;
    let path = archive.keep("ready", 0, Some(b"film")).await;
    let id = path.recording.to_string();
    let live = archive.keep("live", 30, None).await.recording.to_string();

    let sound = machine.run(&["recordings", "verify", &id]);
    assert!(sound.status.success(), "{}", text(&sound.stdout));
    assert!(text(&sound.stdout).starts_with(&format!("{id}  sound: 2 objects, ")), "{}", text(&sound.stdout));
    let unfinished = machine.run(&["recordings", "verify", &live]);
    assert!(!unfinished.status.success());
    assert!(text(&unfinished.stderr).contains(&format!("recordings show {live}")), "{}", text(&unfinished.stderr));
    let all = machine.run(&["recordings", "verify", "--json"]);
    assert!(all.status.success(), "a recording that still runs is no failure of the archive");
    let all = read(&all.stdout);
    let of = |id: &str| all.as_array().unwrap().iter().find(|one| one["recording"] == id).unwrap();
    assert_eq!(of(&live), &json!({ "recording": live, "findings": [], "pending": true }));
    assert_eq!((&of(&id)["objects"], &of(&id)["generation"], &of(&id)["findings"]), (&json!(2), &json!(1), &json!([])));

    archive.alter(&path.composite(1)).await;
    let altered = machine.run(&["recordings", "verify", "--json"]);
    assert!(!altered.status.success(), "an altered film passes for sound");
    let answer = read(&altered.stdout);
    let one = answer.as_array().unwrap().iter().find(|one| one["recording"] == id.as_str()).unwrap();
    let finding = json!([{ "key": path.composite(1), "what": format!("{} was altered", path.composite(1)) }]);
    assert_eq!(one["findings"], finding);
    let words = text(&machine.run(&["recordings", "verify", &id]).stdout);
    assert!(words.contains("NOT SOUND") && words.contains("composite.mp4.age was altered"), "{words}");
}

/// Whoever empties a recording's folder must not be able to hide it behind "not finalized yet", nor hide others behind
/// the one that cannot be read.
#[tokio::test]
async fn verify_names_what_is_gone_and_goes_on_to_the_next() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let archive = Archive::of(&machine).await;
    let mut kept = Vec::new();
    for (minutes, session) in ["sound", "rolled", "spoilt", "recordless", "odd", "emptied"].into_iter().enumerate() {
        kept.push(archive.keep(session, minutes as i64, Some(b"film")).await);
    }
    let [sound, rolled, spoilt, recordless, odd, emptied] = &kept[..] else { panic!() };
    for path in [rolled, emptied] {
        archive.remove(&path.manifest(1)).await;
        archive.remove(&path.signature(1)).await;
    }
    archive.remove(&emptied.state()).await;
    archive.write(&spoilt.manifest(1), b"{}").await;
    archive.remove(&recordless.state()).await;
    // One name that would make a chain of four thousand million.
    archive.write(&odd.manifest(u32::MAX), b"").await;

    let all = machine.run(&["recordings", "verify", "--json"]);
    assert!(!all.status.success());
    let all = read(&all.stdout);
    let findings = |path: &storage::RecordingPath| {
        let one = all.as_array().unwrap().iter().find(|one| one["recording"] == path.recording.to_string());
        let findings = one.unwrap_or_else(|| panic!("{} is not told of", path.recording))["findings"].clone();
        findings.as_array().unwrap().iter().map(|f| f["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(findings(sound), [""; 0]);
    assert_eq!(findings(recordless), [recordless.state()], "its film is whole, and no list shows it");
    assert_eq!(findings(rolled), [rolled.manifest(1)]);
    assert_eq!(findings(spoilt), [spoilt.manifest(1)]);
    assert_eq!(findings(odd), [odd.manifest(u32::MAX)]);
    assert_eq!(findings(emptied), [emptied.state()]);
}

/// The record is where a recording is looked up; whoever takes it away must not keep the rest from being verified.
#[tokio::test]
async fn verify_of_one_recording_needs_no_record() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let archive = Archive::of(&machine).await;
    let whole = archive.keep("whole", 0, Some(b"film")).await;
    let altered = archive.keep("altered", 1, Some(b"film")).await;
    let unfinished = archive.keep("unfinished", 2, None).await;
    let spoilt = archive.keep("spoilt", 3, Some(b"film")).await;
    let emptied = archive.keep("emptied", 4, None).await;
    let stored = archive.keep("stored", 5, Some(b"film")).await;
    archive.alter(&altered.composite(1)).await;
    archive.write(&spoilt.state(), b"{}").await;
    for path in [&unfinished, &emptied, &stored] {
        ledger::started(&archive.store, path, 1, NOON).await.unwrap();
    }
    let entry = ledger::Stored { epoch: 1, at: NOON, generation: 1, segments: 3, gaps: 0 };
    ledger::stored(&archive.store, &stored, &entry).await.unwrap();
    for path in [&whole, &altered, &unfinished, &emptied, &stored] {
        archive.remove(&path.state()).await;
    }
    // Something is left in its folder, and nothing in that of the emptied one.
    archive.write(&format!("{}left", unfinished.prefix()), b"something").await;
    for key in [stored.manifest(1), stored.signature(1), stored.composite(1)] {
        archive.remove(&key).await;
    }

    let never_stored = "epoch 1 was begun";
    #[rustfmt::skip]
    let table: [(&RecordingPath, Vec<String>, &str); 6] = [
        (&whole,      vec![whole.state()],                         ""),
        (&altered,    vec![altered.state(), altered.composite(1)], ""),
        (&unfinished, vec![unfinished.state()],                    never_stored),
        (&spoilt,     vec![spoilt.state()],                        ""),
        (&emptied,    vec![emptied.state()],                       never_stored),
        (&stored,     vec![stored.state()],                        ""),
    ];
    for (path, wrong, owed) in table {
        let id = path.recording.to_string();
        let told = machine.run(&["recordings", "verify", &id, "--json"]);
        assert_eq!(told.status.code(), Some(1), "{wrong:?}: {}{}", text(&told.stdout), text(&told.stderr));
        let answer = read(&told.stdout);
        assert_eq!((answer.as_array().unwrap().len(), &answer[0]["recording"]), (1, &json!(id)), "{wrong:?}: {answer}");
        let findings: Vec<_> = answer[0]["findings"].as_array().unwrap().iter().map(|f| f["key"].clone()).collect();
        assert_eq!(findings, wrong);
        assert!(owed.is_empty() == answer[0]["ledger"].is_null() && answer.to_string().contains(owed), "{answer}");
        let words = machine.run(&["recordings", "verify", &id]);
        let said = text(&words.stdout);
        assert_eq!(words.status.code(), Some(1), "{said}");
        assert!(said.contains("NOT SOUND") && said.contains(&path.state()) && said.contains(owed), "{said}");
    }
}
