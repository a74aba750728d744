//! Tells the world, in order: what becomes of the recording's record in the store, and which events go out. Never makes
//! the recording wait.
//!
//! # Design
//! One lane: the record's changes go one after the other into the store ([`scribe`]), signs of life between them, and an
//! event goes to the outbox only after the changes that were asked for before it, so that whoever hears of it finds what
//! it speaks of. From the outbox it goes out by itself, so that a broker that is away holds up no record.

mod scribe;

use std::time::{Duration, SystemTime};

use claim::{Holder, Phase, Record};
use events::{Body, Event, Meta, event_id};
use futures_util::future::BoxFuture;
use media::WallTime;
use session::{Claim, Reason};
use storage::{Description, RecordingPath, SealKey, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error};

use crate::outbox::Outbox;
use scribe::Scribe;

/// Between two tries of a record. There is one at a time, and people wait for it.
const PAUSE: Duration = Duration::from_secs(2);

/// For the record of the end, or for events, when this worker is to end too. Shorter than any grace period.
pub(crate) const IN_HASTE: Duration = Duration::from_secs(30);

/// Publishes events. The second implementation is the tests', which keep them.
pub(crate) trait Herald: Send + Sync {
    fn tell<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), broker::Error>>;
}

impl Herald for broker::Broker {
    fn tell<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), broker::Error>> {
        Box::pin(self.publish(event))
    }
}

/// A record that is ours, as it lies in the store.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) path: RecordingPath,
    pub(crate) record: Record,
    pub(crate) etag: String,
}

impl Held {
    /// There were epochs before this one. What they have recorded may lie in the store or in the spool of a worker that
    /// is gone: whether there is anything is not for a recorder to say.
    pub(crate) fn earlier(&self) -> bool {
        self.record.epoch > 1
    }
}

/// One thing to do.
pub(crate) enum Duty {
    Become(Phase, Option<Reason>),
    /// This epoch has stored a segment: the sign of life that a worker that hands over waits for.
    Stored,
    /// Offer the recording to another worker; if too many have tried, the last resort.
    Offer(LastResort),
    /// The record goes to the next epoch of this same worker, and is no more of our business.
    PassOn(mpsc::UnboundedSender<Held>),
    GiveUp(LastResort),
    Tell(Body),
    Describe(SealKey, Description),
    /// Have the ledger remember that this epoch begins to capture.
    Begin,
    /// Have it remember that this epoch has captured nothing.
    Nothing,
}

/// What becomes of a recording that nobody goes on with.
pub(crate) struct LastResort {
    /// ENDED if there is something to be made into a file, or was in an earlier epoch; EMPTY if it was over before
    /// anything was captured; else FAILED.
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) tell: Vec<Body>,
}

/// The desk that duties are put on.
pub(crate) struct Clerk {
    duties: mpsc::UnboundedSender<Duty>,
    told: mpsc::UnboundedReceiver<Claim>,
    lane: JoinSet<()>,
}

impl Clerk {
    /// `asked` is the envelope of the request: what is told is about the same room.
    pub(crate) fn begin(held: Held, asked: &Meta, store: Store, outbox: Outbox) -> Self {
        let (duties, todo) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let mut lane = JoinSet::new();
        let holder = Holder::new(held.record, held.etag);
        let scribe = Scribe::new(held.path, holder, asked.clone(), store, outbox, tell);
        lane.spawn(scribe.work(todo).in_current_span());
        Self { duties, told, lane }
    }

    pub(crate) fn put(&self, duty: Duty) {
        // The lane ends after the last duty only, which is when this is dropped.
        let _ = self.duties.send(duty);
    }

    /// Comes when the record turns out to be another's, or a successor to be live. Cancel-safe.
    pub(crate) async fn told(&mut self) -> Claim {
        match self.told.recv().await {
            Some(claim) => claim,
            None => std::future::pending().await,
        }
    }

    /// Does what is left, however long that takes; once told to stop, for [`IN_HASTE`] more.
    pub(crate) async fn finish(self, stop: &CancellationToken) {
        let Self { duties, mut lane, .. } = self;
        drop(duties);
        let haste = async {
            stop.cancelled().await;
            tokio::time::sleep(IN_HASTE).await;
        };
        tokio::select! {
            () = async { while lane.join_next().await.is_some() {} } => {}
            () = haste => error!("the recording's record could not be changed in time"),
        }
    }
}

/// An event about `record`, with the same id whenever the same thing is told again.
pub(crate) fn envelope(asked: &Meta, record: &Record, body: Body) -> Event {
    let attempt = if let Body::RecorderJoined(joined) = &body { joined.attempt } else { 0 };
    let sequence = format!("{}/{}/{attempt}", record.recording, record.epoch);
    let id = event_id(&asked.source(), body.kind(), &asked.room, &asked.session, &sequence);
    Event { meta: Meta { id, time: now().to_string(), ..asked.clone() }, body }
}

/// `retryable`: another try, elsewhere or later, may succeed.
pub(crate) fn failed(record: &Record, reason: Reason, retryable: bool) -> Body {
    let reason = reason.word().to_owned();
    Body::RecordingFailed(events::RecordingFailed { recording: record.recording, reason, retryable })
}

pub(crate) fn now() -> WallTime {
    WallTime::from_system(SystemTime::now())
}
