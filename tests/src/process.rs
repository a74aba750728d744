//! Child processes that end with us: started in a process group of their own, stopped by id, never by name.
//! Knows nothing of what it runs.
//!
//! # Design
//! A killed test must leave nothing running, and Rust has no safe hook between fork and exec. `setpriv --pdeathsig`
//! (util-linux) asks the kernel for a SIGTERM when the parent goes. That parent is a thread, so one thread that never
//! ends starts every child; a test's own thread may come and go.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long a process may take to end after SIGTERM before SIGKILL follows.
const GRACE: Duration = Duration::from_secs(15);

/// What to run; [`Process::start`] adds what keeps it from outliving us.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    talk: bool,
}

impl Program {
    /// `program` is a path or a name on PATH.
    pub fn new(program: impl AsRef<std::ffi::OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program);
        Self { command, name, talk: false }
    }

    #[must_use]
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Keeps standard input and output for [`Process::talk`] instead of the log.
    #[must_use]
    pub fn talking(mut self) -> Self {
        self.talk = true;
        self
    }
}

/// A running child. Dropping it stops it and its group.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Process {
    /// Starts `program`; what it says goes to the end of the file `log`.
    ///
    /// # Errors
    /// When the program, or `setpriv`, cannot be started or the log not be opened.
    pub fn start(mut program: Program, log: &Path) -> anyhow::Result<Self> {
        let said = File::options().create(true).append(true).open(log).with_context(|| format!("open {log:?}"))?;
        let command = &mut program.command;
        command.process_group(0).stderr(said.try_clone()?);
        if program.talk {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(said);
        }
        let child = spawn(program.command).with_context(|| format!("start {} through setpriv", program.name))?;
        Ok(Self { name: program.name, log: log.to_owned(), child: Mutex::new(child) })
    }

    /// Standard input and output of a [`Program::talking`] child; once.
    ///
    /// # Errors
    /// When it was not started so, or this was asked before.
    pub fn talk(&self) -> anyhow::Result<(ChildStdin, ChildStdout)> {
        let mut child = self.lock();
        let pipes = child.stdin.take().zip(child.stdout.take());
        pipes.with_context(|| format!("{} has no pipes left", self.name))
    }

    pub fn pid(&self) -> u32 {
        self.lock().id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails, with the end of its log, when it has ended.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.lock().try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("{} has ended ({status}); its log {:?} ends in:\n{}", self.name, self.log, self.tail())
            }
        }
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Sends `signal` to this one process, not to its group.
    ///
    /// # Errors
    /// When it has gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let child = self.lock();
        kill(id(&child), signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// SIGTERM, SIGKILL after a grace period, and the same to what is left of its group. Returns how it ended.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(&self) -> anyhow::Result<ExitStatus> {
        self.end(Signal::SIGTERM, GRACE)
    }

    /// SIGKILL at once, as a power cut does.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&self) -> anyhow::Result<ExitStatus> {
        self.end(Signal::SIGKILL, Duration::ZERO)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it has not after `deadline`.
    pub fn wait(&self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.lock().try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > deadline {
                bail!("{} has not ended within {deadline:?}; its log ends in:\n{}", self.name, self.tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&self, signal: Signal, grace: Duration) -> anyhow::Result<ExitStatus> {
        let mut child = self.lock();
        let id = id(&child);
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // Not waited for yet, so the id is still this child's.
        kill(id, signal)?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begun.elapsed() > grace {
                kill(id, Signal::SIGKILL)?;
                break child.wait()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        // The leader has gone; whoever it left behind still bears its group's number.
        let _ = killpg(id, Signal::SIGKILL);
        Ok(status)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn id(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, taken) = mpsc::channel::<Job>();
        // Lives as long as the process: its end is what tells the children to end.
        std::thread::spawn(move || {
            for (mut command, answer) in taken {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the starting thread has gone");
    STARTER.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// Polls `probe` until it yields something.
///
/// # Errors
/// When nothing has come within `deadline`; the error says `what` was waited for.
pub async fn until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe().await.with_context(|| format!("while waiting until {what}"))? {
            return Ok(found);
        }
        if begun.elapsed() > deadline {
            bail!("waited {deadline:?} in vain until {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A program that was built beside this one, such as `participant` or `lectern`.
///
/// # Errors
/// When it was not built.
pub fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // Tests lie in `deps/`, one folder below the programs.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not beside {own:?}; build it: cargo build --workspace --bins"))
}

/// The child of `parent` whose command line has `words` in this order, whatever it calls itself.
pub fn child_of(parent: u32, words: &[&str]) -> Option<u32> {
    let told = |pid: u32, name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid| {
        let line = told(*pid, "cmdline").unwrap_or_default();
        let words_there = line.split('\0').skip(1).collect::<Vec<_>>();
        // After the name in parentheses, which may hold anything: state, parent.
        let stat = told(*pid, "stat").unwrap_or_default();
        let of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        of == Some(parent) && words_there.starts_with(words)
    })
}
