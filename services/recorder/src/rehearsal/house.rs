//! A recorder's surroundings: an S3 in this process, keys, a spool, a herald that remembers, and media processes that are
//! played by the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::Error;
use bytes::Bytes;
use chassis::Sections;
use claim::Record;
use events::{Body, Event, Gate, Meta, RecordingRequested};
use futures_util::future::BoxFuture;
use media::{
    Codec, Init, MediaTime, Part, Participant, ParticipantId, Rendition, SegmentClosed, Source, Track, TrackId,
};
use session::Room;
use storage::embedded::Embedded;
use storage::keys::Institution;
use storage::spool::Bound;
use storage::{Bucket, Identity, Journal, OpenKey, RecordingPath, Spool, Store, Writer, recordings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clerk::{Herald, now};
use crate::config::Config;
use crate::epoch::record;
use crate::held::Notes;
use crate::outbox::Outbox;
use crate::process::{Launch, Launched};
use crate::take::{Desk, Job, Taken};
use crate::wire::{self, Command, Report};
use crate::worker::Shop;

/// Longer than anything here takes, shorter than a hanging test is worth.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, happens).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Remembers every event.
#[derive(Default)]
pub(crate) struct Herd(Mutex<Vec<Event>>);

impl Herald for Herd {
    fn tell<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Error>> {
        // As the real one: what its readers would refuse must not go out.
        Event::parse(&event.to_json()).unwrap();
        self.0.lock().unwrap().push(event.clone());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Gives the other ends of the pipes to the test.
struct Players {
    tell: mpsc::UnboundedSender<Player>,
    broken: bool,
}

impl Launch for Players {
    fn launch(&self) -> std::io::Result<Launched> {
        if self.broken {
            return Err(std::io::Error::other("no such program"));
        }
        let (to, commands) = tokio::io::duplex(64 << 10);
        let (reports, from) = tokio::io::duplex(64 << 10);
        self.tell.send(Player::new(commands, reports)).unwrap();
        Ok(Launched { to: Box::new(to), from: Box::new(from), process: None })
    }
}

/// A media process, played. Dropped, it has died.
pub(crate) struct Player {
    commands: Box<dyn AsyncRead + Send + Unpin>,
    reports: Box<dyn AsyncWrite + Send + Unpin>,
    /// The attempt that is spoken of.
    pub(crate) join: u32,
}

impl Player {
    pub(crate) fn new(
        commands: impl AsyncRead + Send + Unpin + 'static,
        reports: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self { commands: Box::new(commands), reports: Box::new(reports), join: 0 }
    }

    pub(crate) async fn next(&mut self) -> Option<Command> {
        soon("a command", wire::read(&mut self.commands)).await.unwrap()
    }

    /// Reads commands up to the one that is wanted; no other than those named may come before it.
    pub(crate) async fn expect(&mut self, wanted: &[&str]) {
        for wanted in wanted {
            let command = self.next().await;
            let found = command.as_ref().map_or("end", word);
            assert_eq!(found, *wanted);
            if let Some(Command::Join { number, .. }) = command {
                self.join = number;
            }
        }
    }

    pub(crate) async fn say(&mut self, report: Report) {
        wire::write(&mut self.reports, &report).await.unwrap();
    }

    pub(crate) async fn see(&mut self, event: meeting::Event) {
        self.say(Report::Meeting { number: self.join, event }).await;
    }

    /// From the first command to a live recording of one camera.
    pub(crate) async fn go_live(&mut self) {
        self.expect(&["join"]).await;
        self.arrive().await;
        self.expect(&["start"]).await;
        self.say(Report::Playing { wall: now() }).await;
        self.expect(&["add", "arrange"]).await;
        self.init().await;
    }

    /// Both renditions begin.
    pub(crate) async fn init(&mut self) {
        for rendition in [Rendition::video(), Rendition::audio()] {
            let picture = (rendition == Rendition::video()).then(media::Canvas::default);
            let bytes = Bytes::from(format!("init of {rendition}"));
            self.say(Report::Init(Init { rendition, codec: "avc1.64001f".into(), picture, bytes })).await;
        }
    }

    /// Somebody comes in and turns their camera on.
    pub(crate) async fn arrive(&mut self) {
        let who = ParticipantId("17".into());
        self.see(meeting::Event::Joined { title: Some("Algebra I".into()) }).await;
        self.see(meeting::Event::Arrived(Participant { id: who.clone(), name: "Kari Nordmann".into() })).await;
        let id = TrackId(format!("camera-{}", self.join));
        self.see(meeting::Event::Track(Track { id, participant: who, source: Source::Camera, codec: Codec::Vp8 }))
            .await;
    }

    /// A whole segment of both renditions, of two parts each.
    pub(crate) async fn segment(&mut self, segment: u64) {
        for rendition in [Rendition::video(), Rendition::audio()] {
            for index in 0..2 {
                self.part(&rendition, segment, index).await;
            }
            let begins = MediaTime(segment * 3_200_000_000);
            let closed = SegmentClosed { rendition, segment, begins, lasts: Duration::from_millis(3200), wall: now() };
            self.say(Report::Closed(closed)).await;
        }
    }

    pub(crate) async fn part(&mut self, rendition: &Rendition, segment: u64, index: u32) {
        let bytes = Bytes::from(content(rendition, segment, index));
        let lasts = Duration::from_millis(1600);
        let part = Part { rendition: rendition.clone(), segment, index, lasts, independent: index == 0, bytes };
        self.say(Report::Part(part)).await;
    }

    /// Drains as told, and ends when nobody commands any more.
    pub(crate) async fn finish(mut self) {
        self.expect(&["leave", "drain"]).await;
        self.say(Report::Drained).await;
        self.expect(&["end"]).await;
    }
}

fn word(command: &Command) -> &'static str {
    match command {
        Command::Join { .. } => "join",
        Command::Leave => "leave",
        Command::Start(_) => "start",
        Command::AddTrack(_) => "add",
        Command::DropTrack(_) => "drop",
        Command::Arrange(_) => "arrange",
        Command::Drain => "drain",
    }
}

/// What a played part holds.
pub(crate) fn content(rendition: &Rendition, segment: u64, index: u32) -> String {
    format!("<{rendition} {segment}.{index}>")
}

pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) shop: Arc<Shop>,
    pub(crate) herd: Arc<Herd>,
    pub(crate) players: mpsc::UnboundedReceiver<Player>,
    pub(crate) stop: CancellationToken,
    pub(crate) address: SocketAddr,
    s3: JoinSet<()>,
}

