//! Lectern itself, as an operator meets it: `lectern init`, a configuration, `lectern up`, and the command line.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use events::RecordingId;
use serde_json::Value;

use super::rabbitmq::{RabbitMq, USER};
use super::{START, free_ports, janus};
use crate::portal::Portal;
use crate::process::{Process, Program, sibling, until};

/// The tenant of all test recordings.
pub const TENANT: &str = "test";
/// The name of the Janus in the configuration.
pub const INSTANCE: &str = "campus";

/// An installation in a folder of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Lectern {
    program: PathBuf,
    folder: PathBuf,
    process: Option<Process>,
    origin: u16,
    portal: u16,
    s3: u16,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Answer {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Lectern {
    /// Makes keys and configuration in `folder`, which must not hold any yet: `lectern init`, then this run's addresses
    /// and the given settings (TOML, laid over what `init` wrote), and `policy` as the policy file.
    ///
    /// # Errors
    /// When `lectern` is not built or refuses.
    pub fn init(folder: &Path, broker: &RabbitMq, janus: &str, settings: &str, policy: &str) -> anyhow::Result<Self> {
        let [origin, portal, s3] = free_ports()?;
        let program = sibling("lectern")?;
        let made = Command::new(&program).arg("init").arg(folder).output()?;
        ensure!(made.status.success(), "lectern init: {}", String::from_utf8_lossy(&made.stderr));
        let folder = folder.canonicalize()?;
        fs::create_dir_all(folder.join("tmp"))?;

        let file = folder.join("lectern.toml");
        let mut config: toml::Table = fs::read_to_string(&file)?.parse()?;
        let ours = format!(
            r#"
            tenant.id = "{TENANT}"
            broker = {{ url = "{}", user = "{USER}", password_file = {:?} }}
            store.endpoint = "http://127.0.0.1:{s3}"
            up.s3.listen = "127.0.0.1:{s3}"
            meeting.{INSTANCE}.url = "{janus}"
            bridge.janus.{INSTANCE}.exchange = "{}"
            recorder.origin = "http://127.0.0.1:{origin}"
            origin.listen = "127.0.0.1:{origin}"
            portal = {{ listen = "127.0.0.1:{portal}", origin_url = "http://127.0.0.1:{origin}" }}
            "#,
            broker.url(),
            broker.password_file(),
            janus::EXCHANGE,
        );
        overlay(&mut config, ours.parse()?);
        fs::write(&file, toml::to_string(&config)?)?;
        fs::write(folder.join("policy.toml"), policy)?;
        let lectern = Self { program, folder, process: None, origin, portal, s3 };
        lectern.configure(settings)?;
        Ok(lectern)
    }

    /// Lays further settings (TOML) over the configuration; for the next start.
    ///
    /// # Errors
    /// When they are not TOML.
    pub fn configure(&self, settings: &str) -> anyhow::Result<()> {
        let mut config: toml::Table = fs::read_to_string(self.config())?.parse()?;
        overlay(&mut config, settings.parse().context("the settings of this run")?);
        Ok(fs::write(self.config(), toml::to_string(&config)?)?)
    }

    /// A second configuration beside the first, for a service that runs by itself: `NAME.toml`, with `settings` (TOML) laid
    /// over.
    ///
    /// # Errors
    /// When they are not TOML.
    pub fn config_as(&self, name: &str, settings: &str) -> anyhow::Result<PathBuf> {
        let mut config: toml::Table = fs::read_to_string(self.config())?.parse()?;
        overlay(&mut config, settings.parse().with_context(|| format!("the settings of {name}"))?);
        let path = self.folder.join(format!("{name}.toml"));
        fs::write(&path, toml::to_string(&config)?)?;
        Ok(path)
    }

    /// The program `lectern`.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where the embedded store listens, the origin, and the portal.
    pub fn ports(&self) -> [u16; 3] {
        [self.s3, self.origin, self.portal]
    }

    /// Starts every service and waits until pages are served.
    ///
    /// # Errors
    /// When it ends, or does not come up.
    pub async fn up(&mut self) -> anyhow::Result<()> {
        self.begin()?;
        self.answers().await
    }

    /// Starts without waiting, for runs in which something that it needs is away.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        let program = Program::new(&self.program)
            .args(["--log", "info", "--config"])
            .args([&self.config()])
            .args(["up"])
            // A leak into the usual place for temporary files is a leak that the canary scan should see.
            .env("TMPDIR", self.folder.join("tmp"))
            .folder(&self.folder);
        self.process = Some(Process::start(program, &self.log())?);
        Ok(())
    }

    /// Waits until pages are served.
    ///
    /// # Errors
    /// When it ends, or does not come so far.
    pub async fn answers(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        for port in [self.origin, self.portal] {
            let url = format!("http://{}:{port}/healthz", Ipv4Addr::LOCALHOST);
            until(&format!("{url} answers"), START, async || {
                self.check()?;
                let answer = client.get(&url).timeout(Duration::from_secs(2)).send().await;
                Ok(answer.is_ok_and(|a| a.status().is_success()).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Fails when `lectern up` has ended by itself.
    ///
    /// # Errors
    /// As said, with the end of its log.
    pub fn check(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("lectern is not up")?.check()
    }

    /// Stops it as an operator would; returns how it ended.
    ///
    /// # Errors
    /// When it was not up.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.take().context("lectern is not up")?.stop()
    }

    /// The process id of `lectern up`.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Runs a command of the command line against this installation.
    ///
    /// # Errors
    /// When it cannot be started; a refusal is an [`Answer`].
    pub fn run(&self, args: &[&str]) -> anyhow::Result<Answer> {
        let out = Command::new(&self.program).arg("--config").arg(self.config()).args(args).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Answer { status: out.status, out: text(&out.stdout), err: text(&out.stderr) })
    }

    /// As [`Lectern::run`] with `--json`, which must succeed.
    ///
    /// # Errors
    /// When it refuses, or prints no JSON.
    pub fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let answer = self.run(&[args, &["--json"]].concat())?;
        if !answer.status.success() {
            bail!("lectern {args:?}: {}{}", answer.out, answer.err);
        }
        serde_json::from_str(&answer.out).with_context(|| format!("lectern {args:?} printed {:?}", answer.out))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("lectern.toml")
    }

    /// What the services have logged.
    pub fn log(&self) -> PathBuf {
        self.folder.join("lectern.log")
    }

    /// The folder of the embedded store: `{bucket}/{key}` is the object.
    pub fn store(&self) -> PathBuf {
        self.folder.join("s3")
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join("keys").join(name)
    }

    /// Where a webinar is watched.
    pub fn watch_page(&self, recording: RecordingId) -> String {
        format!("http://127.0.0.1:{}/watch/{recording}", self.origin)
    }

    /// Where recordings are found and played.
    ///
    /// # Errors
    /// When the portal has not written its token.
    pub fn portal(&self) -> anyhow::Result<Portal> {
        Portal::at(format!("http://127.0.0.1:{}", self.portal), &self.key("portal-token"))
    }
}

/// Lays `over` on `base`: tables are merged, everything else is replaced.
fn overlay(base: &mut toml::Table, over: toml::Table) {
    for (name, value) in over {
        overlay_one(base, name, value);
    }
}

/// As [`overlay`], one value.
pub(crate) fn overlay_one(base: &mut toml::Table, name: String, value: toml::Value) {
    match (base.get_mut(&name), value) {
        (Some(toml::Value::Table(base)), toml::Value::Table(over)) => overlay(base, over),
        (_, value) => {
            base.insert(name, value);
        }
    }
}
