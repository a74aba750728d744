//! An installation whose services run apart, each to be disturbed alone: store, broker and meeting server behind lines
//! that can be made bad, workers with spools of their own, lectures whose pictures tell the time.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use events::{Basis, Body, Event, LayoutName, PolicyId, RecordingId, RecordingRequested};
use serde_json::Value;
use storage::Store;

use super::front::Front;
use super::look::Codes;
use super::proxy::{Line, Proxy};
use crate::analysis::Sound;
use crate::news::News;
use crate::participants::publisher::Media;
use crate::participants::{Person, Publisher, cast};
use crate::process::until;
use crate::room::{Plan, Room};
use crate::servers::lectern::TENANT;
use crate::servers::{Janus, Lectern, RabbitMq, Service};
use crate::stage::{Meeting, Ready};
use crate::stock::Archive;

/// Long enough for a busy machine, short enough for a run that ends today.
pub const SOON: Duration = Duration::from_secs(60);

const SETTINGS: &str = r#"
[recorder]
slots = 1
[recorder.limits]
lobby_seconds = 60
rejoin_attempts = 8
hand_over_seconds = 60
[recorder.pipeline]
canvas = { width = 640, height = 360, fps = 30 }
preset = "superfast"
video_kbps = 700
"#;

/// The policy that records without being asked, the one that also shows it live, and the one that waits for a wish.
const POLICY: &str = r#"
[[rule]]
id = "lectures"
title = "^Lecture"
layout = "speaker"
language = "en"
retention_days = 30
basis = "public-task"

[[rule]]
id = "webinars"
title = "^Webinar"
layout = "speaker"
language = "en"
retention_days = 30
basis = "public-task"
webinar = true

[[rule]]
id = "asked"
title = "^On request"
on_request = true
layout = "speaker"
language = "en"
retention_days = 30
basis = "consent"
"#;

/// A running installation. Fields stop in the order in which they stand.
#[derive(Debug)]
pub struct Campus {
    pub bridge: Service,
    pub finalizer: Service,
    /// Between all services and the store; behind it `front`.
    pub store_line: Proxy,
    pub front: Front,
    /// Between all services and RabbitMQ.
    pub broker_line: Proxy,
    pub janus: Janus,
    pub store: Service,
    pub broker: RabbitMq,
    pub lectern: Lectern,
    work: PathBuf,
}

