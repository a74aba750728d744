//! A private RabbitMQ for tests: Debian's own server on free loopback ports, everything it writes in one temporary
//! folder. Needs std and `tempfile` alone, so that other packages can include this file by `#[path]`.
//!
//! The Erlang VM and its port mapper (epmd) are direct children, stopped by their process ids when the last handle goes.
//! Virtual hosts separate the tests that share a server.
#![allow(clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.
#![allow(dead_code, unreachable_pub)] // Each includer uses a part of it; in a library the items are public.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The one user, administrator of every virtual host.
pub const USER: &str = "lectern";
pub const PASSWORD: &str = "only-for-tests";
/// RabbitMQ's form of [`PASSWORD`]: base64 of a four byte salt and SHA-256 over salt and password.
const PASSWORD_HASH: &str = "dGVzdOe/PPDn82f0g/dNfY95uWNXKfdccR9LyyZlibmnm3tV";
/// Virtual hosts beside `/`: `v0`, `v1`, …
const VHOSTS: usize = 24;
/// A cold start takes 4 s on an idle core; eight builds may run beside this one.
const START_DEADLINE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// A running server. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Server {
    dir: TempDir,
    ports: Ports,
    vhosts: AtomicUsize,
    epmd: Mutex<Option<Child>>,
    node: Mutex<Option<Child>>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    dist: u16,
    epmd: u16,
}

impl Ports {
    /// Three free ports. They are free, not ours, until the server listens: `start` tries again with others.
    fn free() -> Self {
        let held = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port"));
        let [amqp, dist, epmd] = held.map(|l| l.local_addr().expect("a bound address").port());
        Self { amqp, dist, epmd }
    }
}

impl Server {
    /// The server that the tests of this process share; stops with the last handle.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server of one's own, for tests that stop and kill it.
    pub fn start() -> Self {
        let mut failure = String::new();
        for _ in 0..3 {
            let server = Self::prepare(Ports::free());
            match server.launch() {
                Ok(()) => return server,
                Err(e) => failure = e,
            }
        }
        panic!("rabbitmq-server did not start (Debian package rabbitmq-server 3.10): {failure}");
    }

    /// Stops cleanly, as an upgrade does. What is durable stays.
    pub fn stop(&self) {
        end(&self.node, "-TERM");
    }

    /// Kills at once, as a power cut does.
    pub fn kill(&self) {
        end(&self.node, "-KILL");
    }

    /// Starts again over the same data and ports.
    pub fn again(&self) {
        self.launch().expect("the server starts again");
    }

    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The next virtual host that no test of this process has used, as a URL without credentials.
    pub fn fresh_url(&self) -> String {
        let n = self.vhosts.fetch_add(1, Ordering::Relaxed);
        assert!(n < VHOSTS, "more virtual hosts are wanted: raise VHOSTS");
        self.url(&format!("v{n}"))
    }

