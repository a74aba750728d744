//! One service of Lectern as a process of its own, to be killed, stopped and started apart from all others.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;

use super::START;
use super::lectern::Lectern;
use crate::measure;
use crate::process::{Process, Program, until};

/// A service with its own configuration, log and, for recorders, spool. Dropping it stops it.
#[derive(Debug)]
pub struct Service {
    program: PathBuf,
    kind: &'static str,
    name: String,
    folder: PathBuf,
    config: PathBuf,
    wrapper: Vec<OsString>,
    env: Vec<(String, OsString)>,
    process: Option<Process>,
    /// How long its log was at the last start.
    logged: usize,
}

impl Service {
    /// Service `kind`, such as `recorder`, of the installation, under a `name` of its own: with `settings` (TOML) laid
    /// over the installation's. It does not run yet.
    ///
    /// # Errors
    /// When the settings are not TOML.
    pub fn of(lectern: &Lectern, kind: &'static str, name: &str, settings: &str) -> anyhow::Result<Self> {
        let config = lectern.config_as(name, settings)?;
        Ok(Self {
            program: lectern.program().to_owned(),
            kind,
            name: name.into(),
            folder: lectern.folder().to_owned(),
            config,
            wrapper: Vec::new(),
            env: Vec::new(),
            process: None,
            logged: 0,
        })
    }

    /// Starts through another program, such as `strace` or `taskset`, from now on.
    pub fn through<S: Into<OsString>>(&mut self, wrapper: impl IntoIterator<Item = S>) {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
    }

    /// Starts with this variable, from now on.
    pub fn with_env(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.push((name.into(), value.into()));
    }

    /// Starts it, or starts it again over the same folders.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.logged = fs::read(self.log()).map_or(0, |log| log.len());
        let mut words: Vec<OsString> = self.wrapper.clone();
        words.push(self.program.clone().into());
        words.extend(["service", self.kind, "--log", "info", "--config"].map(Into::into));
        words.push(self.config.clone().into());
        let (first, rest) = words.split_first().context("a program")?;
        let mut program = Program::new(first).args(rest).env("TMPDIR", self.folder.join("tmp")).folder(&self.folder);
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        self.process = Some(Process::start(program, &self.log())?);
        Ok(())
    }

    /// Waits until its log, since the last start, holds `words`.
    ///
    /// # Errors
    /// When it ends before, or they never come.
    pub async fn says(&self, words: &str) -> anyhow::Result<()> {
        self.says_within(words, START).await
    }

    /// As [`Service::says`], with a deadline.
    ///
    /// # Errors
    /// As [`Service::says`].
    pub async fn says_within(&self, words: &str, deadline: Duration) -> anyhow::Result<()> {
        until(&format!("{} says {words:?}", self.name), deadline, async || {
            if self.said().contains(words) {
                return Ok(Some(()));
            }
            self.check().map(|()| None)
        })
        .await
    }

    /// What it has logged since the last start.
    pub fn said(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.logged..).unwrap_or_default()).into_owned()
    }

    /// All that it has logged.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a recorder keeps what the store has not.
    pub fn spool(&self) -> PathBuf {
        spool_of(&self.folder, &self.name)
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.check().is_ok())
    }

    /// Fails, with the end of its log, when it does not run.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> anyhow::Result<()> {
        self.process().and_then(Process::check)
    }

    fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().with_context(|| format!("{} does not run", self.name))
    }

    /// Its process id; through a wrapper, the wrapper's.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The media processes below it: one for each recording that it is in.
    pub fn media(&self) -> Vec<u32> {
        let Some(pid) = self.pid() else { return Vec::new() };
        let tree = measure::tree(pid).into_iter().filter(|child| *child != pid);
        tree.filter(|child| measure::look(*child).is_some_and(|cost| cost.args.iter().any(|arg| arg == "media")))
            .collect()
    }

    /// Sends `signal` to this process alone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process()?.signal(signal)
    }

    /// SIGKILL to this process alone, as the kernel does to one that is short of memory; returns when it is gone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let process = self.process.take().with_context(|| format!("{} does not run", self.name))?;
        process.kill().map(drop)
    }

    /// SIGKILL to it and all below it, at once, as a power cut does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn power_cut(&mut self) -> anyhow::Result<()> {
        let media = self.media();
        self.kill()?;
        for pid in media {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            // Gone already, when its standard input ended first.
            let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL when it does not end.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.take().with_context(|| format!("{} does not run", self.name))?.stop()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it has not within `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let status = self.process()?.wait(deadline)?;
        self.process = None;
        Ok(status)
    }
}

/// The spool of the recorder that is called so.
pub fn spool_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("spool-{name}"))
}
