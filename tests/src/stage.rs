//! Everything a meeting needs, running: RabbitMQ, Janus, Chromium and Lectern over one work folder.
//!
//! What Lectern and RabbitMQ write lies in folders that the canary scan reads; inputs, browsers, the meeting server and
//! what was opened on purpose lie beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use events::{Basis, Body, LayoutName, PolicyId, RecordingId, RecordingRequested};

use crate::canary::{self, Scanner};
use crate::news::News;
use crate::participants::publisher::Media;
use crate::participants::{Browser, Person, Publisher, browser::Tape};
use crate::room::{Plan, Room};
use crate::servers::lectern::TENANT;
use crate::servers::{Chromium, Janus, Lectern, RabbitMq};
use crate::stock::Archive;

/// A machine with two cores carries this beside the participants.
const SETTINGS: &str = r#"
[recorder]
slots = 2
[recorder.pipeline]
canvas = { width = 640, height = 360, fps = 30 }
preset = "superfast"
video_kbps = 700
[transcriber]
test_model = true
[transcriber.models.en]
"#;

/// A running installation. Fields stop in the order in which they stand.
#[derive(Debug)]
pub struct Stage {
    pub lectern: Lectern,
    pub chromium: Chromium,
    pub janus: Janus,
    pub broker: RabbitMq,
    work: PathBuf,
}

impl Stage {
    /// Starts all of it below `work`, with `settings` (TOML) laid over the demo's.
    ///
    /// # Errors
    /// When something does not come up; the error holds the end of its log.
    pub async fn set(work: &Path, settings: &str) -> anyhow::Result<Self> {
        let mut stage = Self::prepare(work, settings).await?;
        stage.janus.again().await?;
        stage.lectern.up().await?;
        Ok(stage)
    }

    /// Everything but the start of Janus and Lectern, for runs in which something is away at first.
    ///
    /// # Errors
    /// As [`Stage::set`].
    pub async fn prepare(work: &Path, settings: &str) -> anyhow::Result<Self> {
        for name in ["inputs", "opened"] {
            fs::create_dir_all(work.join(name))?;
        }
        let work = work.canonicalize()?;
        let broker = RabbitMq::start(&work.join("rabbitmq")).await?;
        let janus = Janus::prepare(&work.join("janus"), &broker)?;
        let chromium = Chromium::start(&work.join("chromium")).await?;
        let mut all: toml::Table = SETTINGS.parse()?;
        all["transcriber"]["models"]["en"] = speech_model()?.into();
        let lectern = Lectern::init(&work.join("lectern"), &broker, &janus.url(), &all.to_string(), POLICY)?;
        lectern.configure(settings)?;
        Ok(Self { lectern, chromium, janus, broker, work })
    }

    /// What was made for participants: speech, cameras, logs.
    pub fn inputs(&self) -> PathBuf {
        self.work.join("inputs")
    }

    /// Where to put what is opened on purpose.
    pub fn opened(&self) -> PathBuf {
        self.work.join("opened")
    }

    /// Opens a room that the policy wants recorded.
    ///
    /// # Errors
    /// When Janus or RabbitMQ refuses.
    pub async fn meeting(&self, plan: &Plan) -> anyhow::Result<Meeting> {
        self.meeting_in(rand::random_range(100_000..1_000_000_000), plan).await
    }

    /// As [`Stage::meeting`], in room `id`.
    ///
    /// # Errors
    /// As [`Stage::meeting`], and when there is such a room.
    pub async fn meeting_in(&self, id: u64, plan: &Plan) -> anyhow::Result<Meeting> {
        // First the ears, then the room: nothing it causes is missed.
        let news = News::of(&self.broker, id).await?;
        let room = Room::create_as(&self.janus.url(), id, plan).await?;
        Ok(Meeting { room, news })
    }

    /// What somebody publishes who wants a room of the policy [`ASKED`] recorded.
    ///
    /// # Errors
    /// Never: the id fits.
    pub fn wish(&self) -> anyhow::Result<RecordingRequested> {
        Ok(RecordingRequested {
            policy: PolicyId::new(ASKED)?,
            requested_by: "a-lecturer".into(),
            layout: LayoutName::Grid,
            language: "en".into(),
            basis: Basis::Consent,
            retention_days: 30,
            webinar: false,
            max_seconds: 600,
        })
    }

