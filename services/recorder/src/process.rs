//! The worker's end of a media process: starting it with nothing that is secret, speaking to it, ending it. Does not
//! know what is said.
//!
//! # Design
//! Closing its standard input is how a media process is told to end, so that it also ends when this worker dies. Killing
//! is for one that does not. A process is used for one way into a room; after a failure the next one is fresh, with none
//! of the leaks and half-dead peers of the last.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader, BufWriter};
use tokio::process::{Child, Command as Program};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, warn};

use crate::wire::{self, Command, Report, WireError};

/// To say goodbye to the room and take GStreamer down. Longer than a healthy one needs, and nobody waits for it.
const GOODBYE: Duration = Duration::from_secs(6);

/// From the last word of a process to its end, when it dies.
const LAST_SIGHT: Duration = Duration::from_secs(1);

/// Reports that may wait: a second of parts. Then the media process waits, which keeps them in its own memory.
pub(crate) const BACKLOG: usize = 64;

/// What GStreamer and the dynamic linker read. No variable of ours, of a cloud's or of an orchestrator's is among them.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR", "LD_LIBRARY_PATH", "LANG"];

/// Longest line and lines a second that are taken over into our log.
const LINE: u64 = 500;
const LINES: u32 = 20;

/// How media processes come into being. The second implementation is the tests', which speak the protocol themselves.
pub(crate) trait Launch: Send + Sync {
    fn launch(&self) -> std::io::Result<Launched>;
}

/// A media process, or what stands for one.
pub(crate) struct Launched {
    pub(crate) to: Box<dyn AsyncWrite + Send + Unpin>,
    pub(crate) from: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) process: Option<Child>,
}

/// Starts a program's `media` command.
pub(crate) struct MediaProgram(pub(crate) PathBuf);

impl Launch for MediaProgram {
    fn launch(&self) -> std::io::Result<Launched> {
        let mut child = Program::new(&self.0)
            // What process lists show.
            .arg0("lectern")
            .arg("media")
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| passed_on(name)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Launched { to: Box::new(to), from: Box::new(from), process: Some(child) }),
            _ => Err(std::io::Error::other("no pipes")),
        }
    }
}

fn passed_on(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| PASSED_ON.contains(&name) || name.starts_with("GST_"))
}

/// What a media process said, or that it says nothing more.
pub(crate) enum Heard {
    Report(Report),
    Gone(End),
}

/// How a media process ended, as far as this worker saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
    /// It says nothing more or is not understood, and may still be there.
    Unseen,
}

/// What a decoder does to its own process when it goes wrong: by the processor, by itself (out of memory included), or by
/// a system call of another kind than the cage knows.
const DECODERS: [Signal; 7] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGTRAP, Signal::SIGABRT, Signal::SIGSYS];

impl End {
    /// Whether what it decoded may have done it: nobody sends these signals to a process from outside. SIGKILL is a
    /// person's, or the kernel's when the machine has no memory left.
    pub(crate) fn is_medias(self) -> bool {
        matches!(self, Self::Signal(signal) if DECODERS.iter().any(|known| *known as i32 == signal))
    }
}

impl From<std::io::Result<ExitStatus>> for End {
    fn from(ended: std::io::Result<ExitStatus>) -> Self {
        match ended {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Self::Code(code),
                (None, Some(signal)) => Self::Signal(signal),
                (None, None) => Self::Unseen,
            },
            Err(error) => {
                warn!(%error, "lost sight of the media process");
                Self::Unseen
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => f.write_str(signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Unseen => f.write_str("an end that nobody saw"),
        }
    }
}

/// A running media process. Dropping it kills.
pub(crate) struct Media {
    commands: mpsc::UnboundedSender<Command>,
    /// How it ended, once it has. Closed without, where there is no process.
    ended: watch::Receiver<Option<End>>,
    kill: CancellationToken,
    tasks: JoinSet<()>,
}

impl Media {
    /// Begins to speak. Everything heard goes to `tell` with `number`.
    pub(crate) fn begin(launched: Launched, number: u32, tell: mpsc::Sender<(u32, Heard)>) -> Self {
        let Launched { to, from, process } = launched;
        let (commands, said) = mpsc::unbounded_channel();
        let (told, ended) = watch::channel(None);
        let kill = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(speak(to, said).in_current_span());
        if let Some(mut child) = process {
            if let Some(stderr) = child.stderr.take() {
                tasks.spawn(take_over_log(stderr).in_current_span());
            }
            tasks.spawn(keep(child, kill.clone(), told).in_current_span());
        }
        tasks.spawn(listen(from, number, ended.clone(), tell).in_current_span());
        Self { commands, ended, kill, tasks }
    }

