//! From a request to a recording that is ours: is it to be acted on, can it be claimed, is there a key to seal with.
//! Decides nothing about the message; says what is to be done with it.
//!
//! # Design
//! The order is that of DESIGN D2: the record by a conditional write, then the epoch's key, then the message is settled,
//! then the room is joined. A crash in between leaves a record whose holder is silent, which a steward takes over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claim::{Answer, Ask, Claimed, Claimer, Phase, Record, Refused};
use events::{Body, Event, Gate, Meta, RecordingRequested, TenantId, Verdict};
use storage::seal::SealError;
use storage::{Recipients, RecordingPath, SealKey, Store, StoreError, Writer, recordings};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cell;
use crate::clerk::{Held, now};
use crate::held::{Note, Notes};
use crate::steward::Shy;

/// Between two tries of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// A recording that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) meta: Meta,
    pub(crate) asked: RecordingRequested,
    pub(crate) held: Held,
    pub(crate) key: SealKey,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Taken {
    Ours(Box<Job>),
    /// Nobody is to join any more, but what earlier epochs have recorded, if anything, must be finished, for this reason.
    Over(Box<Held>, session::Reason),
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
    pub(crate) notes: Notes,
    pub(crate) shy: Arc<Shy>,
    pub(crate) stop: CancellationToken,
}

impl Desk {
    /// Whether an event is new, at the time of this worker's clock.
    pub(crate) fn admit(&self, event: &Event) -> Verdict {
        // Nothing in the gate can be left half done.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).admit(event, OffsetDateTime::now_utc())
    }

