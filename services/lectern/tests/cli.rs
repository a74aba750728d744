//! The command line as a person and a script meet it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

fn lectern(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lectern")).current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder as `lectern init` makes it, with ports of its own.
fn initialised() -> (tempfile::TempDir, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let made = lectern(folder.path(), &["init", "."]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let s3 = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = folder.path().join("lectern.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = config.replace("127.0.0.1:7090", &s3.to_string()).replace("127.0.0.1:5672", "127.0.0.1:1");
    std::fs::write(&path, config.replace("127.0.0.1:8188", "127.0.0.1:1")).unwrap();
    (folder, s3)
}

/// Ends the server it started, by its process id, also when a test fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn s3(folder: &Path, at: SocketAddr) -> Server {
    let child =
        Command::new(env!("CARGO_BIN_EXE_lectern")).current_dir(folder).args(["service", "s3"]).spawn().unwrap();
    let server = Server(child);
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(at).is_err() {
        assert!(Instant::now() < deadline, "the embedded S3 does not listen");
        std::thread::yield_now();
    }
    server
}

#[test]
fn init_makes_private_files_and_overwrites_nothing() {
    let (folder, _) = initialised();
    for secret in ["archive.key", "pipeline.key", "signing.key", "s3-secret-key", "ingest-token"] {
        let mode = std::fs::metadata(folder.path().join("keys").join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} can be read by others");
    }
    let again = lectern(folder.path(), &["init", "."]);
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("never overwritten"), "{}", text(&again.stderr));
}

#[test]
fn check_config_names_every_problem_and_what_to_do() {
    let (folder, _) = initialised();
    let checked = lectern(folder.path(), &["check-config", "--json"]);
    assert!(!checked.status.success());
    let answer: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let of = |what: &str| {
        let all = answer["findings"].as_array().unwrap();
        all.iter().find(|f| f["what"] == what).unwrap_or_else(|| panic!("nothing was said of {what}: {answer}")).clone()
    };
    assert_eq!(of("[seal] recipients")["ok"], true, "{answer}");
    assert_eq!(of("GStreamer elements")["ok"], true, "{answer}");
    assert_eq!(of("[broker]")["ok"], false);
    assert_eq!(of("[meeting.campus]")["ok"], false);
}

#[test]
fn one_recipient_is_refused_and_a_pasted_secret_is_not_repeated() {
    let (folder, _) = initialised();
    let path = folder.path().join("lectern.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let line = config.lines().find(|line| line.starts_with("recipients")).unwrap().to_owned();
    let first = line.split('"').nth(1).unwrap();

    std::fs::write(&path, config.replace(&line, &format!("recipients = [\"{first}\"]"))).unwrap();
    let checked = text(&lectern(folder.path(), &["check-config"]).stdout);
    let verdict = checked.lines().find(|l| l.contains("[seal] recipients")).unwrap();
    assert!(verdict.starts_with("PROBLEM"), "{verdict}");

    let secret = std::fs::read_to_string(folder.path().join("keys/archive.key")).unwrap();
    let secret = secret.lines().find(|l| l.starts_with("AGE-SECRET-KEY")).unwrap();
    std::fs::write(&path, config.replace(&line, &format!("recipients = [\"{first}\", \"{secret}\"]"))).unwrap();
    let checked = text(&lectern(folder.path(), &["check-config"]).stdout);
    assert!(checked.lines().any(|l| l.starts_with("PROBLEM") && l.contains("[seal] recipients")), "{checked}");
    assert!(!checked.contains(&secret[15..]), "the secret is repeated");
}

#[test]
fn a_misspelt_section_ends_every_command_with_its_name() {
    let (folder, _) = initialised();
    let path = folder.path().join("lectern.toml");
    let config = std::fs::read_to_string(&path).unwrap().replace("[recorder]", "[recroder]");
    std::fs::write(&path, config).unwrap();
    let up = lectern(folder.path(), &["up"]);
    assert!(!up.status.success());
    assert!(text(&up.stderr).contains("[recroder]"), "{}", text(&up.stderr));
}

#[test]
fn an_empty_store_lists_nothing_in_words_and_in_json() {
    let (folder, at) = initialised();
    let _server = s3(folder.path(), at);
    let list = lectern(folder.path(), &["recordings", "list"]);
    assert!(list.status.success(), "{}", text(&list.stderr));
    assert_eq!(text(&list.stdout), "No recordings yet.\n");
    let list = lectern(folder.path(), &["recordings", "list", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&list.stdout).unwrap(), serde_json::json!([]));

    let unknown = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    let show = lectern(folder.path(), &["recordings", "show", unknown]);
    assert!(!show.status.success());
    assert!(text(&show.stderr).contains("lectern recordings list"), "{}", text(&show.stderr));
}

#[test]
fn an_unreachable_store_says_which() {
    let (folder, _) = initialised();
    let list = lectern(folder.path(), &["recordings", "list"]);
    assert!(!list.status.success());
    assert!(text(&list.stderr).contains("does not answer"), "{}", text(&list.stderr));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = lectern(Path::new("."), &["completions", shell]);
        assert!(text(&script.stdout).contains("check-config"), "{shell}");
    }
}
