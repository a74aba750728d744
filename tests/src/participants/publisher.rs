//! The harness' side of the program `participant`: one process, told what to do over its standard input.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

use super::Person;
use crate::process::{Process, Program, sibling, until};

/// Joining means a codec trial, ICE and DTLS, on cores that are busy.
const JOIN: Duration = Duration::from_secs(60);

/// What a person publishes beside their looks.
#[derive(Debug, Clone)]
pub struct Media {
    pub codec: &'static str,
    pub size: (u32, u32),
    pub fps: u32,
    /// False: no microphone track at all.
    pub mic: bool,
    /// A title makes it a screen share, under a name that ends in `(screen)`.
    pub slides: Option<String>,
}

impl Default for Media {
    fn default() -> Self {
        Self { codec: "vp8", size: (320, 180), fps: 15, mic: true, slides: None }
    }
}

impl Media {
    /// Slides are sharper and slower than cameras.
    pub fn slides(title: &str) -> Self {
        Self { codec: "vp8", size: (640, 360), fps: 5, mic: false, slides: Some(title.into()) }
    }
}

/// A GStreamer participant in a room. Dropping it makes it leave.
#[derive(Debug)]
pub struct Publisher {
    // Before the process: its end is a request to leave.
    stdin: Mutex<Option<ChildStdin>>,
    process: Process,
    said: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Joins `room` of the Janus at `janus` and returns when media flows.
    ///
    /// # Errors
    /// When `participant` is not built, or Janus does not let it in.
    pub async fn join(janus: &str, room: u64, person: &Person, media: &Media, logs: &Path) -> anyhow::Result<Self> {
        let name = match media.slides {
            Some(_) => format!("{} (screen)", person.name),
            None => person.name.clone(),
        };
        let mut program = Program::new(sibling("participant")?)
            .args(["--janus", janus, "--room", &room.to_string(), "--name", &name, "--codec", media.codec])
            .args(["--colour", &person.colour.to_string(), "--fps", &media.fps.to_string()])
            .args(["--width", &media.size.0.to_string(), "--height", &media.size.1.to_string()])
            .talking();
        if media.mic {
            program = program.args(["--beep", &person.pitch.to_string()]);
        }
        if let Some(title) = &media.slides {
            program = program.args(["--slides", title]);
        }
        let log =
            logs.join(format!("participant-{room}-{}{}.log", person.pitch, if media.mic { "" } else { "-screen" }));
        let process = Process::start(program, &log)?;
        let (stdin, stdout) = process.talk()?;
        let said = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let publisher = Self { stdin: Mutex::new(Some(stdin)), process, said, reader: Some(reader) };
        publisher.hear("live", JOIN).await?;
        Ok(publisher)
    }

    pub fn camera(&self, on: bool) -> anyhow::Result<()> {
        self.tell(if on { "camera on" } else { "camera off" })
    }

    pub fn mic(&self, on: bool) -> anyhow::Result<()> {
        self.tell(if on { "mic on" } else { "mic off" })
    }

    /// Says what the WAV file holds; returns when the last sample has been sent.
    ///
    /// # Errors
    /// When it cannot, for want of the file or because it was thrown out.
    pub async fn speak(&self, wav: &Path) -> anyhow::Result<()> {
        self.tell(&format!("speak {}", wav.display()))?;
        self.hear(&format!("spoken {}", wav.display()), Duration::from_secs(60)).await
    }

    /// Leaves with a goodbye; returns when it has.
    ///
    /// # Errors
    /// When it hangs.
    pub fn leave(&self) -> anyhow::Result<()> {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.process.wait(Duration::from_secs(20)).map(drop)
    }

    /// Vanishes without a goodbye, as a laptop does whose lid is closed.
    ///
    /// # Errors
    /// When it has gone already.
    pub fn vanish(&self) -> anyhow::Result<()> {
        self.process.kill().map(drop)
    }

    /// Waits until it has been thrown out.
    ///
    /// # Errors
    /// When it has not within `deadline`.
    pub async fn gone(&self, deadline: Duration) -> anyhow::Result<()> {
        let begins = |line: &String| line.starts_with("gone");
        until("the participant is thrown out", deadline, async || Ok(self.lines().iter().any(begins).then_some(())))
            .await
    }

    fn lines(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, line: &str) -> anyhow::Result<()> {
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = stdin.as_mut().context("the participant has left")?;
        writeln!(stdin, "{line}").context("tell the participant")
    }

    /// Waits for `line` and takes it, so that it can be waited for again.
    async fn hear(&self, line: &str, deadline: Duration) -> anyhow::Result<()> {
        until(&format!("the participant says {line:?}"), deadline, async || {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = said.iter().position(|l| l == line) {
                said.remove(at);
                return Ok(Some(()));
            }
            self.process.check().map(|()| None)
        })
        .await
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.leave();
        let _ = self.process.stop();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