    /// Whether an event was acted on before, by this worker.
    pub(crate) fn repeats(&self, event: &Event) -> bool {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).repeats(event, OffsetDateTime::now_utc())
    }

    /// Claims what `event` asks for.
    pub(crate) async fn take(&self, event: &Event) -> Taken {
        let Body::RecordingRequested(asked) = &event.body else { return Taken::Park("not-a-request") };
        if event.meta.tenant != self.tenant {
            return Taken::Park("wrong-tenant");
        }
        let verdict = self.admit(event);
        let first = Record::first(&event.meta, asked, word(), now());
        match verdict {
            Verdict::Fresh => {}
            Verdict::Repeat => return Taken::Settle("seen before"),
            Verdict::Tombstoned => return self.close(first).await,
            Verdict::Stale => return Taken::Park("stale"),
        }
        let path = RecordingPath::new(first.tenant.clone(), first.created, first.recording);
        self.claim_and_key(&event.meta, asked, &path, Claimer::request(first)).await.unwrap_or_else(|refusal| {
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

    /// Takes over a recording whose holder has offered it or is silent; it was found as `record`.
    pub(crate) async fn take_over(&self, path: &RecordingPath, record: &Record, etag: String) -> Taken {
        let asked = record.asked();
        // A room run that we know to be over is not joined again.
        let over = self.is_over(record);
        let claimer = match Claimer::take_over(record, etag.clone(), word(), now()) {
            Ok(claimer) => claimer,
            Err(Refused::Spent) => return last_resort(Held { path: path.clone(), record: record.clone(), etag }),
            Err(_) => return Taken::Settle("it is over"),
        };
        let taken = async {
            if over {
                return Ok(match self.claim(path, claimer).await? {
                    Ok(held) => Taken::Over(Box::new(held), session::Reason::RoomEnded),
                    Err(why) => Taken::Settle(why),
                });
            }
            self.claim_and_key(&record.meta(), &asked, path, claimer).await
        };
        taken.await.unwrap_or_else(refused)
    }

    /// Goes on with a recording of our own, as its next epoch. The caller's `meta` and `asked` know more than the record.
    pub(crate) async fn go_on(&self, meta: &Meta, asked: &RecordingRequested, held: &Held) -> Taken {
        let Held { path, record, etag } = held;
        let claimer = match Claimer::take_over(record, etag.clone(), word(), now()) {
            Ok(claimer) => claimer,
            Err(Refused::Spent) => return last_resort(held.clone()),
            Err(_) => return Taken::Settle("it is over"),
        };
        self.claim_and_key(meta, asked, path, claimer).await.unwrap_or_else(refused)
    }

    fn is_over(&self, record: &Record) -> bool {
        let meta = Meta { id: format!("resume-{}-{}", record.recording, record.epoch), ..record.meta() };
        let meta = Meta { time: now().to_string(), ..meta };
        self.admit(&Event { meta, body: Body::RecordingRequested(record.asked()) }) == Verdict::Tombstoned
    }

    async fn claim_and_key(
        &self,
        meta: &Meta,
        asked: &RecordingRequested,
        path: &RecordingPath,
        claimer: (Claimer, Ask),
    ) -> Result<Taken, SealError> {
        let mut held = match self.claim(path, claimer).await? {
            Ok(held) => held,
            Err(why) => return Ok(Taken::Settle(why)),
        };
        match self.key(&mut held).await {
            Ok(key) => {
                self.notes.write(&Note::new(&held.path, &held.record.owner));
                info!(recording = %held.record.recording, epoch = held.record.epoch, "claimed");
                Ok(Taken::Ours(Box::new(Job { meta: meta.clone(), asked: asked.clone(), held, key })))
            }
            Err(why) => {
                self.let_go(&held).await;
                Err(why)
            }
        }
    }

    /// The epoch's key.
    async fn key(&self, held: &mut Held) -> Result<SealKey, SealError> {
        loop {
            let writer = Writer::Epoch(held.record.epoch);
            match SealKey::create(&self.store, &held.path, &writer, &self.recipients).await {
                Ok(key) => return Ok(key),
                // The answer to an earlier try was lost, and its secret with it: the next epoch has a key of its own.
                Err(SealError::Store(StoreError::Exists { .. })) => *held = self.next_epoch(held).await?,
                Err(why) if why.is_passing() && self.pause(&why).await => {}
                Err(why) => return Err(why),
            }
        }
    }

    /// A claim that nothing came of must not keep the next worker from trying; the last one ends it, and the finalizer
    /// sees what the others have left.
    async fn let_go(&self, held: &Held) {
        self.shy.of(held.record.recording);
        let word = session::Reason::WorkerBroken.word();
        let given = held.record.offer(now()).or_else(|_| held.record.becomes(Phase::Ended, Some(word), now()));
        let Ok(given) = given else { return };
        if let Err(why) = recordings::swap(&self.store, &held.path, &given, &held.etag).await {
            let error = &why as &dyn std::error::Error;
            error!(error, recording = %held.record.recording, "claimed, not recorded, and not given back");
        }
    }

    /// The record, if it becomes ours; else why not.
    async fn claim(
        &self,
        path: &RecordingPath,
        (mut claimer, mut ask): (Claimer, Ask),
    ) -> Result<Result<Held, &'static str>, StoreError> {
        loop {
            let answer = match cell::ask(&self.store, path, &ask).await {
                Ok(answer) => answer,
                Err(why) if why.is_passing() && self.pause(&why).await => Answer::Unknown,
                Err(why) => return Err(why),
            };
            match claimer.hear(answer, now()) {
                Claimed::Ask(next) => ask = next,
                Claimed::Ours(record, etag) => return Ok(Ok(Held { path: path.clone(), record: *record, etag })),
                Claimed::Not(Refused::Held) => return Ok(Err("another worker holds it")),
                Claimed::Not(Refused::Over) => return Ok(Err("it is over")),
                Claimed::Not(Refused::Spent) => return Ok(Err("too many workers have tried")),
            }
        }
    }

    /// The epoch after one that is ours.
    async fn next_epoch(&self, held: &Held) -> Result<Held, StoreError> {
        let taken = || StoreError::Exists { key: held.path.key(&Writer::Epoch(held.record.epoch)) };
        let claimer = Claimer::take_over(&held.record, held.etag.clone(), word(), now());
        match self.claim(&held.path, claimer.map_err(|_| taken())?).await? {
            Ok(held) => Ok(held),
            Err(_) => Err(taken()),
        }
    }

    /// The request came after its room had ended. If its recording was offered, somebody has to finish it.
    async fn close(&self, first: Record) -> Taken {
        let path = RecordingPath::new(first.tenant.clone(), first.created, first.recording);
        match self.again(|| recordings::state(&self.store, &path)).await {
            Ok((found, etag)) if found.owner.is_empty() && found.phase.open() => {
                self.take_over(&path, &found, etag).await
            }
            _ => Taken::Settle("its room is over"),
        }
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

/// As many as may have tried it have stored nothing: there will be no more than there is.
fn last_resort(held: Held) -> Taken {
    Taken::Over(Box::new(held), session::Reason::WorkerBroken)
}

/// What a claim's owner is known by.
fn word() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Of a recording that no message asks for.
fn refused(why: SealError) -> Taken {
    match why {
        // Told to stop while the store was away.
        why if why.is_passing() => Taken::Settle("the store is away"),
        SealError::Store(why) => Taken::Fail(why),
        other => Taken::Fail(StoreError::Config(other.to_string())),
    }
}
