//! What happened, told when somebody asks for it: a line per event, and for each session a log of its inputs in the form
//! that the recorder keeps and `recorder replay` runs again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use session::{Action, Input, Spec};

use crate::event::Client;
use crate::schedule::Micros;

#[derive(Debug, Default)]
pub struct Story {
    wanted: bool,
    text: String,
    sessions: BTreeMap<(usize, u32), SessionLog>,
}

/// One session: JSON lines, first its [`Spec`], then `{"at":<microseconds>,"input":…}` for each input.
#[derive(Debug, Clone, Default)]
pub struct SessionLog {
    pub text: String,
    /// All that it asked for, in order.
    pub actions: Vec<Action>,
}

impl Story {
    pub(crate) fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    pub(crate) fn wanted(&self) -> bool {
        self.wanted
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sessions, each with a name for a file.
    pub fn sessions(&self) -> impl Iterator<Item = (String, &SessionLog)> {
        self.sessions.iter().map(|((worker, job), log)| (format!("worker{worker}-job{job}"), log))
    }

    /// Writes what happened to `folder`, and beside it the log of each session. Returns the logs' paths.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, folder: &Path, seed: u64) -> io::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(format!("seed-{seed}.txt")), &self.text)?;
        let logs = self.sessions().map(|(name, log)| {
            let path = folder.join(format!("seed-{seed}-{name}.jsonl"));
            std::fs::write(&path, &log.text).map(|()| path)
        });
        logs.collect()
    }

    pub(crate) fn tell(&mut self, at: Micros, line: impl FnOnce() -> String) {
        if self.wanted {
            let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{seconds:>5}.{micros:06}  {}", line());
        }
    }

    pub(crate) fn begin(&mut self, worker: usize, job: u32, spec: &Spec, actions: &[Action]) {
        if self.wanted {
            let text = serde_json::to_string(spec).unwrap_or_default() + "\n";
            self.sessions.insert((worker, job), SessionLog { text, actions: actions.to_vec() });
        }
    }

    pub(crate) fn note(&mut self, worker: usize, job: u32, at: Micros, input: &Input, actions: &[Action]) {
        if let Some(log) = self.sessions.get_mut(&(worker, job)) {
            log.text += &serde_json::json!({ "at": at, "input": input }).to_string();
            log.text.push('\n');
            log.actions.extend_from_slice(actions);
        }
    }
}

pub(crate) fn who(client: Client) -> String {
    match client {
        Client::Worker(at, life) => format!("worker {at}.{life}"),
        Client::Finalizer(at, life) => format!("finalizer {at}.{life}"),
    }
}