const PLAIN: &str = "";

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(PLAIN, false).await
    }

    /// `more` is added to the configuration's `[recorder]`; in a `broken` house no media process can be started.
    pub(crate) async fn with(more: &str, broken: bool) -> Self {
        Self::within(more, broken, Bound::default()).await
    }

    /// With a spool that has a `bound`.
    pub(crate) async fn within(more: &str, broken: bool, bound: Bound) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let institution = Institution::generate(&keys, "test").unwrap();
        for (name, word) in [("access", "AKTEST"), ("secret", "secret-word"), ("token", "ingest-word")] {
            std::fs::write(keys.join(name), word).unwrap();
        }
        let mut s3 = JoinSet::new();
        let address = serve(&mut s3, &folder.path().join("s3"), "127.0.0.1:0".parse().unwrap()).await;
        let (archive, pipeline) = (&institution.archive, &institution.pipeline);
        let text = format!(
            r#"
            tenant.id = "uni"
            seal.recipients = ["{archive}", "{pipeline}"]
            meeting.main = {{ platform = "janus", url = "ws://127.0.0.1:1", sign = "recording" }}
            [store]
            endpoint = "http://{address}"
            access_key_file = "keys/access"
            secret_key_file = "keys/secret"
            create_buckets = true
            [recorder]
            ingest_token_file = "keys/token"
            {more}
            "#
        );
        let sections = Sections::parse(&folder.path().join("lectern.toml"), &text).unwrap();
        let config = Config::read(&sections).unwrap();
        let store = Store::connect(&config.store).await.unwrap();
        let herd = Arc::new(Herd::default());
        let (shop, players, stop) = shop(config, store, &herd, broken, bound);
        Self { folder, shop, herd, players, stop, address, s3 }
    }

    /// Another worker at the same store, with a spool, a stop and media processes of its own.
    pub(crate) fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = self.shop.config.clone();
        config.recorder.work = folder.path().join("spool");
        let (shop, players, stop) = shop(config, self.shop.desk.store.clone(), &self.herd, false, Bound::default());
        Self { folder, shop, herd: self.herd.clone(), players, stop, address: self.address, s3: JoinSet::new() }
    }

    /// What this worker is made of, to be changed before it does anything.
    pub(crate) fn make(&mut self) -> &mut Shop {
        Arc::get_mut(&mut self.shop).unwrap()
    }

    /// The store goes away, connections and all.
    pub(crate) async fn close_store(&mut self) {
        self.s3.shutdown().await;
    }

    /// It comes back at the same address with what it had.
    pub(crate) async fn open_store(&mut self) {
        serve(&mut self.s3, &self.folder.path().join("s3"), self.address).await;
    }

    pub(crate) async fn take(&self, event: &Event) -> Job {
        match soon("claiming", self.shop.desk.take(event)).await {
            Taken::Ours(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    /// Begins to record; what the room says goes into the returned channel.
    pub(crate) async fn begin(&self, event: &Event) -> Recording {
        self.record(self.take(event).await)
    }

    /// Records what was taken.
    pub(crate) fn record(&self, job: Job) -> Recording {
        let (path, epoch) = (job.held.path.clone(), job.held.record.epoch);
        let (room, news) = watch::channel(None);
        let shop = self.shop.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { record(&shop, job, news).await });
        Recording { path, epoch, room, task, outbox: self.shop.outbox.clone() }
    }

    pub(crate) async fn player(&mut self) -> Player {
        soon("a media process", self.players.recv()).await.unwrap()
    }

    pub(crate) fn told(&self) -> Vec<&'static str> {
        self.herd.0.lock().unwrap().iter().map(|event| event.body.kind()).collect()
    }

    /// Waits until an event of `kind` went out.
    pub(crate) async fn told_of(&self, kind: &str) {
        soon(kind, async {
            while !self.told().contains(&kind) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.herd.0.lock().unwrap().clone()
    }

    pub(crate) async fn record_of(&self, path: &RecordingPath) -> Record {
        recordings::state(&self.shop.desk.store, path).await.unwrap().0
    }

    /// What lies under a key, opened as the finalizer would.
    pub(crate) async fn read(&self, recording: &Recording, key: &str) -> Vec<u8> {
        let store = &self.shop.desk.store;
        let identity = Identity::load(&self.keys().join("pipeline.key")).unwrap();
        let writer = Writer::Epoch(recording.epoch);
        let open = OpenKey::fetch(store, &recording.path, &writer, &identity).await.unwrap();
        let (sealed, _) = store.get(Bucket::Media, key, 1 << 20).await.unwrap();
        open.open(&sealed, 1 << 20).unwrap()
    }

    pub(crate) async fn journal(&self, recording: &Recording) -> Journal {
        let bytes = self.read(recording, &recording.path.journal(recording.epoch)).await;
        Journal::parse(&bytes).unwrap()
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// What the spool and the store hold, and whether any of it repeats `secret`.
    pub(crate) fn lies_about(&self, secret: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().join("s3"), self.folder.path().join("spool")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                // A file that went away meanwhile was renamed or uploaded, and is seen under its other name.
                } else if let Ok(bytes) = std::fs::read(&path)
                    && bytes.windows(secret.len()).any(|w| w == secret.as_bytes())
                {
                    found.push(path);
                }
            }
        }
        found
    }
}

