//! A whole worker between a real RabbitMQ and a store: what it takes and what it hears, while it works and while it leaves.

#[path = "../../../../pipelines/broker/tests/server/mod.rs"]
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Broker, Work};
use claim::{Phase, Record};
use events::{Body, Event, RecordingStopped, RoomEnded};
use media::Rendition;
use storage::spool::{Bound, Level};
use storage::store::{Config, HOURLY};
use storage::{Bucket, RecordingPath, SealKey, Spool, Store, Writer, recordings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::server::Server;
use super::house::{House, about, request, soon};
use crate::outbox::Outbox;
use crate::worker::work;

/// A worker, another beside it that only looks on, and whoever else speaks through the broker.
struct Site {
    house: House,
    worker: House,
    broker: Broker,
    _server: Arc<Server>,
}

impl Site {
    async fn open() -> Self {
        let server = Server::shared();
        let config = broker::Config {
            url: server.fresh_url(),
            user: server::USER.into(),
            password_file: Some(server.password_file()),
            ..broker::Config::default()
        };
        let house = House::with("slots = 3\nlimits.hand_over_seconds = 60", false).await;
        let mut worker = house.beside();
        // What it tells goes to the broker, and to nobody else.
        let outbox = Outbox::open(&worker.folder.path().join("told")).unwrap();
        let made = worker.make();
        (made.outbox, made.config.broker) = (outbox, config.clone());
        let broker = soon("the broker", Broker::connect(&config, CancellationToken::new())).await.unwrap();
        Self { house, worker, broker, _server: server }
    }

    fn works(&self, every: Duration, fit: watch::Sender<bool>) -> JoinHandle<anyhow::Result<()>> {
        let shop = self.worker.shop.clone();
        tokio::spawn(async move { work(&shop, every, fit).await })
    }

    async fn say(&self, event: &Event) {
        soon("publishing", self.broker.publish(event)).await.unwrap();
    }
}

fn path_of(event: &Event) -> RecordingPath {
    let Body::RecordingRequested(asked) = &event.body else { panic!("not a request") };
    let record = Record::first(&event.meta, asked, String::new(), crate::clerk::now());
    RecordingPath::new(record.tenant, record.created, record.recording)
}

/// What becomes of a recording about which `body` is said while its worker, told to stop, waits for a successor.
async fn heard_while_leaving(body: Body) -> Record {
    let mut site = Site::open().await;
    let working = site.works(HOURLY, watch::channel(true).0);
    let event = request("run-1", |_| {});
    site.say(&event).await;
    let mut child = site.worker.player().await;
    child.go_live().await;
    child.segment(0).await;
    site.worker.stop.cancel();
    let path = path_of(&event);
    soon("the offer", async {
        while !site.house.record_of(&path).await.owner.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    site.say(&request("run-2", |_| {})).await;
    // A command that no recorder hears is an error here.
    site.say(&about(&event, "said-late", body)).await;
    child.finish().await;
    soon("the worker's end", working).await.unwrap().unwrap();

    let mut films = site.broker.work(Work::Finalize, 1).await.unwrap();
    let told = soon("the film's beginning", films.next()).await.unwrap();
    assert!(matches!(&told.event.body, Body::EpochStored(stored) if stored.last), "{:?}", told.event);
    let mut requests = site.broker.work(Work::Record, 1).await.unwrap();
    let waits = soon("the request", requests.next()).await.unwrap();
    assert_eq!(waits.event.meta.id, "request-run-2");
    assert!(site.worker.players.try_recv().is_err(), "a worker that leaves took a request");
    site.house.record_of(&path).await
}

#[tokio::test]
async fn a_worker_that_waits_for_a_successor_hears_that_its_recording_is_to_stop() {
    let requested_by = "lecturer".to_owned();
    let policy = events::PolicyId::new("lectures").unwrap();
    let record = heard_while_leaving(Body::RecordingStopped(RecordingStopped { policy, requested_by })).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("stopped")));
}

#[tokio::test]
async fn a_worker_that_waits_for_a_successor_hears_that_its_room_has_ended() {
    let record = heard_while_leaving(Body::RoomEnded(RoomEnded { reason: "closed".into() })).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("room-ended")));
}