    pub(crate) fn say(&self, command: Command) {
        // Nobody there: `Heard::Gone` is on its way.
        let _ = self.commands.send(command);
    }

    /// Lets it say goodbye and go; kills it when it does not.
    pub(crate) async fn end(self) {
        let Self { commands, mut ended, kill, mut tasks } = self;
        drop(commands);
        let gone = async {
            match timeout(GOODBYE, seen(&mut ended)).await {
                Ok(End::Code(0)) => {}
                // There is no process, or nobody has seen its end: its pipes end with it.
                Ok(End::Unseen) => while tasks.join_next().await.is_some() {},
                Ok(end) => warn!(%end, "media process failed"),
                Err(_) => {
                    warn!("media process did not end; killed");
                    kill.cancel();
                    seen(&mut ended).await;
                }
            }
        };
        // What the tasks still read is of no use any more; dropping them aborts them.
        let _ = timeout(GOODBYE * 2, gone).await;
    }
}

/// How the process ended, when it has.
async fn seen(ended: &mut watch::Receiver<Option<End>>) -> End {
    let ended = ended.wait_for(Option::is_some).await;
    ended.ok().and_then(|ended| *ended).unwrap_or(End::Unseen)
}

/// Waits for the end of `child`, which is at once when it is to be killed.
async fn keep(mut child: Child, kill: CancellationToken, told: watch::Sender<Option<End>>) {
    let ended = tokio::select! {
        ended = child.wait() => ended,
        () = kill.cancelled() => {
            // An error means that it is gone, which is what is wanted.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    told.send_replace(Some(End::from(ended)));
}

/// Ends, and with it the process' standard input, when nobody can command any more.
async fn speak(to: Box<dyn AsyncWrite + Send + Unpin>, mut said: mpsc::UnboundedReceiver<Command>) {
    let mut to = BufWriter::new(to);
    while let Some(command) = said.recv().await {
        if let Err(error) = wire::write(&mut to, &command).await {
            return warn!(%error, "the media process does not listen");
        }
    }
}

async fn listen(
    mut from: Box<dyn AsyncRead + Send + Unpin>,
    number: u32,
    mut ended: watch::Receiver<Option<End>>,
    tell: mpsc::Sender<(u32, Heard)>,
) {
    loop {
        let heard = match wire::read(&mut from).await {
            Ok(Some(report)) => Heard::Report(report),
            // A process that dies in the middle of a frame is as gone as one that dies between two.
            Ok(None) | Err(WireError::Io(_)) => {
                Heard::Gone(timeout(LAST_SIGHT, seen(&mut ended)).await.unwrap_or(End::Unseen))
            }
            Err(error) => {
                warn!(%error, "the media process is not understood");
                Heard::Gone(End::Unseen)
            }
        };
        let over = matches!(heard, Heard::Gone(_));
        if tell.send((number, heard)).await.is_err() || over {
            return;
        }
    }
}

/// A stranger's media can make GStreamer complain without end, so only so much of it is passed on.
async fn take_over_log(from: impl AsyncRead + Unpin) {
    let mut from = BufReader::new(from);
    let (mut line, mut since, mut lines, mut more) = (Vec::new(), Instant::now(), 0, 0_u64);
    while matches!((&mut from).take(LINE).read_until(b'\n', &mut line).await, Ok(1..)) {
        if since.elapsed() > Duration::from_secs(1) {
            if more > 0 {
                warn!(lines = more, "the media process said more than is logged");
            }
            (since, lines, more) = (Instant::now(), 0, 0);
        }
        if lines < LINES {
            lines += 1;
            let line = String::from_utf8_lossy(&line);
            // Ours begin with time and level; GStreamer's own complaints with neither.
            match line.split_whitespace().nth(1) {
                Some("INFO" | "DEBUG" | "TRACE") => info!(target: "recorder::media", "{}", line.trim_end()),
                _ => warn!(target: "recorder::media", "{}", line.trim_end()),
            }
        } else {
            more += 1;
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A media program in three lines of shell.
    fn program(folder: &std::path::Path, script: &str) -> MediaProgram {
        let path = folder.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        MediaProgram(path)
    }

    #[tokio::test]
    async fn a_media_process_gets_no_variable_that_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("env");
        let script = format!("env > {0}.new; mv {0}.new {0}; cat > /dev/null", out.display());
        let (tell, _heard) = mpsc::channel(BACKLOG);
        let media = Media::begin(program(folder.path(), &script).launch().unwrap(), 1, tell);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !out.exists() {
            assert!(Instant::now() < deadline, "the process never wrote");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        media.end().await;
        let seen = std::fs::read_to_string(out).unwrap();
        let names = seen.lines().filter_map(|line| line.split('=').next());
        // A shell sets the last three itself.
        let odd = names.filter(|name| !passed_on(&name.into()) && !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
        assert_eq!(odd.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(std::env::vars_os().any(|(name, _)| !passed_on(&name)), "there was something to keep back");
    }

    /// How `script` ends, as heard.
    async fn end_of(script: &str) -> End {
        let folder = tempfile::tempdir().unwrap();
        let (tell, mut heard) = mpsc::channel(BACKLOG);
        let media = Media::begin(program(folder.path(), script).launch().unwrap(), 1, tell);
        let gone = timeout(Duration::from_secs(20), heard.recv()).await.unwrap();
        media.end().await;
        match gone {
            Some((1, Heard::Gone(end))) => end,
            _ => panic!("something else was heard of {script}"),
        }
    }

    #[tokio::test]
    async fn how_a_media_process_ended_is_told_and_only_some_ends_are_medias() {
        for (script, end, medias) in [
            ("exit 3", End::Code(3), false),
            ("kill -SEGV $$", End::Signal(11), true),
            ("kill -ABRT $$", End::Signal(6), true),
            ("kill -TRAP $$", End::Signal(5), true),
            ("kill -KILL $$", End::Signal(9), false),
            ("kill -TERM $$", End::Signal(15), false),
            // It dies in the middle of a frame.
            ("printf '\\000\\000'; kill -BUS $$", End::Signal(7), true),
            // It has closed its end and lives on.
            ("exec 1>&-; cat > /dev/null", End::Unseen, false),
            // What it says is too long to be anything.
            ("printf '\\377\\377\\377\\377'; cat > /dev/null", End::Unseen, false),
        ] {
            let seen = end_of(script).await;
            assert_eq!((seen, seen.is_medias()), (end, medias), "{script}: {seen}");
        }
        assert_eq!(End::Signal(11).to_string(), "SIGSEGV");
    }

    #[tokio::test]
    async fn a_media_process_that_does_not_go_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let launched =
            program(folder.path(), "trap '' TERM HUP; exec 0<&-; while :; do sleep 1; done").launch().unwrap();
        let pid = launched.process.as_ref().and_then(Child::id).unwrap();
        let (tell, _heard) = mpsc::channel(BACKLOG);
        let media = Media::begin(launched, 1, tell);
        media.end().await;
        assert!(!std::path::Path::new(&format!("/proc/{pid}/cmdline")).exists(), "{pid} still runs");
    }
}
