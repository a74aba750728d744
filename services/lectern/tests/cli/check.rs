//! `lectern check-config` names every problem and what to do.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::machine::{Machine, finding, lectern, text};

fn check(machine: &Machine) -> Value {
    let checked = machine.run(&["check-config", "--json"]);
    serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{}", text(&checked.stderr)))
}

#[test]
fn what_is_out_of_reach_is_a_problem_and_what_is_well_is_not() {
    let machine = Machine::new();
    let checked = machine.run(&["check-config", "--json"]);
    assert!(!checked.status.success());
    let answer: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let problems: Vec<_> = answer["findings"].as_array().unwrap().iter().filter(|f| f["ok"] == false).collect();
    let named: Vec<_> = problems.iter().map(|f| f["what"].as_str().unwrap()).collect();
    assert_eq!(named, ["[broker]", "[meeting.campus]", "[transcriber]"], "{answer}");
    assert_eq!(answer["problems"], 3);
    assert!(problems.iter().all(|f| !f["problem"].as_str().unwrap().is_empty()), "{answer}");
}

/// A service that is started from elsewhere, as by systemd, must find what the person found who wrote the file.
#[test]
fn every_path_counts_from_the_configurations_folder() {
    let machine = Machine::new();
    machine.edit("# password_file = ", "password_file = ");
    machine.edit("# api_secret_file = ", "api_secret_file = ");
    let model =
        format!("[transcriber]\n[transcriber.models.nb]\npath = 'models/nb.bin'\nsha256 = '{}'", "0".repeat(64));
    machine.edit("[transcriber]", &model);
    let files = [
        ("[store] key files", "keys/s3-access-key"),
        ("[seal] pipeline_identity_file", "keys/pipeline.key"),
        ("[seal] signing_key_file", "keys/signing.key"),
        ("[seal] signers_file", "keys/allowed_signers"),
        ("[broker]", "keys/rabbitmq-password"),
        ("[meeting.campus]", "keys/janus-api-secret"),
        ("[bridge]", "policy.toml"),
        ("[recorder]", "keys/ingest-token"),
        ("[transcriber]", "models/nb.bin"),
        ("[origin]", "keys/ingest-token"),
    ];
    let elsewhere = tempfile::tempdir().unwrap();
    let problem = |answer: &Value, what: &str| finding(answer, what)["problem"].as_str().unwrap().to_owned();
    let answer = |output: std::process::Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };

    for (_, file) in &files[4..6] {
        std::fs::write(machine.at(file), "word").unwrap();
    }
    std::fs::write(machine.at("portal-token"), "short").unwrap();
    std::fs::set_permissions(machine.at("portal-token"), PermissionsExt::from_mode(0o600)).unwrap();
    machine.edit("token_file = \"keys/portal-token\"", "token_file = \"portal-token\"");
    // By a relative path of its own: the folder's name from the folder above.
    let (above, name) = (machine.folder.path().parent().unwrap(), machine.folder.path().file_name().unwrap());
    let config = format!("{}/lectern.toml", name.to_str().unwrap());
    let with = answer(lectern(above, &["--config", &config, "check-config", "--json"]));
    for (what, file) in files.iter().filter(|(what, _)| *what != "[transcriber]") {
        let told = problem(&with, what);
        assert!(!told.contains(file) && !told.contains("No such file"), "{what}: {told}");
    }
    let token = machine.at("portal-token").display().to_string();
    assert!(problem(&with, "[portal]").contains(&token), "{with}");
    assert!(!with.to_string().contains("short\""), "{with}");

    for (_, file) in files.iter().filter(|(_, file)| machine.at(file).exists()).collect::<Vec<_>>() {
        let _ = std::fs::remove_file(machine.at(file));
    }
    let without = answer(machine.run_from(elsewhere.path(), &["check-config", "--json"]));
    for (what, file) in files {
        let told = problem(&without, what);
        assert!(told.contains(&machine.at(file).display().to_string()), "{what} looks elsewhere: {told}");
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "something was left there");
}

