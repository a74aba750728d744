//! A folder as `lectern init` makes it, with ports of its own, and its embedded S3.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) s3: SocketAddr,
}

/// Runs `lectern` with `args` in `folder`.
pub(crate) fn lectern(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lectern")).current_dir(folder).args(args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is said of one thing in the answer of `check-config --json`.
pub(crate) fn finding<'a>(answer: &'a Value, what: &str) -> &'a Value {
    let all = answer["findings"].as_array().unwrap();
    all.iter().find(|f| f["what"] == what).unwrap_or_else(|| panic!("nothing was said of {what}: {answer}"))
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = lectern(folder.path(), &["init", "."]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        let s3 = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let machine = Self { folder, s3 };
        machine.edit("127.0.0.1:7090", &s3.to_string());
        machine.edit("127.0.0.1:5672", "127.0.0.1:1");
        machine.edit("127.0.0.1:8188", "127.0.0.1:1");
        machine
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> String {
        std::fs::read_to_string(self.at("lectern.toml")).unwrap()
    }

    /// Changes the configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let config = self.config();
        assert!(config.contains(from), "the configuration has no {from}");
        std::fs::write(self.at("lectern.toml"), config.replace(from, to)).unwrap();
    }

    /// In its own folder.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        lectern(self.folder.path(), args)
    }

    /// From a folder that has nothing to do with it.
    pub(crate) fn run_from(&self, elsewhere: &Path, args: &[&str]) -> Output {
        let config = self.at("lectern.toml").display().to_string();
        lectern(elsewhere, &[&["--config", &config], args].concat())
    }

    /// The embedded S3, started from `elsewhere`.
    pub(crate) fn serve(&self, elsewhere: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lectern"));
        command.current_dir(elsewhere).arg("--config").arg(self.at("lectern.toml")).args(["service", "s3"]);
        let server = Server(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.s3).is_err() {
            assert!(Instant::now() < deadline, "the embedded S3 does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

/// Ends the server it started, by its process id, also when a test fails.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