impl Campus {
    /// Starts below `work`: RabbitMQ, Janus, the store, a bridge and a finalizer; no recorder.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn open(work: &Path, seed: u64) -> anyhow::Result<Self> {
        for name in ["inputs", "opened"] {
            fs::create_dir_all(work.join(name))?;
        }
        let work = work.canonicalize()?;
        let broker = RabbitMq::start(&work.join("rabbitmq")).await?;
        let mut janus = Janus::prepare(&work.join("janus"), &broker)?;
        janus.again().await?;
        let lectern = Lectern::init(&work.join("lectern"), &broker, &janus.url(), SETTINGS, POLICY)?;
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [s3, ..] = lectern.ports();
        let mut store = Service::of(&lectern, "s3", "store", "")?;
        store.start()?;
        answers(&store, s3).await?;
        let straight = Store::connect(&storage::store::Config {
            endpoint: Some(format!("http://{}", local(s3))),
            access_key_file: Some(lectern.key("s3-access-key")),
            secret_key_file: Some(lectern.key("s3-secret-key")),
            create_buckets: true,
            ..storage::store::Config::default()
        })
        .await?;
        let front = Front::to(local(s3), straight, seed).await?;
        let store_line = Proxy::to(front.address()).await?;
        let broker_line = Proxy::to(local(broker.port())).await?;
        let lines = lines(&store_line, &broker_line);
        let mut bridge = Service::of(&lectern, "bridge", "bridge", &lines)?;
        let mut finalizer = Service::of(&lectern, "finalizer", "finalizer", &lines)?;
        bridge.start()?;
        finalizer.start()?;
        finalizer.says("finalizer ready").await?;
        Ok(Self { bridge, finalizer, store_line, front, broker_line, janus, store, broker, lectern, work })
    }

    /// A service of this installation through the lines, with `settings` (TOML) laid over; not started.
    ///
    /// # Errors
    /// When the settings are not TOML.
    pub fn service(&self, kind: &'static str, name: &str, settings: &str) -> anyhow::Result<Service> {
        let lines = lines(&self.store_line, &self.broker_line);
        let spool = crate::servers::service::spool_of(self.lectern.folder(), name);
        let mut all: toml::Table = format!("{lines}\nrecorder.work = {spool:?}").parse()?;
        for (table, value) in settings.parse::<toml::Table>()? {
            crate::servers::lectern::overlay_one(&mut all, table, value);
        }
        Service::of(&self.lectern, kind, name, &all.to_string())
    }

    /// A recorder that takes requests.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn worker(&self, name: &str) -> anyhow::Result<Service> {
        self.worker_with(name, "").await
    }

    /// As [`Campus::worker`], with settings.
    ///
    /// # Errors
    /// As [`Campus::worker`].
    pub async fn worker_with(&self, name: &str, settings: &str) -> anyhow::Result<Service> {
        let mut worker = self.service("recorder", name, settings)?;
        worker.start()?;
        worker.says(TAKES).await?;
        Ok(worker)
    }

    /// Another front before the same store, for one service alone.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn own_front(&self, seed: u64) -> anyhow::Result<Front> {
        let [s3, ..] = self.lectern.ports();
        let straight = self.straight(s3).await?;
        Front::to(SocketAddr::from((Ipv4Addr::LOCALHOST, s3)), straight, seed).await
    }

    async fn straight(&self, port: u16) -> anyhow::Result<Store> {
        Ok(Store::connect(&storage::store::Config {
            endpoint: Some(format!("http://127.0.0.1:{port}")),
            access_key_file: Some(self.lectern.key("s3-access-key")),
            secret_key_file: Some(self.lectern.key("s3-secret-key")),
            create_buckets: true,
            ..storage::store::Config::default()
        })
        .await?)
    }

    /// The store as a client beside all faults.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn client(&self) -> anyhow::Result<Store> {
        self.straight(self.lectern.ports()[0]).await
    }

    /// Everything is good again: lines open, the store honest.
    pub fn mend(&self) {
        self.store_line.set(Line::Open);
        self.broker_line.set(Line::Open);
        self.front.behave();
    }

    /// A room in which a lecture is held, with slides that tell the time and a voice that beeps; `title` chooses the rule.
    ///
    /// # Errors
    /// When Janus refuses.
    pub async fn lecture(&self, title: &str) -> anyhow::Result<Lecture> {
        let id = rand::random_range(100_000..1_000_000_000);
        let news = News::of(&self.broker, id).await?;
        let room = Room::create_as(&self.janus.url(), id, &Plan::titled(title)).await?;
        self.lecture_in(room, news).await
    }

    /// As [`Campus::lecture`], in a room that is there.
    ///
    /// # Errors
    /// As [`Campus::lecture`].
    pub async fn lecture_in(&self, room: Room, news: News) -> anyhow::Result<Lecture> {
        let speaker = self.speaker(&room).await?;
        let [person, ..] = cast();
        Ok(Lecture { speakers: vec![speaker], meeting: Meeting { room, news }, person })
    }

    /// Slides at ten a second with beeps once a second.
    ///
    /// # Errors
    /// When Janus does not let them in.
    pub async fn speaker(&self, room: &Room) -> anyhow::Result<Publisher> {
        let [person, ..] = cast();
        let media = Media { fps: 10, mic: true, ..Media::slides("Faults") };
        Publisher::join(&self.janus.url(), room.id, &person, &media, &self.work.join("inputs")).await
    }

    pub fn inputs(&self) -> PathBuf {
        self.work.join("inputs")
    }

    pub fn opened(&self) -> PathBuf {
        self.work.join("opened")
    }

    /// A folder of the run, for what a row makes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.work.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The recording's files.
    ///
    /// # Errors
    /// When it has none.
    pub fn archive(&self, recording: RecordingId) -> anyhow::Result<Archive> {
        Archive::find(&self.lectern.store(), TENANT, &recording.to_string())
    }

    /// Opens the film with stock tools and the offline key.
    ///
    /// # Errors
    /// When that fails.
    pub fn film(&self, recording: RecordingId) -> anyhow::Result<PathBuf> {
        let out = self.opened().join(format!("{recording}.mp4"));
        let _ = fs::remove_file(&out);
        let _ = fs::remove_file(out.with_extension("key"));
        self.archive(recording)?.open(&self.lectern.key("archive.key"), &out)?;
        Ok(out)
    }

    /// `state.json`, as it lies in the store.
    ///
    /// # Errors
    /// When there is none.
    pub fn state(&self, recording: RecordingId) -> anyhow::Result<Value> {
        let text = fs::read(self.archive(recording)?.media().join("state.json"))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Names of all manifests.
    ///
    /// # Errors
    /// When the recording is not there.
    pub fn manifests(&self, recording: RecordingId) -> anyhow::Result<Vec<PathBuf>> {
        let all = fs::read_dir(self.archive(recording)?.media())?.flatten().map(|entry| entry.path());
        let is = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("MANIFEST.") && name.ends_with(".json")
        };
        Ok(all.filter(is).collect())
    }

    /// The newest manifest.
    ///
    /// # Errors
    /// When there is none.
    pub fn manifest(&self, recording: RecordingId) -> anyhow::Result<Value> {
        let newest = self.manifests(recording)?.into_iter().max().context("no manifest")?;
        Ok(serde_json::from_slice(&fs::read(newest)?)?)
    }

    /// Files of `live/{epoch}/{rendition}`, without those that are being written.
    ///
    /// # Errors
    /// When the recording is not there.
    pub fn segments(&self, recording: RecordingId, epoch: u64, rendition: &str) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.archive(recording)?.media().join(format!("live/{epoch:04}/{rendition}"));
        let mut found: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        found.retain(|path| path.to_string_lossy().ends_with(".m4s.age"));
        found.sort();
        Ok(found)
    }

    /// Waits until epoch `epoch` or a later one has stored a segment; returns which.
    ///
    /// # Errors
    /// When none has within `deadline`.
    pub async fn stored(&self, recording: RecordingId, epoch: u64, deadline: Duration) -> anyhow::Result<u64> {
        until(&format!("epoch {epoch} stores something"), deadline, async || {
            let Ok(state) = self.state(recording) else { return Ok(None) };
            let now = state["epoch"].as_u64().unwrap_or(0);
            let found = now >= epoch && !self.segments(recording, now, "video")?.is_empty();
            Ok(found.then_some(now))
        })
        .await
    }

    /// Whether `lectern recordings verify` is content, and what it says.
    ///
    /// # Errors
    /// When it prints no JSON.
    pub fn verify(&self, recording: RecordingId) -> anyhow::Result<(bool, Vec<(String, String)>)> {
        let answer = self.lectern.run(&["recordings", "verify", &recording.to_string(), "--json"])?;
        let told: Value = serde_json::from_str(&answer.out).with_context(|| format!("{}{}", answer.out, answer.err))?;
        let findings = told[0]["findings"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok((answer.status.success(), findings.iter().map(|f| (text(&f["key"]), text(&f["what"]))).collect()))
    }

    /// Puts a copy of the store as it is now into `copy`, times and all: an embedded store's ETags are times.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn save(&self, copy: &Path) -> anyhow::Result<()> {
        let _ = fs::remove_dir_all(copy);
        run(Command::new("cp").arg("-a").arg(self.lectern.store()).arg(copy))
    }

    /// Puts the copy in the store's place; the store is away meanwhile.
    ///
    /// # Errors
    /// When it cannot be copied, or the store does not come back.
    pub async fn restore(&mut self, copy: &Path) -> anyhow::Result<()> {
        let [s3, ..] = self.lectern.ports();
        self.store.stop()?;
        fs::remove_dir_all(self.lectern.store())?;
        run(Command::new("cp").arg("-a").arg(copy).arg(self.lectern.store()))?;
        self.store.start()?;
        answers(&self.store, s3).await
    }
}

