//! The service as it starts on a machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path, origin: &str) -> Service {
    std::fs::write(folder.join("lectern.toml"), format!("[origin]\n{origin}\n")).unwrap();
    let err = std::fs::File::create(folder.join("err")).unwrap();
    let mut origin = Command::new(env!("CARGO_BIN_EXE_origin"));
    origin.arg("--config").arg(folder.join("lectern.toml")).stdin(Stdio::null()).stderr(err);
    Service(origin.spawn().unwrap())
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "0123456789abcdef0123\n").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut service =
        start(folder.path(), &format!("listen = '127.0.0.1:{port}'\ningest_token_file = 'token'\nhead_seconds = 1"));
    let url = format!("http://127.0.0.1:{port}/healthz");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
        assert!(Instant::now() < deadline, "the origin does not come up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Half a request is not waited for; a whole one beside it is answered meanwhile.
    let mut half = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: here\r\nx-slow: ").await.unwrap();
    let begun = Instant::now();
    let closed = async { while half.read(&mut [0; 512]).await.is_ok_and(|read| read > 0) {} };
    assert!(reqwest::get(&url).await.unwrap().status().is_success());
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("half a request is closed");
    assert!(begun.elapsed() >= Duration::from_millis(900), "a slow line has time: {:?}", begun.elapsed());
    assert!(Command::new("kill").arg(service.0.id().to_string()).status().unwrap().success());
    assert!(service.0.wait().unwrap().success());
    assert!(!std::fs::read_to_string(folder.path().join("err")).unwrap().contains("0123456789abcdef"));
}

#[test]
fn what_is_wrong_is_said_before_anything_is_served() {
    for (origin, says) in [
        ("", "ingest_token_file is not set"),
        ("ingest_token_file = 'absent'", "absent"),
        ("ingest_token_file = 'short'", "shorter than 20"),
        ("lisen = '127.0.0.1:1'", "lisen"),
        ("ingest_token_file = 'long'\nhead_seconds = 0", "head_seconds"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("short"), "secretword").unwrap();
        std::fs::write(folder.path().join("long"), "0123456789abcdef0123").unwrap();
        let mut service = start(folder.path(), origin);
        assert!(!service.0.wait().unwrap().success(), "{origin}");
        let said = std::fs::read_to_string(folder.path().join("err")).unwrap();
        assert!(said.contains(says) && !said.contains("secretword"), "{origin}: {said}");
    }
}
