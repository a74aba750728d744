//! `lectern store probe`: a verdict for each thing, what to do, and an exit code for scripts.

use serde_json::Value;

use crate::machine::{Machine, text};

#[test]
fn the_embedded_store_is_fit_and_every_verdict_is_in_words() {
    let machine = Machine::new();
    let _server = machine.serve(machine.folder.path());
    let told = machine.run(&["store", "probe"]);
    let table = text(&told.stdout);
    assert!(told.status.success(), "{table}{}", text(&told.stderr));
    assert!(table.ends_with("The store is fit for recordings.\n"), "{table}");
    for words in
        ["create only what is absent", "lets one of 16 writers create an object", "gives the bytes", "puts together"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
    // What it cannot do, and recordings do not need.
    assert!(table.contains("without  keys    keep versions") && table.contains("To do: switch versions on"), "{table}");
    assert!(!table.contains("LACKING"), "{table}");

    let answer: Value = serde_json::from_slice(&machine.run(&["store", "probe", "--json"]).stdout).unwrap();
    assert_eq!(answer["fit"], true);
    let verdicts = answer["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 19, "{answer}");
    for verdict in verdicts {
        let required = verdict["required"] == true;
        assert!(!required || verdict["ok"] == true, "{verdict}");
        assert_eq!(verdict["what_to_do"] == "", verdict["ok"] == true, "{verdict}");
    }
    let listed = machine.at("s3/lectern-media/probe");
    assert!(!listed.exists(), "something was left in {}", listed.display());
}

#[test]
fn a_store_that_is_away_and_a_bucket_that_is_missing_fail_with_what_to_do() {
    let machine = Machine::new();
    let away = machine.run(&["store", "probe"]);
    assert!(!away.status.success() && text(&away.stderr).contains("does not answer"), "{}", text(&away.stderr));
    machine.edit("create_buckets = true", "create_buckets = false");
    let _server = machine.serve(machine.folder.path());
    let missing = machine.run(&["store", "probe"]);
    let told = text(&missing.stderr);
    assert!(!missing.status.success() && told.contains("store.create_buckets = true"), "{told}");
}
