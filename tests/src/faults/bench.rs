//! What rows share: an installation that is made anew after a row has broken it, one recording to be finished again and
//! again, chance by a seed, and progress on long work.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use events::{Event, RecordingId};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::campus::{Campus, SOON};
use super::matrix::Id;
use super::verdict::{Outcome, Verdict};
use crate::process::until;

/// A row that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(300);
const LONGEST_FULL: Duration = Duration::from_secs(4 * 3600);

/// The place where rows are played.
#[derive(Debug)]
pub struct Bench {
    work: PathBuf,
    pub seed: u64,
    /// The counts of trust.md §4.8 instead of each once.
    pub full: bool,
    campus: Option<Campus>,
    ended: Option<Ended>,
    made: u32,
}

/// A recording of which all epochs are stored and no film is made yet.
#[derive(Debug, Clone)]
pub struct Ended {
    pub recording: RecordingId,
    pub room: u64,
    /// What calls for the finalizer.
    pub call: Event,
    /// The store as it was then.
    pub copy: PathBuf,
    pub started: SystemTime,
    pub ended: SystemTime,
}

impl Bench {
    /// Everything is made below `work`.
    pub fn new(work: &Path, seed: u64, full: bool) -> Self {
        Self { work: work.to_owned(), seed, full, campus: None, ended: None, made: 0 }
    }

    /// Plays `id`; whatever happens becomes a verdict, and how long it took.
    pub async fn play(&mut self, id: Id) -> (Verdict, Duration) {
        let begun = Instant::now();
        let longest = if self.full { LONGEST_FULL } else { LONGEST };
        let verdict = match tokio::time::timeout(longest, id.play(self)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Verdict::failed(&error),
            Err(_) => Verdict::failed(&anyhow::anyhow!("not at its end after {longest:?}")),
        };
        match (&self.campus, verdict.outcome) {
            // What broke a row may break the next one, which is not its fault.
            (Some(_), Outcome::Broken) => self.close(),
            (Some(campus), _) => campus.mend(),
            (None, _) => {}
        }
        (verdict, begun.elapsed())
    }

    /// The installation, made when there is none.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn campus(&mut self) -> anyhow::Result<&mut Campus> {
        if self.campus.is_none() {
            self.made += 1;
            let work = self.work.join(format!("campus-{}", self.made));
            say("starting RabbitMQ, Janus, a store, a bridge and a finalizer");
            self.campus = Some(Campus::open(&work, self.seed).await.context("start an installation")?);
        }
        self.campus.as_mut().context("just made")
    }

    /// A new folder of this run, beside the installation's.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&mut self, name: &str) -> anyhow::Result<PathBuf> {
        self.made += 1;
        let folder = self.work.join(format!("{name}-{}", self.made));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Ends the installation. Its folder stays until the next run.
    pub fn close(&mut self) {
        self.campus = None;
        self.ended = None;
    }

    /// Chance of this row alone, so that it is the same whichever rows are played.
    pub fn chance(&self, id: Id) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// How often: once and short, or as §4.8 counts.
    pub fn times(&self, short: u32, full: u32) -> u32 {
        if self.full { full } else { short }
    }

    /// A recording to be finished, with the finalizer away; made once.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn ended(&mut self) -> anyhow::Result<Ended> {
        if let Some(ended) = &self.ended {
            let ended = ended.clone();
            let campus = self.campus().await?;
            if campus.finalizer.runs() {
                campus.finalizer.stop()?;
            }
            return Ok(ended);
        }
        say("recording a lecture to be finished again and again");
        let campus = self.campus().await?;
        if campus.finalizer.runs() {
            campus.finalizer.stop()?;
        }
        let mut worker = campus.worker("once").await?;
        let lecture = campus.lecture("Lecture to be finished").await?;
        let (recording, started) = lecture.started().await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let ended = SystemTime::now();
        lecture.meeting.room.destroy().await?;
        let call = until("the recording is stored", SOON, async || Ok(lecture.call())).await?;
        worker.stop()?;
        let copy = campus.folder("copies")?.join("ended");
        campus.save(&copy)?;
        campus.broker.ctl(&["purge_queue", "lectern.finalize"])?;
        let room = lecture.meeting.room.id;
        let made = Ended { recording, room, call, copy, started, ended };
        self.ended = Some(made.clone());
        Ok(made)
    }
}

/// Progress, for whoever waits.
pub fn say(what: impl AsRef<str>) {
    eprintln!("      … {}", what.as_ref());
}