#[test]
fn one_recipient_is_refused_and_a_pasted_secret_is_not_repeated() {
    let machine = Machine::new();
    let line = machine.config().lines().find(|line| line.starts_with("recipients")).unwrap().to_owned();
    let first = line.split('"').nth(1).unwrap();
    let secret = std::fs::read_to_string(machine.at("keys/archive.key")).unwrap();
    let secret = secret.lines().find(|l| l.starts_with("AGE-SECRET-KEY")).unwrap();
    let one = format!("recipients = [\"{first}\"]");
    let pasted = format!("recipients = [\"{first}\", \"{secret}\"]");
    for (from, to) in [(&line, &one), (&one, &pasted)] {
        machine.edit(from, to);
        let checked = text(&machine.run(&["check-config"]).stdout);
        let verdict = checked.lines().find(|l| l.contains("[seal] recipients")).unwrap();
        assert!(verdict.starts_with("PROBLEM"), "{verdict}");
        assert!(!checked.contains(&secret[15..]), "the secret is repeated");
    }
}

fn set_mode(file: &std::path::Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Each would be found out by a service that does not start, or by a recording that nobody can finish.
#[test]
fn a_mistake_is_found_in_the_section_where_it_stands() {
    let other = Machine::new();
    let key = |name: &str| std::fs::read(other.at(name)).unwrap();
    type Mistake<'a> = (&'a str, &'a str, Box<dyn Fn(&Machine) + 'a>);
    #[rustfmt::skip]
    let table: Vec<Mistake> = vec![
        ("[tenant]",                          "id",            Box::new(|m| m.edit("\"example\"", "\"ex ample\""))),
        ("[portal]",                          "allow_remote",  Box::new(|m| m.edit("127.0.0.1:7081", "0.0.0.0:7081"))),
        ("[portal]",                          "origin_url",    Box::new(|m| m.edit("origin_url = \"http", "origin_url = \"ftp"))),
        ("[origin]",                          "shorter than",  Box::new(|m| std::fs::write(m.at("keys/ingest-token"), "abc").unwrap())),
        ("[recorder]",                        "slots",         Box::new(|m| m.edit("slots = 1", "slots = 0"))),
        ("[recorder]",                        "TLS",           Box::new(|m| m.edit("origin = \"http:", "origin = \"https:"))),
        ("[seal] pipeline_identity_file",     "recipients",    Box::new(|m| std::fs::write(m.at("keys/pipeline.key"), key("keys/pipeline.key")).unwrap())),
        ("[seal] pipeline_identity_file",     "finalizer",     Box::new(|m| m.edit("pipeline_identity_file", "# pipeline_identity_file"))),
        ("[seal] signers_file knows signing_key_file", "",     Box::new(|m| std::fs::write(m.at("keys/signing.key"), key("keys/signing.key")).unwrap())),
        ("[seal] signing_key_file is private", "chmod 600",    Box::new(|m| set_mode(&m.at("keys/signing.key"), 0o644))),
        ("[recorder]",                        "veryfast",      Box::new(|m| m.edit("\"veryfast\"", "\"warp\""))),
        ("[meeting]",                         "[meeting.",     Box::new(|m| { m.edit("[meeting.campus]\nplatform = \"janus\"\nurl", "#"); })),
        ("[bridge]",                          "rule 1",        Box::new(|m| std::fs::write(m.at("policy.toml"), "[[rule]]\n").unwrap())),
        ("[finalizer]",                       "slot",          Box::new(|m| m.edit("[finalizer]", "[finalizer]\nslot = 1"))),
    ];
    for (what, says, mistake) in table {
        let machine = Machine::new();
        mistake(&machine);
        let answer = check(&machine);
        let found = finding(&answer, what);
        let problem = found["problem"].as_str().unwrap();
        assert!(found["ok"] == false && problem.contains(says), "{what} with {says}: {answer}");
    }
}

/// Whoever takes the # away from a line gets what the line says.
#[test]
fn every_setting_of_the_sample_exists() {
    let machine = Machine::new();
    let config = machine.config();
    let is_setting = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        let named = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        named || (line.starts_with('[') && line.ends_with(']'))
    };
    let bare = |line: &str| line.strip_prefix("# ").filter(|rest| is_setting(rest)).map(str::to_owned);
    let all: Vec<_> = config.lines().map(|line| bare(line).unwrap_or_else(|| line.to_owned())).collect();
    let taken = config.lines().filter(|line| bare(line).is_some()).count();
    assert!(taken >= 30, "only {taken} settings stand behind a #");
    std::fs::write(machine.at("lectern.toml"), all.join("\n")).unwrap();
    let answer = check(&machine);
    for wrong in ["unknown", "missing field", "invalid type", "not TOML"] {
        assert!(!answer.to_string().contains(wrong), "{answer}");
    }
    assert_eq!(
        (&finding(&answer, "[origin]")["ok"], &finding(&answer, "[portal]")["ok"]),
        (&true.into(), &true.into())
    );
}
