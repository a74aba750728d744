//! The worker: takes requests while it has a free slot, and gives each recording a task of its own.
//!
//! # Design
//! A request is settled as soon as it is claimed, so a prefetch alone would let the broker send more than there are slots.
//! The worker therefore consumes only while a slot is free, with as much prefetch as there are free slots, and ends that
//! consumer when it has taken one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, Consumer, Delivery, Work};
use chassis::Sections;
use events::{Body, Gate, Verdict};
use session::Room;
use storage::{Spool, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, error, info, warn};

use crate::clerk::Herald;
use crate::config::Config;
use crate::epoch;
use crate::process::{Launch, MediaProgram};
use crate::take::{Desk, Taken};
use crate::telemetry;

/// Between two tries of what the start waits for: with `lectern up`, the store comes up beside us.
const PAUSE: Duration = Duration::from_millis(500);

/// This very program, even when an upgrade has put another file in its place.
const OURSELVES: &str = "/proc/self/exe";

/// Everything that recordings share.
pub(crate) struct Shop {
    pub(crate) config: Config,
    pub(crate) desk: Desk,
    pub(crate) spool: Spool,
    pub(crate) herald: Arc<dyn Herald>,
    pub(crate) launch: Arc<dyn Launch>,
}

/// Runs the recorder until `stop`, and then until every recording has come to its end.
///
/// # Errors
/// When the configuration is wrong, GStreamer lacks an element, or the store or the broker will not have us.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let config = Config::read(sections)?;
    // Its media processes could not compose anything; better said now than in the middle of a lecture.
    compositor::check()?;
    let Some(store) = reach(&config.store, &stop).await? else { return Ok(()) };
    let spool = Spool::open(&config.recorder.work)?;
    let _alone = spool.lock()?;
    if !upload_orphans(&spool, &store, &stop).await? {
        return Ok(());
    }
    let broker = match Broker::connect(&config.broker, stop.clone()).await {
        Err(broker::Error::Stopped) => return Ok(()),
        connected => connected?,
    };
    let program = match &config.recorder.media_program {
        Some(path) => path.clone(),
        None => PathBuf::from(OURSELVES),
    };
    let desk = Desk {
        tenant: config.tenant.clone(),
        store,
        recipients: config.recipients.clone(),
        gate: Mutex::new(Gate::default()),
        stop: stop.clone(),
    };
    let (herald, launch) = (Arc::new(broker.clone()), Arc::new(MediaProgram(program)));
    let shop = Arc::new(Shop { config, desk, spool, herald, launch });
    info!(slots = shop.config.recorder.slots, "recorder takes requests");
    serve(&shop, &broker).await;
    broker.close().await;
    Ok(())
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

/// What an earlier run left in the spool goes first, whatever epoch it is of. False when told to stop meanwhile.
pub(crate) async fn upload_orphans(spool: &Spool, store: &Store, stop: &CancellationToken) -> anyhow::Result<bool> {
    let found = tokio::task::spawn_blocking({
        let spool = spool.clone();
        move || spool.orphans()
    });
    for orphan in found.await?? {
        info!(key = orphan.key(), size = orphan.size(), "uploading what an earlier run left");
        while let Err(why) = spool.upload(store, orphan.clone()).await {
            warn!(error = &why as &dyn std::error::Error, "it stays in the spool");
            if !why.is_passing() {
                break;
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn serve(shop: &Arc<Shop>, broker: &Broker) {
    let slots = usize::from(shop.config.recorder.slots);
    let mut recordings = JoinSet::new();
    loop {
        let free = slots - recordings.len();
        tokio::select! {
            biased;
            () = shop.desk.stop.cancelled() => break,
            Some(ended) = recordings.join_next() => report(ended),
            Some(delivery) = next(broker, free), if free > 0 => {
                recordings.spawn(attend(shop.clone(), broker.clone(), delivery));
            }
        }
    }
    info!(recordings = recordings.len(), "no more requests; finishing what was begun");
    while let Some(ended) = recordings.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(panicked) = ended {
        error!(error = %panicked, "a recording ended oddly");
    }
}

/// One request, from a consumer of its own.
async fn next(broker: &Broker, free: usize) -> Option<Delivery> {
    let prefetch = u16::try_from(free).unwrap_or(u16::MAX);
    broker.work(Work::Record, prefetch).await.ok()?.next().await
}

/// Takes one request, or puts it where it belongs; then records.
async fn attend(shop: Arc<Shop>, broker: Broker, delivery: Delivery) {
    // Bound before the claim, so that a stop that follows the request closely is heard.
    let Ok(room) = broker.room(&delivery.event.meta.tenant, &delivery.event.meta.room).await else {
        return; // Told to stop; unsettled, the request goes back.
    };
    let (tell, news) = mpsc::channel(16);
    let _room = AbortOnDropHandle::new(tokio::spawn(listen(shop.clone(), room, delivery.event.clone(), tell)));
    let settled = match shop.desk.take(&delivery.event).await {
        Taken::Ours(job) => {
            let settled = delivery.settle().await;
            let span = telemetry::span(&job.held.record);
            epoch::record(&shop, *job, news).instrument(span).await;
            settled
        }
        Taken::Over(held, earlier) => {
            epoch::close(&shop, *held, &delivery.event.meta, earlier).await;
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

/// Hears what is said about the room, for as long as anybody wants to know.
async fn listen(shop: Arc<Shop>, mut news: Consumer, asked: events::Event, tell: mpsc::Sender<Room>) {
    while let Some(delivery) = news.next().await {
        let told = about(&asked, &delivery.event);
        let fresh = told.is_some() && shop.desk.admit(&delivery.event) == Verdict::Fresh;
        // Unsettled, it would come again, and be a repeat.
        let _ = delivery.settle().await;
        if let (Some(told), true) = (told, fresh)
            && tell.send(told).await.is_err()
        {
            return;
        }
    }
}

/// What an event says to the session that `asked` began.
pub(crate) fn about(asked: &events::Event, heard: &events::Event) -> Option<Room> {
    let Body::RecordingRequested(request) = &asked.body else { return None };
    let same = (&heard.meta.tenant, &heard.meta.session) == (&asked.meta.tenant, &asked.meta.session);
    match &heard.body {
        Body::RoomEnded(_) if same => Some(Room::Ended),
        Body::RecordingStopped(stop) if same && stop.policy == request.policy => Some(Room::StopRequested),
        _ => None,
    }
}
