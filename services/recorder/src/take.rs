//! From a request to a recording that is ours: is it to be acted on, can it be claimed, is there a key to seal with.
//! Decides nothing about the message; says what is to be done with it.
//!
//! # Design
//! The order is that of DESIGN D2: the record by a conditional write, then the epoch's key, then the message is settled,
//! then the room is joined. A crash in between leaves a record without a worker, never two workers.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use claim::{Phase, Record, Refused};
use events::{Body, Event, Gate, Meta, RecordingRequested, TenantId, Verdict};
use storage::seal::SealError;
use storage::{Bucket, Recipients, RecordingPath, SealKey, Store, StoreError, Writer, recordings};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clerk::{Held, now};

/// Between two tries of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// A recording that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) meta: Meta,
    pub(crate) asked: RecordingRequested,
    pub(crate) held: Held,
    pub(crate) key: SealKey,
    /// Earlier epochs left something in the store.
    pub(crate) earlier: bool,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Taken {
    Ours(Box<Job>),
    /// It was offered, and its room is over: nobody is to join, but what there is must be finished.
    Over(Box<Held>, bool),
    /// Somebody has it, or it has been dealt with: forget the message.
    Settle(&'static str),
    /// Nobody can ever do this.
    Park(&'static str),
    /// Not now.
    GiveBack,
    /// The store refuses, which a person has to mend.
    Fail(StoreError),
}

/// What claiming needs.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) tenant: TenantId,
    pub(crate) store: Store,
    pub(crate) recipients: Recipients,
    pub(crate) gate: Mutex<Gate>,
    pub(crate) stop: CancellationToken,
}

impl Desk {
    /// Whether an event is new, at the time of this worker's clock.
    pub(crate) fn admit(&self, event: &Event) -> Verdict {
        // Nothing in the gate can be left half done.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).admit(event, OffsetDateTime::now_utc())
    }

    /// Claims what `event` asks for.
    pub(crate) async fn take(&self, event: &Event) -> Taken {
        let Body::RecordingRequested(asked) = &event.body else { return Taken::Park("not-a-request") };
        if event.meta.tenant != self.tenant {
            return Taken::Park("wrong-tenant");
        }
        let verdict = self.admit(event);
        let owner = uuid::Uuid::new_v4().simple().to_string();
        let first = Record::first(&event.meta, asked, owner, now());
        match verdict {
            Verdict::Fresh => {}
            Verdict::Repeat => return Taken::Settle("seen before"),
            Verdict::Tombstoned => return self.close(first).await,
            Verdict::Stale => return Taken::Park("stale"),
        }
        self.claim_and_key(&event.meta, asked, first).await.unwrap_or_else(|refusal| {
            // It comes again, and must not be taken for a repeat of what was done.
            self.gate.lock().unwrap_or_else(PoisonError::into_inner).forget(event);
            match refusal {
                // Told to stop while the store was away.
                why if why.is_passing() => Taken::GiveBack,
                SealError::Store(why) => Taken::Fail(why),
                // The recipients were read when this worker started; nothing else can be refused.
                other => Taken::Fail(StoreError::Config(other.to_string())),
            }
        })
    }

    async fn claim_and_key(&self, meta: &Meta, asked: &RecordingRequested, first: Record) -> Result<Taken, SealError> {
        let mut held = match self.claim(first).await? {
            Ok(held) => held,
            Err(why) => return Ok(Taken::Settle(why)),
        };
        match self.key(&mut held).await {
            Ok((key, earlier)) => {
                info!(recording = %held.record.recording, epoch = held.record.epoch, "claimed");
                Ok(Taken::Ours(Box::new(Job { meta: meta.clone(), asked: asked.clone(), held, key, earlier })))
            }
            Err(why) => {
                self.let_go(&held).await;
                Err(why)
            }
        }
    }

    /// The epoch's key, and whether earlier epochs left something.
    async fn key(&self, held: &mut Held) -> Result<(SealKey, bool), SealError> {
        loop {
            let writer = Writer::Epoch(held.record.epoch);
            match SealKey::create(&self.store, &held.path, &writer, &self.recipients).await {
                Ok(key) => {
                    let earlier = held.record.epoch > 1 && self.again(|| self.earlier(&held.path)).await?;
                    return Ok((key, earlier));
                }
                // The answer to an earlier try was lost, and its secret with it: the next epoch has a key of its own.
                Err(SealError::Store(StoreError::Exists { .. })) => *held = self.next_epoch(held).await?,
                Err(why) if why.is_passing() && self.pause(&why).await => {}
                Err(why) => return Err(why),
            }
        }
    }

    /// A claim that nothing came of must not keep the next worker from trying; the last one ends it.
    async fn let_go(&self, held: &Held) {
        let word = session::Reason::WorkerBroken.word();
        let given = held.record.offer(now()).or_else(|_| held.record.becomes(Phase::Failed, Some(word), now()));
        let Ok(given) = given else { return };
        if let Err(why) = recordings::swap(&self.store, &held.path, &given, &held.etag).await {
            let error = &why as &dyn std::error::Error;
            error!(error, recording = %held.record.recording, "claimed, not recorded, and not given back");
        }
    }

    /// The record, if it becomes ours; else why not.
    async fn claim(&self, first: Record) -> Result<Result<Held, &'static str>, StoreError> {
        let path = RecordingPath::new(first.tenant.clone(), first.created, first.recording);
        loop {
            match self.again(|| recordings::create(&self.store, &path, &first)).await {
                Ok(etag) => return Ok(Ok(Held { path, record: first, etag })),
                Err(StoreError::Exists { .. }) => {}
                Err(why) => return Err(why),
            }
            let (found, etag) = self.again(|| recordings::state(&self.store, &path)).await?;
            // Our own write, whose answer was lost.
            if found.owner == first.owner {
                return Ok(Ok(Held { path, record: found, etag }));
            }
            let next = match found.take(first.owner.clone(), now()) {
                Ok(next) => next,
                Err(Refused::Held) => return Ok(Err("another worker holds it")),
                Err(Refused::Over) => return Ok(Err("it is over")),
                Err(Refused::Spent) => return Ok(Err("too many workers have tried")),
            };
            match self.again(|| recordings::swap(&self.store, &path, &next, &etag)).await {
                Ok(etag) => return Ok(Ok(Held { path, record: next, etag })),
                Err(StoreError::Conflict { .. }) => {}
                Err(why) => return Err(why),
            }
        }
    }

    async fn next_epoch(&self, held: &Held) -> Result<Held, StoreError> {
        let refused = |_| StoreError::Exists { key: held.path.key(&Writer::Epoch(held.record.epoch)) };
        let next = held.record.offer(now()).and_then(|offered| offered.take(held.record.owner.clone(), now()));
        let next = next.map_err(refused)?;
        let etag = self.again(|| recordings::swap(&self.store, &held.path, &next, &held.etag)).await?;
        Ok(Held { path: held.path.clone(), record: next, etag })
    }

    /// The request came after its room had ended. If its recording was offered, somebody has to finish it.
    async fn close(&self, first: Record) -> Taken {
        let path = RecordingPath::new(first.tenant.clone(), first.created, first.recording);
        match self.again(|| recordings::state(&self.store, &path)).await {
            Ok((found, _)) if found.owner.is_empty() && found.phase.open() => {}
            _ => return Taken::Settle("its room is over"),
        }
        match self.claim(first).await {
            Ok(Ok(held)) => match self.again(|| self.earlier(&held.path)).await {
                Ok(earlier) => Taken::Over(Box::new(held), earlier),
                Err(why) => Taken::Fail(why),
            },
            Ok(Err(why)) => Taken::Settle(why),
            Err(why) => Taken::Fail(why),
        }
    }

    async fn earlier(&self, path: &RecordingPath) -> Result<bool, StoreError> {
        Ok(!self.store.list(Bucket::Media, &format!("{}live/", path.prefix())).await?.is_empty())
    }

    /// Asks the store until it answers, or until this worker is told to stop.
    async fn again<T, F: Future<Output = Result<T, StoreError>>>(&self, ask: impl Fn() -> F) -> Result<T, StoreError> {
        loop {
            match ask().await {
                Err(why) if why.is_passing() && self.pause(&why).await => {}
                answer => return answer,
            }
        }
    }

    /// False when told to stop meanwhile.
    async fn pause(&self, why: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
        warn!(error = why as &dyn std::error::Error, "the store does not answer; trying again");
        self.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some()
    }
}
