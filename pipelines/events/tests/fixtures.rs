//! `samples/events`: one message of every kind, read and written, against the schemas made from the types.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use events::{Body, Event, contract};
use serde_json::Value;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder("../../samples/events")).into_iter().flatten().flatten();
    let json = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let name = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    json.map(|path| (name(&path), fs::read(&path).unwrap_or_default())).collect()
}

#[test]
fn every_kind_has_a_fixture_and_every_fixture_a_kind() {
    let found: BTreeSet<_> = fixtures().into_iter().map(|(name, _)| name).collect();
    let wanted: BTreeSet<_> = Body::KINDS.iter().map(|kind| (*kind).to_owned()).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_fixture_is_read_and_written_without_loss() {
    for (name, text) in fixtures() {
        let event = Event::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(event.body.kind(), name);
        let (was, is): (Value, Value) =
            (serde_json::from_slice(&text).unwrap(), serde_json::from_slice(&event.to_json()).unwrap());
        assert_eq!(is, was, "{name}");
    }
}

/// Backward: a message of before the rule could be named. Forward: an attribute of tomorrow passes, tomorrow's data not.
#[test]
fn a_wish_is_read_as_it_was_and_as_it_may_become() {
    let schema = jsonschema::validator_for(&contract::schema("recording.wanted").unwrap()).unwrap();
    let text = fs::read(folder("../../samples/events/recording.wanted.json")).unwrap();
    let named: Value = serde_json::from_slice(&text).unwrap();
    let read = |message: &Value| Event::parse(message.to_string().as_bytes());
    let mut plain = named.clone();
    plain["data"].as_object_mut().unwrap().remove("policy");
    assert!(schema.is_valid(&plain));
    let event = read(&plain).unwrap();
    assert!(
        matches!(&event.body, Body::RecordingWanted(wish) if wish.policy.is_none() && wish.requested_by == "u-7f3a")
    );
    assert_eq!(serde_json::from_slice::<Value>(&event.to_json()).unwrap(), plain, "and written as it was read");
    let mut later = named.clone();
    later["traceparent"] = "00-1".into();
    assert_eq!(read(&later).unwrap(), read(&named).unwrap());
    later["data"]["layout"] = "grid".into();
    assert!(read(&later).is_err() && !schema.is_valid(&later), "what is not understood is not half done");
}

#[test]
fn a_fixture_satisfies_its_schema_and_a_stranger_in_its_data_does_not() {
    for (name, text) in fixtures() {
        let schema = contract::schema(&name).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut message: Value = serde_json::from_slice(&text).unwrap();
        let errors: Vec<_> = validator.iter_errors(&message).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        message["data"]["stranger"] = 1.into();
        assert!(!validator.is_valid(&message), "{name} admits unknown data");
    }
}

#[test]
fn the_written_contract_is_what_the_types_say() {
    for kind in Body::KINDS {
        compare(&folder("schemas").join(format!("{kind}.v1.json")), &contract::schema(kind).unwrap());
    }
    compare(&folder("asyncapi.json"), &contract::asyncapi());
    let written = fs::read_dir(folder("schemas")).unwrap().count();
    assert_eq!(written, Body::KINDS.len(), "schemas/ holds files of kinds that are gone");
}

/// `UPDATE_GOLDEN=1 cargo test -p events` writes the files anew; review them like code.
fn compare(path: &Path, made: &Value) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{made:#}\n")).unwrap();
    }
    let written: Value = serde_json::from_slice(&fs::read(path).unwrap_or_default()).unwrap_or_default();
    assert!(written == *made, "{} differs from the types; UPDATE_GOLDEN=1 writes it anew", path.display());
}