/// What somebody publishes who wants a room of the rule `asked` recorded.
///
/// # Errors
/// Never: the id fits.
pub fn wish() -> anyhow::Result<RecordingRequested> {
    Ok(RecordingRequested {
        policy: PolicyId::new("asked")?,
        requested_by: "a-lecturer".into(),
        layout: LayoutName::Speaker,
        language: "en".into(),
        basis: Basis::Consent,
        retention_days: 30,
        webinar: false,
        max_seconds: 3600,
    })
}

/// What a recorder logs when it is ready.
pub const TAKES: &str = "recorder takes requests";

fn lines(store: &Proxy, broker: &Proxy) -> String {
    format!("store.endpoint = \"http://{}\"\nbroker.url = \"amqp://{}/%2f\"\n", store.address(), broker.address())
}

async fn answers(store: &Service, port: u16) -> anyhow::Result<()> {
    until("the store answers", SOON, async || {
        store.check()?;
        Ok(tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok().map(drop))
    })
    .await
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let out = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// Somebody speaks in a room.
#[derive(Debug)]
pub struct Lecture {
    pub speakers: Vec<Publisher>,
    pub meeting: Meeting,
    pub person: Person,
}

/// A lecture that was recorded.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    pub ready: Ready,
    pub started: SystemTime,
    pub ended: SystemTime,
}

