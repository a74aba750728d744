//! The worker: takes requests while it has a free slot, and gives each recording a task of its own.
//!
//! # Design
//! A request is settled as soon as it is claimed, so a prefetch alone would let the broker send more than there are slots.
//! The worker therefore consumes only while a slot is free, with as much prefetch as there are free slots, and ends that
//! consumer when it has taken one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::{Broker, Consumer, Delivery, Work};
use chassis::Sections;
use events::{Body, Event, Gate, Meta, PolicyId, Verdict};
use futures_util::future::BoxFuture;
use session::Room;
use storage::recordings::Found;
use storage::{Spool, Spooled, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

use crate::clerk::{Herald, IN_HASTE};
use crate::config::Config;
use crate::epoch;
use crate::held::Notes;
use crate::outbox::Outbox;
use crate::process::{Launch, MediaProgram};
use crate::steward;
use crate::take::{Desk, Taken};

/// Between two tries of what the start waits for: with `lectern up`, the store comes up beside us.
const PAUSE: Duration = Duration::from_millis(500);

/// What an earlier run left in the spool is uploaded before anything else for at most so long; then beside it.
const ORPHANS_FIRST: Duration = Duration::from_secs(3);

/// Recordings found by the steward that wait for a slot.
const DUE: usize = 16;

/// This very program, even when an upgrade has put another file in its place.
const OURSELVES: &str = "/proc/self/exe";

/// Everything that recordings share.
pub(crate) struct Shop {
    pub(crate) config: Config,
    pub(crate) desk: Desk,
    pub(crate) spool: Spool,
    pub(crate) outbox: Outbox,
    pub(crate) launch: Arc<dyn Launch>,
}

/// The broker, as soon as there is one: recordings go on without.
#[derive(Debug, Clone)]
pub(crate) struct Line(watch::Receiver<Option<Broker>>);

impl Line {
    async fn broker(&self) -> Broker {
        let mut line = self.0.clone();
        match line.wait_for(Option::is_some).await.map(|broker| broker.clone()) {
            Ok(Some(broker)) => broker,
            // There will be none any more: this worker ends.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

impl Herald for Line {
    fn tell<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), broker::Error>> {
        Box::pin(async move { self.broker().await.publish(event).await })
    }
}

/// Runs the recorder until `stop`, and then until every recording has come to its end or to another worker.
///
/// # Errors
/// When the configuration is wrong, GStreamer lacks an element, or the store or the broker will not have us.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let config = Config::read(sections)?;
    // Its media processes could not compose anything; better said now than in the middle of a lecture.
    compositor::check()?;
    let Some(store) = reach(&config.store, &stop).await? else { return Ok(()) };
    let spool = Spool::open(&config.recorder.work)?.bounded(config.recorder.bound());
    let _alone = spool.lock()?;
    let notes = Notes::open(&config.recorder.work)?;
    let desk = Desk {
        tenant: config.tenant.clone(),
        store: store.clone(),
        recipients: config.recipients.clone(),
        gate: Mutex::new(Gate::default()),
        notes,
        shy: Arc::default(),
        stop: stop.clone(),
    };
    let program = match &config.recorder.media_program {
        Some(path) => path.clone(),
        None => PathBuf::from(OURSELVES),
    };
    let (connected, line) = watch::channel(None);
    let line = Line(line);
    let broker_config = config.broker.clone();
    let outbox = Outbox::open(&config.recorder.work.join("outbox"))?;
    let launch = Arc::new(MediaProgram(program));
    let shop = Arc::new(Shop { config, desk, spool: spool.clone(), outbox, launch });

    let orphans = tokio::task::spawn_blocking(move || spool.orphans()).await??;
    let mut beside = JoinSet::new();
    let mut orphans = Orphans { spool: shop.spool.clone(), store, found: orphans.into() };
    if !orphans.upload(Instant::now() + ORPHANS_FIRST, &stop).await {
        info!(files = orphans.found.len(), "the rest of what an earlier run left is uploaded beside new work");
        let stop = stop.clone();
        beside.spawn(async move {
            while !stop.is_cancelled() && !orphans.upload(Instant::now() + ORPHANS_FIRST, &stop).await {}
        });
    }
    beside.spawn(storage::store::watch(shop.desk.store.clone(), storage::store::HOURLY, stop.clone()));
    let connecting = connect(broker_config, connected, stop.clone());
    let (connection, ()) = tokio::join!(connecting, serve_and_tell(&shop, &line));
    beside.shutdown().await;
    if let Some(broker) = connection? {
        broker.close().await;
    }
    Ok(())
}

/// Connects, and keeps the connection until the service ends. A broker that will not have us ends the service.
async fn connect(
    config: broker::Config,
    connected: watch::Sender<Option<Broker>>,
    stop: CancellationToken,
) -> anyhow::Result<Option<Broker>> {
    match Broker::connect(&config, stop.clone()).await {
        Ok(broker) => {
            connected.send_replace(Some(broker.clone()));
            stop.cancelled().await;
            Ok(Some(broker))
        }
        Err(broker::Error::Stopped) => Ok(None),
        Err(why) => {
            stop.cancel();
            Err(why.into())
        }
    }
}

/// Waits for a store that is away. None when told to stop meanwhile.
async fn reach(config: &storage::store::Config, stop: &CancellationToken) -> anyhow::Result<Option<Store>> {
    loop {
        let reached = async {
            let store = Store::connect(config).await?;
            store.check().await.map(|()| store)
        };
        match reached.await {
            Ok(store) => return Ok(Some(store)),
            Err(why) if why.is_passing() => warn!(error = &why as &dyn std::error::Error, "waiting for the store"),
            Err(why) => return Err(why.into()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return Ok(None);
        }
    }
}

/// What an earlier run left in the spool, whatever epoch it is of.
pub(crate) struct Orphans {
    pub(crate) spool: Spool,
    pub(crate) store: Store,
    pub(crate) found: std::collections::VecDeque<Spooled>,
}

impl Orphans {
    /// Uploads until `until`. True when nothing is left that could be uploaded, or when told to stop.
    pub(crate) async fn upload(&mut self, until: Instant, stop: &CancellationToken) -> bool {
        while let Some(orphan) = self.found.front() {
            info!(key = orphan.key(), size = orphan.size(), "uploading what an earlier run left");
            match self.spool.upload(&self.store, orphan.clone()).await {
                Ok(_) => drop(self.found.pop_front()),
                Err(why) => {
                    warn!(error = &why as &dyn std::error::Error, "it stays in the spool");
                    if !why.is_passing() {
                        self.found.pop_front();
                    }
                    if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                        return true;
                    }
                }
            }
            if Instant::now() >= until {
                break;
            }
        }
        self.found.is_empty()
    }
}

/// Serves, while events go out; then brings out what is left, in haste. What the broker has not taken by then lies in the
/// outbox for the next start.
async fn serve_and_tell(shop: &Arc<Shop>, line: &Line) {
    let served = async {
        serve(shop, line).await;
        if tokio::time::timeout(IN_HASTE, shop.outbox.empty()).await.is_err() {
            warn!(events = shop.outbox.pending(), "events wait for the broker; the next start brings them out");
        }
    };
    // It ends with `served`.
    let for_ever = CancellationToken::new();
    tokio::select! {
        () = served => {}
        () = shop.outbox.drain(line, &for_ever) => {}
    }
}

async fn serve(shop: &Arc<Shop>, line: &Line) {
    let slots = usize::from(shop.config.recorder.slots);
    let (tell, mut due) = mpsc::channel(DUE);
    for found in steward::left_behind(&shop.desk).await {
        // As many as it could have held.
        let _ = tell.try_send(found);
    }
    let steward = AbortOnDropHandle::new(tokio::spawn({
        let shop = shop.clone();
        async move { steward::look_after(&shop.desk, &tell).await }
    }));
    let mut recordings = JoinSet::new();
    info!(slots, "recorder takes requests");
    loop {
        let room = shop.spool.level().takes_new();
        if !room {
            debug!("the spool is too full for another recording");
        }
        let free = if room { slots.saturating_sub(recordings.len()) } else { 0 };
        tokio::select! {
            biased;
            () = shop.desk.stop.cancelled() => break,
            Some(ended) = recordings.join_next() => report(ended),
            Some(found) = due.recv(), if free > 0 => {
                recordings.spawn(resume(shop.clone(), line.clone(), found));
            }
            Some(delivery) = next(shop, line, free), if free > 0 => {
                recordings.spawn(attend(shop.clone(), line.clone(), delivery));
            }
        }
    }
    drop(steward);
    info!(recordings = recordings.len(), "no more requests; handing over what is being recorded");
    while let Some(ended) = recordings.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(panicked) = ended {
        error!(error = %panicked, "a recording ended oddly");
    }
}

/// One request, from a consumer of its own. Repeats of what was taken before are dropped on the way: a thousand of them
/// cost no thousand consumers.
async fn next(shop: &Shop, line: &Line, free: usize) -> Option<Delivery> {
    let prefetch = u16::try_from(free).unwrap_or(u16::MAX);
    let mut requests = line.broker().await.work(Work::Record, prefetch).await.ok()?;
    loop {
        let delivery = requests.next().await?;
        if !shop.desk.repeats(&delivery.event) {
            return Some(delivery);
        }
        // Unsettled, it would come again, and be a repeat.
        let _ = delivery.settle().await;
    }
}

/// Takes one request, or puts it where it belongs; then records.
async fn attend(shop: Arc<Shop>, line: Line, delivery: Delivery) {
    let (meta, Body::RecordingRequested(asked)) = (&delivery.event.meta, &delivery.event.body) else {
        drop(delivery.park("not-a-request").await);
        return;
    };
    // Bound before the claim, so that a stop that follows the request closely is heard.
    let Ok(room) = line.broker().await.room(&meta.tenant, &meta.room).await else {
        return; // Told to stop; unsettled, the request goes back.
    };
    let (tell, news) = watch::channel(None);
    let ears = listen(shop.clone(), room, (meta.clone(), asked.policy.clone()), tell);
    let _room = AbortOnDropHandle::new(tokio::spawn(ears));
    let settled = match shop.desk.take(&delivery.event).await {
        Taken::Ours(job) => {
            let settled = delivery.settle().await;
            epoch::record(&shop, *job, news).await;
            settled
        }
        Taken::Over(held, reason) => {
            epoch::close(&shop, *held, &delivery.event.meta, reason).await;
            delivery.settle().await
        }
        Taken::Settle(why) => {
            info!(why, "request dropped");
            delivery.settle().await
        }
        Taken::Park(reason) => delivery.park(reason).await,
        Taken::GiveBack => delivery.give_back().await,
        Taken::Fail(why) => {
            error!(error = &why as &dyn std::error::Error, "the store will not have this recording");
            delivery.fail().await
        }
    };
    if let Err(why) = settled {
        // It comes again, and is dropped then: the record exists.
        warn!(error = &why as &dyn std::error::Error, "request not settled");
    }
}

/// Takes over what nobody records, and goes on with it.
async fn resume(shop: Arc<Shop>, line: Line, (path, record, etag): Found) {
    let (tell, news) = watch::channel(None);
    let about = (record.meta(), record.policy.clone());
    let _room = AbortOnDropHandle::new(tokio::spawn({
        let shop = shop.clone();
        async move {
            // It does not wait for the broker: without one, nobody can say anything about the room.
            if let Ok(room) = line.broker().await.room(&about.0.tenant, &about.0.room).await {
                listen(shop, room, about, tell).await;
            }
        }
    }));
    match shop.desk.take_over(&path, &record, etag).await {
        Taken::Ours(job) => {
            info!(recording = %path.recording, epoch = job.held.record.epoch, "goes on with what nobody recorded");
            epoch::record(&shop, *job, news).await;
        }
        Taken::Over(held, reason) => epoch::close(&shop, *held, &record.meta(), reason).await,
        Taken::Settle(why) => info!(recording = %path.recording, why, "not taken over"),
        Taken::Fail(why) => {
            shop.desk.shy.of(path.recording);
            error!(error = &why as &dyn std::error::Error, recording = %path.recording, "cannot be taken over");
        }
        Taken::Park(_) | Taken::GiveBack => {} // Of messages alone.
    }
}

/// Hears what is said about the room, for as long as anybody wants to know.
async fn listen(
    shop: Arc<Shop>,
    mut news: Consumer,
    (meta, policy): (Meta, PolicyId),
    tell: watch::Sender<Option<Room>>,
) {
    while let Some(delivery) = news.next().await {
        let told = about(&meta, &policy, &delivery.event);
        let fresh = told.is_some() && shop.desk.admit(&delivery.event) == Verdict::Fresh;
        // Unsettled, it would come again, and be a repeat.
        let _ = delivery.settle().await;
        if let (Some(told), true) = (told, fresh)
            && tell.send(Some(told)).is_err()
        {
            return;
        }
    }
}

/// What an event says to the recording of `policy` in the room run of `meta`.
pub(crate) fn about(meta: &Meta, policy: &PolicyId, heard: &Event) -> Option<Room> {
    let same = (&heard.meta.tenant, &heard.meta.session) == (&meta.tenant, &meta.session);
    match &heard.body {
        Body::RoomEnded(_) if same => Some(Room::Ended),
        Body::RecordingStopped(stop) if same && stop.policy == *policy => Some(Room::StopRequested),
        _ => None,
    }
}