    /// Lets `person` in with test signal; returns when media flows.
    ///
    /// # Errors
    /// When Janus does not let them in.
    pub async fn join(&self, room: &Room, person: &Person, media: &Media) -> anyhow::Result<Publisher> {
        Publisher::join(&self.janus.url(), room.id, person, media, &self.inputs()).await
    }

    /// A browser for `person`, in no room yet.
    ///
    /// # Errors
    /// When Chromium does not start.
    pub async fn browser(&self, person: &Person) -> anyhow::Result<Browser> {
        let tape = Tape::of(person, &self.inputs())?;
        Browser::open(&self.chromium, person, &tape).await
    }

    /// The recording's files.
    ///
    /// # Errors
    /// When it has none.
    pub fn archive(&self, recording: RecordingId) -> anyhow::Result<Archive> {
        Archive::find(&self.lectern.store(), TENANT, &recording.to_string())
    }

    /// Opens the film with stock tools and the offline key; returns where it lies.
    ///
    /// # Errors
    /// When that fails.
    pub fn open(&self, recording: RecordingId) -> anyhow::Result<PathBuf> {
        let out = self.opened().join(format!("{recording}.mp4"));
        self.archive(recording)?.open(&self.lectern.key("archive.key"), &out)?;
        Ok(out)
    }

    /// Looks for canaries and plaintext media in all that Lectern and RabbitMQ have written.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn scan(&self) -> anyhow::Result<(Vec<canary::Hit>, canary::Scanned)> {
        let names = canary::NAMES.map(|name| ("a participant's name", name));
        let others = [("a title", canary::TITLE), ("speech", canary::SPOKEN)];
        Scanner::new(names.into_iter().chain(others))?.scan(&[self.lectern.folder(), self.broker.folder()])
    }
}

/// A room and what is announced about it.
#[derive(Debug)]
pub struct Meeting {
    pub room: Room,
    pub news: News,
}

/// A recording that is ready, and how long that took.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    pub recording: RecordingId,
    /// From the end of the room to the announcement.
    pub after: Duration,
    pub duration_ms: u64,
    pub complete: bool,
}

impl Meeting {
    /// Waits until the recording has started; returns when that was announced.
    ///
    /// # Errors
    /// When it fails or never starts.
    pub async fn started(&self) -> anyhow::Result<SystemTime> {
        let (at, _) = self.news.started(Duration::from_secs(60)).await?;
        Ok(SystemTime::now() - at.elapsed())
    }

    /// Destroys the room and waits until its recording is ready.
    ///
    /// # Errors
    /// When it never is.
    pub async fn end(&self) -> anyhow::Result<Ready> {
        self.room.destroy().await?;
        self.ready(Instant::now()).await
    }

    /// Waits until the recording is ready, after something ended it at `ended`.
    ///
    /// # Errors
    /// When it never is.
    pub async fn ready(&self, ended: Instant) -> anyhow::Result<Ready> {
        let (at, event) = self.news.wait("recording.ready", Duration::from_secs(90)).await?;
        let Body::RecordingReady(ready) = event.body else { anyhow::bail!("another body than its kind says") };
        Ok(Ready {
            recording: ready.recording,
            after: at.saturating_duration_since(ended),
            duration_ms: ready.duration_ms,
            complete: ready.complete,
        })
    }
}

/// The test model and its hash, as `[transcriber.models.en]` wants them.
fn speech_model() -> anyhow::Result<toml::Table> {
    use sha2::Digest;
    let path = crate::root().join("samples/speech-model/ggml-lecture-test.bin").canonicalize()?;
    let bytes = fs::read(&path).with_context(|| format!("read {path:?}"))?;
    let mut table = toml::Table::new();
    table.insert("sha256".into(), hex::encode(sha2::Sha256::digest(&bytes)).into());
    table.insert("path".into(), path.to_string_lossy().into_owned().into());
    Ok(table)
}

/// The policy that records `meeting`s of this run.
pub const LECTURES: &str = "lectures";
/// The policy that records when asked.
pub const ASKED: &str = "asked";

/// Rooms with the canary in their title are recorded and shown live, those that begin with `On request` when asked.
const POLICY: &str = r#"
[[rule]]
id = "lectures"
title = "Zyxquill"
layout = "speaker"
language = "en"
retention_days = 30
basis = "public-task"
webinar = true

[[rule]]
id = "asked"
title = "^On request"
on_request = true
layout = "grid"
language = "en"
retention_days = 30
basis = "consent"
"#;
