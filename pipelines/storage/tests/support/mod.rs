//! Two S3 servers for tests, each in a folder of its own on a free port of 127.0.0.1: the embedded one, and versitygw
//! as a process. A missing versitygw fails the test and says how to get it.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod liar;
pub(crate) mod proxy;
pub(crate) mod raw;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use claim::{Phase, Record};
use events::{LayoutName, PolicyId, RecordingId, RoomId, SessionId, TenantId};
use media::WallTime;
use storage::embedded::Embedded;
use storage::store::Config;
use storage::{RecordingPath, Store};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const ACCESS: &str = "test-access";
pub(crate) const SECRET: &str = "test-secret-that-must-not-be-printed";

/// Before 1.8.0 two writers could both win a race under a condition; the store's check refuses those.
const VERSITYGW: &str = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";

/// A server that ends when dropped.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) dir: TempDir,
    running: Running,
}

enum Running {
    Embedded(CancellationToken, JoinHandle<()>),
    Process(Child),
}

impl Drop for Server {
    fn drop(&mut self) {
        match &mut self.running {
            Running::Embedded(stop, task) => {
                stop.cancel();
                task.abort();
            }
            Running::Process(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
}

impl Server {
    pub(crate) async fn store(&self) -> Store {
        Store::connect(&self.config).await.unwrap()
    }

    /// Ends an embedded server, and waits until it has left its folder.
    pub(crate) async fn stop(&mut self) {
        let Running::Embedded(stop, task) = &mut self.running else { panic!("not embedded") };
        stop.cancel();
        task.await.unwrap();
    }

    pub(crate) async fn store_without_buckets(&self) -> Store {
        Store::connect(&Config { create_buckets: false, ..self.config.clone() }).await.unwrap()
    }
}

pub(crate) fn config(dir: &Path, endpoint: String) -> Config {
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        Some(path)
    };
    Config {
        endpoint: Some(endpoint),
        access_key_file: file("access", ACCESS),
        secret_key_file: file("secret", SECRET),
        create_buckets: true,
        ..Config::default()
    }
}

pub(crate) async fn embedded() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let server = Embedded::bind(loopback(0), &dir.path().join("s3"), ACCESS, SECRET).await.unwrap();
    let config = config(dir.path(), server.endpoint());
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(stop.clone()));
    Server { config, dir, running: Running::Embedded(stop, task) }
}

pub(crate) async fn versitygw() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("s3");
    std::fs::create_dir(&folder).unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    // A port that was free a moment ago may be taken; then versitygw exits and another is tried.
    for _ in 0..5 {
        let address = TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap();
        let mut child = Command::new(find_versitygw())
            .args(["--quiet", "--access", ACCESS, "--secret", SECRET, "--port", &address.to_string(), "posix"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).is_ok() {
                let config = config(dir.path(), format!("http://{address}"));
                return Server { config, dir, running: Running::Process(child) };
            }
            assert!(Instant::now() < deadline, "versitygw did not open its port in 20 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("versitygw ends at once: {}", std::fs::read_to_string(dir.path().join("log")).unwrap());
}

fn find_versitygw() -> PathBuf {
    let cached = std::env::home_dir().map(|home| home.join(".cache/lectern/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = cached.into_iter().chain(std::env::split_paths(&path));
    let found = folders.map(|dir| dir.join("versitygw")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("versitygw is missing; get it with: GOBIN=$HOME/.cache/lectern/bin go install {VERSITYGW}")
    })
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Runs the same test over both servers, in a module for each.
#[macro_export]
macro_rules! on_both_servers {
    ($($(#[$doc:meta])* async fn $name:ident($store:ident: storage::Store) $body:block)*) => {
        on_both_servers!(@ embedded, $($(#[$doc])* $name $store $body)*);
        on_both_servers!(@ versitygw, $($(#[$doc])* $name $store $body)*);
    };
    (@ $server:ident, $($(#[$doc:meta])* $name:ident $store:ident $body:block)*) => {
        mod $server {
            use super::*;
            $($(#[$doc])*
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let server = support::$server().await;
                let $store = server.store().await;
                $body
            })*
        }
    };
}

/// A recording's place. `name` tells recordings of one test apart.
pub(crate) fn path(name: &str) -> RecordingPath {
    let tenant = TenantId::new("uni").unwrap();
    let id = RecordingId::derive(&tenant, &SessionId::new(name).unwrap(), &PolicyId::new("p").unwrap());
    RecordingPath { tenant, year: 2026, recording: id }
}

pub(crate) fn record(path: &RecordingPath, owner: &str) -> Record {
    Record {
        recording: path.recording,
        tenant: path.tenant.clone(),
        platform: events::Platform::Janus,
        instance: "main".into(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new("s").unwrap(),
        policy: PolicyId::new("p").unwrap(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        retention_days: 30,
        webinar: false,
        basis: events::Basis::PublicTask,
        max_seconds: 0,
        phase: Phase::Claimed,
        epoch: 1,
        owner: owner.into(),
        beat: 0,
        idle: 0,
        created: WallTime(1_795_372_178_000_000),
        changed: WallTime(1_795_372_178_000_000),
        generation: None,
        reason: None,
    }
}

/// Bytes that differ by `seed` and look random enough.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
