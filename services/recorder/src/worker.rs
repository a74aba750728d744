//! The worker: takes requests while it has a free slot, and gives each recording a task of its own.
//!
//! # Design
//! A request is settled as soon as it is claimed, so a prefetch alone would let the broker send more than there are slots.
//! The worker therefore consumes only while a slot is free, with as much prefetch as there are free slots, and ends that
//! consumer when it has taken one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::{Delivery, Work};
use chassis::Sections;
use events::{Body, Gate};
use storage::recordings::Found;
use storage::store::HOURLY;
use storage::{Spool, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

use crate::clerk::IN_HASTE;
use crate::config::Config;
use crate::epoch;
use crate::held::Notes;
use crate::line::{Line, connect, listen};
use crate::orphans::Orphans;
use crate::outbox::Outbox;
use crate::process::{Launch, MediaProgram};
use crate::steward;
use crate::take::{Desk, Taken};

/// Between two tries of what the start waits for: with `lectern up`, the store comes up beside us. And between two looks
/// whether a full spool has room again.
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
        store,
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
    let outbox = Outbox::open(&config.recorder.work.join("outbox"))?;
    let launch = Arc::new(MediaProgram(program));
    let shop = Arc::new(Shop { config, desk, spool, outbox, launch });
    // It was asked a moment ago.
    work(&shop, HOURLY, watch::channel(true).0).await
}

/// Works until told to stop, and then until every recording has come to its end or to another worker. The store is asked
/// `every` so often whether it is `fit` for recordings.
///
/// # Errors
/// When the spool cannot be read, or the broker will not have us.
pub(crate) async fn work(shop: &Arc<Shop>, every: Duration, fit: watch::Sender<bool>) -> anyhow::Result<()> {
    let (stop, store) = (shop.desk.stop.clone(), shop.desk.store.clone());
    let found = tokio::task::spawn_blocking({
        let spool = shop.spool.clone();
        move || spool.orphans()
    });
    let mut orphans = Orphans::new(shop.spool.clone(), store.clone(), found.await??);
    let mut beside = JoinSet::new();
    if !orphans.upload(Instant::now() + ORPHANS_FIRST, &stop).await {
        info!(files = orphans.left(), "the rest of what an earlier run left is uploaded beside new work");
        let stop = stop.clone();
        beside.spawn(async move {
            while !stop.is_cancelled() && !orphans.upload(Instant::now() + ORPHANS_FIRST, &stop).await {}
        });
    }
    let fitness = fit.subscribe();
    beside.spawn(storage::store::watch(store, every, fit, stop.clone()));
    let (connected, line) = watch::channel(None);
    let line = Line::new(line);
    // Whoever hands over still hears of its rooms.
    let hang_up = CancellationToken::new();
    let connecting = connect(shop.config.broker.clone(), connected, stop, hang_up.clone());
    let serving = async {
        serve_and_tell(shop, &line, fitness).await;
        hang_up.cancel();
    };
    let (connection, ()) = tokio::join!(connecting, serving);
    beside.shutdown().await;
    if let Some(broker) = connection? {
        broker.close().await;
    }
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

/// Serves, while events go out; then brings out what is left, in haste. What the broker has not taken by then lies in the
/// outbox for the next start.
async fn serve_and_tell(shop: &Arc<Shop>, line: &Line, fit: watch::Receiver<bool>) {
    let served = async {
        serve(shop, line, fit).await;
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

async fn serve(shop: &Arc<Shop>, line: &Line, mut fit: watch::Receiver<bool>) {
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
        let takes = room && *fit.borrow_and_update();
        let free = if takes { slots.saturating_sub(recordings.len()) } else { 0 };
        tokio::select! {
            biased;
            () = shop.desk.stop.cancelled() => break,
            Some(ended) = recordings.join_next() => report(ended),
            Ok(()) = fit.changed() => say_whether_fit(*fit.borrow()),
            Some(found) = due.recv(), if free > 0 => {
                recordings.spawn(resume(shop.clone(), line.clone(), found));
            }
            Some(delivery) = next(shop, line, free), if free > 0 => {
                recordings.spawn(attend(shop.clone(), line.clone(), delivery));
            }
            // Nobody tells when the spool has room again.
            () = tokio::time::sleep(PAUSE), if !room => {}
        }
    }
    drop(steward);
    info!(recordings = recordings.len(), "no more requests; handing over what is being recorded");
    while let Some(ended) = recordings.join_next().await {
        report(ended);
    }
}

/// What it holds goes on either way: its objects are read back, and its epochs are its own.
fn say_whether_fit(fit: bool) {
    if fit {
        info!("the store is fit for recordings again; this worker takes requests and recordings as before");
    } else {
        error!(
            "the store is not fit for recordings any more, so this worker goes on with what it holds and takes nothing \
             else; see what is lacking with `lectern store probe` and mend the store, which is asked again soon"
        );
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
    let binding = async { line.broker().await.room(&meta.tenant, &meta.room).await };
    let Some(Ok(room)) = shop.desk.stop.run_until_cancelled(binding).await else {
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