    /// `amqp://127.0.0.1:{port}/{vhost}`; the virtual host `/` is written `%2f`.
    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://127.0.0.1:{}/{vhost}", self.ports.amqp)
    }

    /// A file that holds [`PASSWORD`] and a line end.
    pub fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    /// Runs `rabbitmqctl` against this node and returns what it prints.
    pub fn ctl(&self, args: &[&str]) -> String {
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl");
        let out = self.environment(&mut command).arg("--quiet").args(args).output().expect("rabbitmqctl runs");
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "rabbitmqctl {args:?}: {err}{}", String::from_utf8_lossy(&out.stdout));
        String::from_utf8(out.stdout).expect("rabbitmqctl prints UTF-8")
    }

    /// Every file under the server's data folder that holds `needle`: what touched the disk.
    pub fn files_holding(&self, needle: &[u8]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().join("mnesia")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read(&path).is_ok_and(|text| text.windows(needle.len()).any(|w| w == needle)) {
                    found.push(path);
                }
            }
        }
        found
    }

    fn prepare(ports: Ports) -> Self {
        let dir = tempfile::Builder::new().prefix("rabbitmq-").tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        for folder in ["home", "mnesia", "log"] {
            fs::create_dir(at(folder)).expect("a folder");
        }
        write(&at("home/.erlang.cookie"), "only-for-tests");
        fs::set_permissions(at("home/.erlang.cookie"), fs::Permissions::from_mode(0o400)).expect("a private cookie");
        write(&at("plugins"), "[].");
        write(&at("env.conf"), "");
        write(&at("password"), &format!("{PASSWORD}\n"));
        write(&at("definitions.json"), &definitions());
        write(
            &at("rabbitmq.conf"),
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{}\n\
                 load_definitions = {}\n\
                 log.file = false\n\
                 log.console = true\n\
                 raft.wal_max_size_bytes = 16777216\n\
                 vm_memory_high_watermark.absolute = 1GB\n\
                 disk_free_limit.absolute = 50MB\n",
                ports.amqp,
                at("definitions.json").display()
            ),
        );
        Self { dir, ports, vhosts: AtomicUsize::new(0), epmd: Mutex::default(), node: Mutex::default() }
    }

    fn launch(&self) -> Result<(), String> {
        let log = || File::options().create(true).append(true).open(self.dir.path().join("server.log"));
        let mut epmd = self.epmd.lock().unwrap_or_else(PoisonError::into_inner);
        if epmd.is_none() {
            // In the foreground and before the node, which would otherwise start a daemon that outlives the test.
            let child = Command::new("epmd")
                .args(["-address", "127.0.0.1", "-port", &self.ports.epmd.to_string()])
                .stdin(Stdio::null())
                .stdout(log().expect("a log"))
                .stderr(log().expect("a log"))
                .spawn()
                .expect("epmd (Debian package erlang-base)");
            *epmd = Some(child);
        }
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        let child = self
            .environment(&mut command)
            // "Allow input" makes the script become the Erlang VM instead of its parent; -noinput takes the input away.
            .envs([("RABBITMQ_ALLOW_INPUT", "1"), ("RABBITMQ_SERVER_START_ARGS", "-noinput")])
            // One scheduler that never spins, and Erlang's own port on loopback too.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
            )
            .stdin(Stdio::null())
            .stdout(log().expect("a log"))
            .stderr(log().expect("a log"))
            .spawn()
            .expect("/usr/lib/rabbitmq/bin/rabbitmq-server (Debian package rabbitmq-server)");
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        self.wait_until_it_listens()
    }

    /// RabbitMQ opens its listeners as the last step of its start, when queues are recovered.
    fn wait_until_it_listens(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.amqp));
        let why = loop {
            let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
            match node.as_mut().map(Child::try_wait) {
                Some(Ok(None)) => {}
                other => break format!("it ended: {other:?}"),
            }
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                break format!("not listening after {START_DEADLINE:?}");
            }
            drop(node);
            std::thread::sleep(Duration::from_millis(50));
        };
        let log = fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(25).collect();
        Err(format!("{why}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n")))
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let at = |name: &str| self.dir.path().join(name);
        command
            .current_dir(self.dir.path())
            .env("HOME", at("home"))
            // The name holds the port, so that no two nodes on a machine are called alike.
            .env("RABBITMQ_NODENAME", format!("lectern{}@localhost", self.ports.amqp))
            .env("RABBITMQ_DIST_PORT", self.ports.dist.to_string())
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            // Keeps the machine's own /etc/rabbitmq out of it.
            .env("RABBITMQ_CONF_ENV_FILE", at("env.conf"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&self.node, "-KILL");
        end(&self.epmd, "-KILL");
    }
}

fn write(path: &Path, text: &str) {
    File::create(path).and_then(|mut f| f.write_all(text.as_bytes())).expect("a file");
}

/// Sends `signal` and waits until the process is gone.
fn end(slot: &Mutex<Option<Child>>, signal: &str) {
    let Some(mut child) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    // Not yet waited for, so the id is still this child's.
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
    let deadline = Instant::now() + STOP_DEADLINE;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn definitions() -> String {
    let names: Vec<_> = std::iter::once("/".to_owned()).chain((0..VHOSTS).map(|n| format!("v{n}"))).collect();
    let list = |each: &dyn Fn(&String) -> String| names.iter().map(each).collect::<Vec<_>>().join(",");
    let vhosts = list(&|name| format!(r#"{{"name":"{name}"}}"#));
    let permissions =
        list(&|name| format!(r#"{{"user":"{USER}","vhost":"{name}","configure":".*","write":".*","read":".*"}}"#));
    format!(
        r#"{{"users":[{{"name":"{USER}","password_hash":"{PASSWORD_HASH}","hashing_algorithm":"rabbit_password_hashing_sha256","tags":"administrator","limits":{{}}}}],"vhosts":[{vhosts}],"permissions":[{permissions}]}}"#
    )
}