#[tokio::test]
async fn a_worker_whose_store_is_found_unfit_takes_nothing_until_it_is_fit_again() {
    let mut site = Site::open().await;
    let liar = Liar::before(site.house.address).await;
    let through = Config { endpoint: Some(liar.endpoint.clone()), ..site.house.shop.config.store.clone() };
    site.worker.make().desk.store = Store::connect(&through).await.unwrap();
    let (tell, mut fit) = watch::channel(true);
    let working = AbortOnDropHandle::new(site.works(Duration::from_secs(1), tell));
    let first = request("run-1", |_| {});
    site.say(&first).await;
    let mut child = site.worker.player().await;
    child.go_live().await;
    child.segment(0).await;

    liar.lies.store(true, Ordering::SeqCst);
    soon("the verdict", fit.wait_for(|fit| !fit)).await.unwrap();
    site.say(&request("run-2", |_| {})).await;
    let job = site.house.take(&request("run-3", |_| {})).await;
    let offered = job.held.record.offer(job.held.record.changed).unwrap();
    recordings::swap(&site.house.shop.desk.store, &job.held.path, &offered, &job.held.etag).await.unwrap();
    // What it holds goes on.
    child.segment(1).await;
    let key = path_of(&first).segment(1, &Rendition::video(), 1);
    soon("storing", async {
        while site.house.shop.desk.store.head(Bucket::Media, &key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let taken = tokio::time::timeout(Duration::from_secs(4), site.worker.players.recv()).await;
    assert!(taken.is_err(), "taken while the store is unfit");

    liar.lies.store(false, Ordering::SeqCst);
    soon("the better verdict", fit.wait_for(|fit| *fit)).await.unwrap();
    let _request = site.worker.player().await;
    let _takeover = site.worker.player().await;
    assert!(!working.is_finished());
}

/// It finds out by itself that what filled the spool has gone.
#[tokio::test]
async fn a_worker_whose_spool_was_too_full_takes_requests_again_when_there_is_room() {
    let mut site = Site::open().await;
    let folder = site.worker.folder.path().join("small");
    let spool = Spool::open(&folder).unwrap().bounded(Bound { own: Some(1 << 20), reserve: 0 });
    let made = site.worker.make();
    (made.spool, made.config.recorder.slots) = (spool.clone(), 1);
    let working = AbortOnDropHandle::new(site.works(HOURLY, watch::channel(true).0));
    let first = request("run-1", |_| {});
    site.say(&first).await;
    let mut child = site.worker.player().await;
    child.go_live().await;
    let (store, to) = (&site.house.shop.desk.store, &site.house.shop.desk.recipients);
    let key = SealKey::create(store, &path_of(&first), &Writer::Epoch(99), to).await.unwrap();
    let fills = spool.add("v1/another/recording.age", &key.seal(vec![7_u8; 880_000])).unwrap();
    assert_eq!(spool.level(), Level::Low);
    site.say(&about(&first, "ended", Body::RoomEnded(RoomEnded { reason: "closed".into() }))).await;
    child.finish().await;
    site.say(&request("run-2", |_| {})).await;
    let taken = tokio::time::timeout(Duration::from_secs(3), site.worker.players.recv()).await;
    assert!(taken.is_err(), "taken into a spool that is too full");
    spool.discard(&fills);
    let _second = site.worker.player().await;
    assert!(!working.is_finished());
}

/// Relays to a store, and while it lies, says 200 where the store has refused a condition.
struct Liar {
    endpoint: String,
    lies: Arc<AtomicBool>,
    _task: AbortOnDropHandle<()>,
}

impl Liar {
    async fn before(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let lies = Arc::new(AtomicBool::new(false));
        let lying = lies.clone();
        let task = tokio::spawn(async move {
            let mut relays = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                relays.spawn(relay(client, store, lying.clone()));
            }
        });
        Self { endpoint, lies, _task: AbortOnDropHandle::new(task) }
    }
}

async fn relay(client: TcpStream, store: SocketAddr, lies: Arc<AtomicBool>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_store, mut to_store) = TcpStream::connect(store).await?.into_split();
    let replies = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_store.read(&mut buffer).await?;
            if read == 0 {
                return std::io::Result::Ok(());
            }
            if lies.load(Ordering::SeqCst) && buffer[..read].starts_with(b"HTTP/1.1 412") {
                return to_client.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    // Whichever ends first, both connections are closed by dropping them.
    tokio::select! {
        done = tokio::io::copy(&mut from_client, &mut to_store) => done.map(drop),
        done = replies => done,
    }
}
