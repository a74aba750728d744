//! One epoch of one recording: gathers what it takes, and drives it to its end.

use std::time::Instant;

use claim::{Phase, Record};
use events::{Body, Meta};
use session::{Reason, Room, Session, Spec};
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::clerk::{Clerk, Duty, Held, failed, now};
use crate::drive::drive;
use crate::effects::{Effects, Parts};
use crate::keep::{Keeper, Place};
use crate::log::Log;
use crate::origin::{Address, Origin};
use crate::take::Job;
use crate::worker::Shop;

/// Records what is ours, to its end.
pub(crate) async fn record(shop: &Shop, job: Job, news: mpsc::Receiver<Room>) {
    let meta = job.meta.clone();
    let clerk = Clerk::begin(job.held.clone(), &meta, shop.desk.store.clone(), shop.herald.clone());
    let server = shop.config.server(&meta.instance);
    let joined = server.ok_or(Reason::UnknownInstance).and_then(|server| {
        shop.config.join(server, &meta.room).map(|join| (server, join)).map_err(|why| {
            error!(error = format!("{why:#}"), "cannot prepare to join");
            Reason::WorkerBroken
        })
    });
    let (server, join) = match joined {
        Ok(joined) => joined,
        Err(reason) => {
            warn!(reason = reason.word(), instance = meta.instance, "not recorded");
            let nothing = (Phase::Failed, failed(&job.held.record, reason, true));
            conclude(&clerk, &job.held.record, reason, job.earlier, nothing);
            return clerk.finish(&shop.desk.stop).await;
        }
    };
    let meeting::Server::Janus(janus) = server;
    let record = &job.held.record;
    let spec = Spec {
        earlier: job.earlier,
        layout: record.layout,
        pipeline: shop.config.recorder.pipeline.clone(),
        limits: shop.config.recorder.limits.limits(job.asked.longest()),
        seed: u64::from(record.epoch) ^ record.created.0.unsigned_abs(),
    };
    let place = Place {
        path: job.held.path.clone(),
        epoch: record.epoch,
        key: job.key.clone(),
        store: shop.desk.store.clone(),
        spool: shop.spool.clone(),
    };
    let url = shop.config.recorder.origin.clone().filter(|_| record.webinar);
    if record.webinar && url.is_none() {
        warn!("a webinar, but recorder.origin is not set: it is recorded and shown to nobody");
    }
    let origin = url.map(|url| {
        let token = shop.config.ingest_token.clone();
        Origin::begin(Address { url, token, recording: record.recording, epoch: record.epoch })
    });
    let begun = Instant::now();
    let parts = Parts {
        join,
        launch: shop.launch.clone(),
        keeper: Keeper::new(place, spec.pipeline.clone(), now()),
        clerk,
        origin,
        log: Log::begin(&spec, begun),
        sign: janus.sign.clone(),
    };
    let effects = Effects::new(job, parts);
    drive(Session::new(spec, begun), effects, news, shop.desk.stop.clone()).await;
}

/// Finishes a recording that was offered and whose room is over.
pub(crate) async fn close(shop: &Shop, held: Held, asked: &Meta, earlier: bool) {
    let record = held.record.clone();
    let clerk = Clerk::begin(held, asked, shop.desk.store.clone(), shop.herald.clone());
    let nothing = (Phase::Empty, failed(&record, Reason::RoomEnded, false));
    conclude(&clerk, &record, Reason::RoomEnded, earlier, nothing);
    clerk.finish(&shop.desk.stop).await;
}

/// There will be no more: what earlier epochs left is made into a file; without any, there is `nothing`.
fn conclude(clerk: &Clerk, record: &Record, reason: Reason, earlier: bool, nothing: (Phase, Body)) {
    let (phase, told) = if earlier { (Phase::Ended, Body::EpochStored(record.stored(true))) } else { nothing };
    clerk.put(Duty::Become(phase, Some(reason)));
    clerk.put(Duty::Tell(told));
}