impl Lecture {
    /// Waits until a recording of it has begun.
    ///
    /// # Errors
    /// When none does.
    pub async fn started(&self) -> anyhow::Result<(RecordingId, SystemTime)> {
        let (at, recording) = self.meeting.news.started(SOON).await?;
        Ok((recording, SystemTime::now() - at.elapsed()))
    }

    /// Ends it, and waits until its film is ready.
    ///
    /// # Errors
    /// When it never is.
    pub async fn over(self, started: SystemTime, deadline: Duration) -> anyhow::Result<Over> {
        let ended = SystemTime::now();
        let begun = Instant::now();
        self.meeting.room.destroy().await?;
        let ready = self.ready(begun, deadline).await?;
        Ok(Over { ready, started, ended })
    }

    /// Waits for the film of what ended at `ended`.
    ///
    /// # Errors
    /// When it is never ready.
    pub async fn ready(&self, ended: Instant, deadline: Duration) -> anyhow::Result<Ready> {
        let (at, event) = self.meeting.news.wait("recording.ready", deadline).await?;
        let Body::RecordingReady(ready) = event.body else { anyhow::bail!("another body than its kind says") };
        Ok(Ready {
            recording: ready.recording,
            after: at.saturating_duration_since(ended),
            duration_ms: ready.duration_ms,
            complete: ready.complete,
        })
    }

    /// The event that called for the finalizer.
    pub fn call(&self) -> Option<Event> {
        let last = |event: &Event| matches!(&event.body, Body::EpochStored(stored) if stored.last);
        self.meeting.news.all().into_iter().map(|(_, event)| event).find(last)
    }
}

/// A decoded film: pictures by their codes, beeps by their times.
#[derive(Debug)]
pub struct Film {
    pub codes: Codes,
    /// In seconds since 1970, by the codes seen near them.
    pub beeps: Vec<f64>,
}

impl Film {
    /// Decodes `file`, which `person` beeps in.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn of(file: &Path, about: SystemTime, person: &Person) -> anyhow::Result<Self> {
        let codes = Codes::read(file, about)?;
        let sound = Sound::decode(file)?;
        // Of the codes around, the freshest tells the time: a picture that stands still tells an earlier one.
        let offsets = |at: f64| {
            let from = codes.shown.partition_point(|shown| shown.at <= at - 10.0);
            let near = codes.shown[from..].iter().take_while(|shown| shown.at < at + 10.0);
            let offset = |shown: &super::look::Shown| shown.wall - shown.at;
            // Where sound alone was kept, the last code before it must do.
            near.map(offset).max_by(f64::total_cmp).or_else(|| codes.shown[..from].last().map(offset))
        };
        let beeps = sound.beeps(person.pitch).into_iter().filter_map(|at| Some(at + offsets(at)?)).collect();
        Ok(Self { codes, beeps })
    }

    /// Seconds of wall time within `from..to` without a beep that began in them.
    pub fn silent(&self, from: SystemTime, to: SystemTime) -> Vec<u64> {
        let (from, to) = (super::look::seconds(from).ceil() as u64, super::look::seconds(to).floor() as u64);
        // Beeps stand on whole seconds; a code is up to two tenths old, and sound may lead or lag.
        let heard = |second: u64| self.beeps.iter().any(|beep| (beep - second as f64).abs() < 0.45);
        (from..to).filter(|second| !heard(*second)).collect()
    }
}
