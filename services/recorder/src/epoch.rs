//! What one worker does of one recording: an epoch, and when its media process dies, the next one at once, while what the
//! first has recorded is still on its way into the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use claim::{Phase, Record};
use events::{Body, Meta};
use session::{Reason, Room, Session, Spec};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{Instrument, error, warn};

use crate::blame::Blame;
use crate::clerk::{Clerk, Duty, Held, failed, now};
use crate::drive::drive;
use crate::effects::{Effects, Parts};
use crate::held::Note;
use crate::keep::{Keeper, Place};
use crate::log::Log;
use crate::origin::{Address, Origin};
use crate::take::{Job, Taken};
use crate::telemetry;
use crate::worker::Shop;

/// A room whose people came back after a break of ours is not empty for long; one that has ended meanwhile is.
const LOBBY_AGAIN: Duration = Duration::from_secs(2 * 60);

/// Before another epoch when two in a row have stored nothing, and as much more with each: whatever is wrong may pass.
/// Each is shorter than the silence after which a steward takes a record.
const PAUSE: Duration = Duration::from_secs(1);

/// The shortest recording, when earlier epochs have used up what was asked for.
const SHORTEST: Duration = Duration::from_secs(1);

/// What one epoch leaves to the next one of this worker.
#[derive(Clone)]
pub(crate) struct Next {
    /// Where a dead media process's recording is passed on to.
    pub(crate) again: mpsc::UnboundedSender<Held>,
    /// Which track kills media processes.
    pub(crate) blame: Arc<Mutex<Blame>>,
}

impl Next {
    pub(crate) fn blame(&self) -> MutexGuard<'_, Blame> {
        // A death is counted whole or not at all.
        self.blame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records what is ours, to its end or until another worker has it.
pub(crate) async fn record(shop: &Arc<Shop>, job: Job, news: watch::Receiver<Option<Room>>) {
    let (meta, asked) = (job.meta.clone(), job.asked.clone());
    let (again, mut passed_on) = mpsc::unbounded_channel();
    let blame = Arc::new(Mutex::new(Blame::default()));
    let mut epochs = JoinSet::new();
    let begin = |epochs: &mut JoinSet<()>, job: Job| {
        let (shop, news, next) = (shop.clone(), news.clone(), Next { again: again.clone(), blame: blame.clone() });
        let span = telemetry::span(&job.held.record);
        epochs.spawn(async move { one(&shop, job, news, next).await }.instrument(span));
    };
    begin(&mut epochs, job);
    loop {
        tokio::select! {
            // What was passed on by the last epoch comes before that one's end.
            biased;
            Some(held) = passed_on.recv() => {
                let pause = PAUSE * held.record.idle.saturating_sub(1);
                // Told to stop, it is tried at once: a steward elsewhere finds it either way.
                let _ = shop.desk.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                match shop.desk.go_on(&meta, &asked, &held).await {
                    Taken::Ours(job) => begin(&mut epochs, *job),
                    Taken::Over(held, reason) => close(shop, *held, &meta, reason).await,
                    // A steward, here or elsewhere, takes what has fallen silent.
                    other => warn!(?other, "does not go on here"),
                }
            }
            ended = epochs.join_next() => match ended {
                Some(Ok(())) => {}
                Some(Err(panicked)) => error!(error = %panicked, "an epoch ended oddly"),
                None => return,
            }
        }
    }
}

/// One epoch.
async fn one(shop: &Arc<Shop>, job: Job, news: watch::Receiver<Option<Room>>, next: Next) {
    let note = Note::new(&job.held.path, &job.held.record.owner);
    drive_one(shop, job, news, next).await;
    shop.desk.notes.forget(&note);
}

async fn drive_one(shop: &Arc<Shop>, job: Job, news: watch::Receiver<Option<Room>>, next: Next) {
    let meta = job.meta.clone();
    let clerk = Clerk::begin(job.held.clone(), &meta, shop.desk.store.clone(), shop.outbox.clone());
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
            let record = &job.held.record;
            if job.held.earlier() {
                conclude(&clerk, record, reason);
            } else {
                clerk.put(Duty::Become(Phase::Failed, Some(reason)));
                clerk.put(Duty::Tell(failed(record, reason, true)));
            }
            return clerk.finish(&shop.desk.stop).await;
        }
    };
    let meeting::Server::Janus(janus) = server;
    let record = &job.held.record;
    // What earlier epochs have used up of it is gone.
    let longest = job.asked.longest().saturating_sub(now().since(record.created)).max(SHORTEST);
    let mut limits = shop.config.recorder.limits.limits(longest);
    // Whether an earlier epoch has stored anything: a lobby in which nobody has been yet is as long as any.
    if record.idle < record.epoch {
        limits.lobby = limits.lobby.min(LOBBY_AGAIN);
    }
    let spec = Spec {
        earlier: job.held.earlier(),
        layout: record.layout,
        pipeline: shop.config.recorder.pipeline.clone(),
        limits,
        seed: u64::from(record.epoch) ^ record.created.0.unsigned_abs(),
        caution: next.blame().caution(),
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
        next,
        shy: shop.desk.shy.clone(),
    };
    let effects = Effects::new(job, parts);
    drive(Session::new(spec, begun), effects, news, shop.desk.stop.clone()).await;
}

/// Finishes a recording that others have recorded and that nobody is to record any more, for `reason`.
pub(crate) async fn close(shop: &Shop, held: Held, asked: &Meta, reason: Reason) {
    let record = held.record.clone();
    let clerk = Clerk::begin(held, asked, shop.desk.store.clone(), shop.outbox.clone());
    conclude(&clerk, &record, reason);
    clerk.finish(&shop.desk.stop).await;
}

/// There will be no more: the finalizer makes a file of what earlier epochs left, and says what became of the recording
/// if that is nothing.
fn conclude(clerk: &Clerk, record: &Record, reason: Reason) {
    clerk.put(Duty::Become(Phase::Ended, Some(reason)));
    clerk.put(Duty::Tell(Body::EpochStored(record.stored(true))));
}
