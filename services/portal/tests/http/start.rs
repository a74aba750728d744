//! The service as it starts on a machine: configuration, token, shutdown.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::campus::Campus;

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config(campus: &Campus, folder: &Path, portal: &str) {
    let keys = campus.folder.path().join("keys");
    let at = |name: &str| keys.join(name).display().to_string();
    let endpoint = campus.endpoint.as_str();
    let text = format!(
        "[tenant]\nid = 'uni'\n[store]\nendpoint = '{endpoint}'\naccess_key_file = '{}'\nsecret_key_file = '{}'\n\
         [seal]\npipeline_identity_file = '{}'\nsigners_file = '{}'\n[portal]\n{portal}\n",
        at("access"),
        at("secret"),
        at("pipeline.key"),
        at("allowed_signers")
    );
    std::fs::write(folder.join("lectern.toml"), text).unwrap();
}

fn start(folder: &Path) -> Service {
    let out = std::fs::File::create(folder.join("out")).unwrap();
    let err = std::fs::File::create(folder.join("err")).unwrap();
    let mut portal = Command::new(env!("CARGO_BIN_EXE_portal"));
    portal.arg("--config").arg(folder.join("lectern.toml")).stdin(Stdio::null()).stdout(out).stderr(err);
    Service(portal.spawn().unwrap())
}

async fn answers(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "the portal does not come up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_first_start_makes_a_token_and_prints_the_link_once() {
    let campus = Campus::open().await;
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config(&campus, folder.path(), &format!("listen = '127.0.0.1:{port}'\ntoken_file = 'work/token'"));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();

    let mut service = start(folder.path());
    answers(port).await;
    let token = read("work/token").trim().to_owned();
    assert_eq!(token.len(), 40);
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("work/token"), mode("work")), (0o600, 0o700));
    let link = format!("http://127.0.0.1:{port}/?token={token}");
    assert_eq!(read("out"), format!("Open the portal: {link}\n"));
    let answer = reqwest::Client::new().get(&link).send().await.unwrap();
    // The redirect was followed without its cookie: let in once, and locked out again.
    assert_eq!((answer.status().as_u16(), answer.url().query()), (401, None));

    let stop = Command::new("kill").arg(service.0.id().to_string()).status().unwrap();
    assert!(stop.success() && service.0.wait().unwrap().success());
    assert!(!read("err").contains(&token), "the token is in the log");

    let _again = start(folder.path());
    answers(port).await;
    assert_eq!((read("work/token").trim(), read("out").as_str()), (token.as_str(), ""));
}

#[tokio::test]
async fn half_a_request_is_not_waited_for_and_a_whole_one_beside_it_is_answered() {
    let campus = Campus::open().await;
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config(&campus, folder.path(), &format!("listen = '127.0.0.1:{port}'\ntoken_file = 'token'\nhead_seconds = 1"));
    let mut service = start(folder.path());
    answers(port).await;
    let mut half = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: here\r\nx-slow: ").await.unwrap();
    let begun = Instant::now();
    let whole = reqwest::get(format!("http://127.0.0.1:{port}/healthz")).await.unwrap();
    assert!(whole.status().is_success());
    let closed = async { while half.read(&mut [0; 512]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("half a request is closed");
    assert!(begun.elapsed() >= Duration::from_millis(900), "a slow line has time: {:?}", begun.elapsed());
    let stop = Command::new("kill").arg(service.0.id().to_string()).status().unwrap();
    assert!(stop.success() && service.0.wait().unwrap().success());
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_served() {
    let campus = Campus::open().await;
    for (portal, says) in [
        ("listen = '0.0.0.0:0'", "allow_remote"),
        ("token_file = 'short'", "32 or more"),
        ("token_file = 'shared'", "can be read by others"),
        ("lisen = '127.0.0.1:1'", "lisen"),
        ("head_seconds = 0", "head_seconds"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        config(&campus, folder.path(), portal);
        let word = |name: &str, word: &str, mode| {
            std::fs::write(folder.path().join(name), word).unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        word("short", "secretword", 0o600);
        word("shared", "0123456789abcdef0123456789abcdef01234567", 0o644);
        let mut service = start(folder.path());
        assert!(!service.0.wait().unwrap().success(), "{portal}");
        let said = std::fs::read_to_string(folder.path().join("err")).unwrap();
        assert!(said.contains(says), "{portal}: {said}");
        assert!(!said.contains("secretword") && !said.contains("0123456789abcdef"), "{said}");
    }
}