fn shop(
    config: Config,
    store: Store,
    herd: &Arc<Herd>,
    broken: bool,
    bound: Bound,
) -> (Arc<Shop>, mpsc::UnboundedReceiver<Player>, CancellationToken) {
    let (tell, players) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let outbox = Outbox::open(&config.recorder.work.join("outbox")).unwrap();
    tokio::spawn({
        let (outbox, herd) = (outbox.clone(), herd.clone());
        async move { outbox.drain(&*herd, &CancellationToken::new()).await }
    });
    let shop = Shop {
        desk: Desk {
            tenant: config.tenant.clone(),
            store,
            recipients: config.recipients.clone(),
            gate: Mutex::new(Gate::default()),
            notes: Notes::open(&config.recorder.work).unwrap(),
            shy: Arc::default(),
            stop: stop.clone(),
        },
        spool: Spool::open(&config.recorder.work).unwrap().bounded(bound),
        outbox,
        launch: Arc::new(Players { tell, broken }),
        config,
    };
    (Arc::new(shop), players, stop)
}

async fn serve(s3: &mut JoinSet<()>, folder: &std::path::Path, at: SocketAddr) -> SocketAddr {
    // The one before lets go of its folder when its last request has ended.
    let embedded = soon("the store opens", async {
        loop {
            match Embedded::bind(at, folder, "AKTEST", "secret-word").await {
                Ok(embedded) => break embedded,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    let address = embedded.address();
    s3.spawn(embedded.run(CancellationToken::new()));
    address
}

/// A recording under way.
pub(crate) struct Recording {
    pub(crate) path: RecordingPath,
    pub(crate) epoch: u32,
    pub(crate) room: watch::Sender<Option<Room>>,
    task: JoinSet<()>,
    outbox: Outbox,
}

impl Recording {
    pub(crate) fn say(&self, news: Room) {
        self.room.send_replace(Some(news));
    }

    /// Its worker is killed.
    pub(crate) async fn dies(&mut self) {
        self.task.shutdown().await;
    }

    pub(crate) async fn ends(&mut self) {
        soon("the end", self.task.join_next()).await.unwrap().unwrap();
        soon("telling", self.outbox.empty()).await;
    }
}

/// A request for the room run `session`.
pub(crate) fn request(session: &str, change: impl Fn(&mut RecordingRequested)) -> Event {
    let mut asked = RecordingRequested {
        policy: events::PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: events::LayoutName::Speaker,
        language: "nb".into(),
        basis: events::Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 7200,
    };
    change(&mut asked);
    let meta = Meta {
        id: format!("request-{session}"),
        platform: events::Platform::Janus,
        instance: "main".into(),
        tenant: events::TenantId::new("uni").unwrap(),
        room: events::RoomId::new("1234").unwrap(),
        session: events::SessionId::new(session).unwrap(),
        time: now().to_string(),
    };
    Event { meta, body: Body::RecordingRequested(asked) }
}

/// The same envelope around something else.
pub(crate) fn about(event: &Event, id: &str, body: Body) -> Event {
    Event { meta: Meta { id: id.into(), ..event.meta.clone() }, body }
}
