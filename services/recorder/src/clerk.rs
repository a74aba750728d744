//! Tells the world, in order: what becomes of the recording's record in the store, and which events go out. Never makes
//! the recording wait.
//!
//! # Design
//! Two lanes. The record's changes go one after the other into the store, and an event goes out only after the changes
//! that were asked for before it, so that whoever hears of it finds what it speaks of. Events go out on a lane of their
//! own, so that a broker that is away holds up no record.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claim::{Phase, Record};
use events::{Body, Event, Meta, event_id};
use futures_util::future::BoxFuture;
use media::WallTime;
use session::Reason;
use storage::{Description, RecordingPath, SealKey, Store, StoreError, recordings};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, warn};

/// Between two tries of a record or an event. There is one of each at a time, and people wait for them.
const PAUSE: Duration = Duration::from_secs(2);

/// For the record and the events of the end, when this worker is to end too. Shorter than any grace period.
const IN_HASTE: Duration = Duration::from_secs(30);

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

/// One thing to do.
pub(crate) enum Duty {
    Become(Phase, Option<Reason>),
    /// Offer the recording to another worker and ask for it anew; if too many have tried, the last resort.
    Offer(Body, LastResort),
    GiveUp(LastResort),
    Tell(Body),
    Describe(SealKey, Description),
}

/// What becomes of a recording that nobody goes on with.
pub(crate) struct LastResort {
    /// ENDED if there is something to be made into a file, else FAILED.
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) tell: Vec<Body>,
}

/// The desk that duties are put on.
pub(crate) struct Clerk {
    duties: mpsc::UnboundedSender<Duty>,
    superseded: mpsc::UnboundedReceiver<()>,
    lanes: JoinSet<()>,
}

impl Clerk {
    /// `asked` is the envelope of the request: what is told is about the same room.
    pub(crate) fn begin(held: Held, asked: &Meta, store: Store, herald: Arc<dyn Herald>) -> Self {
        let (duties, todo) = mpsc::unbounded_channel();
        let (told, superseded) = mpsc::unbounded_channel();
        let (news, letters) = mpsc::unbounded_channel();
        let mut lanes = JoinSet::new();
        lanes.spawn(Scribe { held, asked: asked.clone(), store, news, superseded: told }.work(todo).in_current_span());
        lanes.spawn(post(letters, herald).in_current_span());
        Self { duties, superseded, lanes }
    }

    pub(crate) fn put(&self, duty: Duty) {
        // The lane ends after the last duty only, which is when this is dropped.
        let _ = self.duties.send(duty);
    }

    /// Comes when the record turns out to be another's. Cancel-safe.
    pub(crate) async fn superseded(&mut self) {
        if self.superseded.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Does what is left, however long that takes; once told to stop, for [`IN_HASTE`] more.
    pub(crate) async fn finish(self, stop: &CancellationToken) {
        let Self { duties, mut lanes, .. } = self;
        drop(duties);
        let haste = async {
            stop.cancelled().await;
            tokio::time::sleep(IN_HASTE).await;
        };
        tokio::select! {
            () = async { while lanes.join_next().await.is_some() {} } => {}
            () = haste => error!("the recording's record or its events could not be brought out in time"),
        }
    }
}

struct Scribe {
    held: Held,
    asked: Meta,
    store: Store,
    news: mpsc::UnboundedSender<Event>,
    superseded: mpsc::UnboundedSender<()>,
}

/// What became of a change to the record.
enum Put {
    Done,
    /// It is another now, and still ours: to be thought over.
    Changed,
    Never,
}

impl Scribe {
    async fn work(mut self, mut todo: mpsc::UnboundedReceiver<Duty>) {
        while let Some(duty) = todo.recv().await {
            match duty {
                Duty::Become(phase, reason) => {
                    let word = reason.map(Reason::word);
                    self.swap(|record| record.becomes(phase, word, now())).await;
                }
                Duty::Offer(request, last) => {
                    if self.swap(|record| record.offer(now())).await {
                        self.tell(request);
                    } else {
                        self.give_up(last).await;
                    }
                }
                Duty::GiveUp(last) => self.give_up(last).await,
                Duty::Tell(body) => self.tell(body),
                Duty::Describe(key, description) => self.describe(&key, &description).await,
            }
        }
    }

    async fn give_up(&mut self, last: LastResort) {
        let LastResort { phase, reason, tell } = last;
        if self.swap(|record| record.becomes(phase, Some(reason.word()), now())).await {
            tell.into_iter().for_each(|body| self.tell(body));
        }
    }

    /// Swaps the record for what it `becomes`, for as long as that takes. False when it may not become that, or is not
    /// there to be changed.
    async fn swap(&mut self, becomes: impl Fn(&Record) -> Result<Record, claim::Refused>) -> bool {
        loop {
            let next = match becomes(&self.held.record) {
                Ok(next) => next,
                Err(refused) => {
                    debug!(%refused, "the record stays as it is");
                    return false;
                }
            };
            match self.put(next).await {
                Put::Done => return true,
                Put::Changed => {}
                Put::Never => return false,
            }
        }
    }

    /// Puts `next` in the record's place, which is the same text at every try: so it is known again when it stands there
    /// and only the answer was lost.
    async fn put(&mut self, next: Record) -> Put {
        loop {
            let why = match recordings::swap(&self.store, &self.held.path, &next, &self.held.etag).await {
                Ok(etag) => {
                    (self.held.record, self.held.etag) = (next, etag);
                    return Put::Done;
                }
                Err(StoreError::Conflict { .. }) => match recordings::state(&self.store, &self.held.path).await {
                    Ok((found, etag)) => return self.found(found, etag, &next),
                    Err(why) => why,
                },
                Err(why) => why,
            };
            if matches!(why, StoreError::Missing { .. } | StoreError::BadRecord { .. }) {
                let (error, key) = (&why as &dyn std::error::Error, self.held.path.state());
                error!(error, key, "the record is gone or spoilt; restore it from a backup");
                return Put::Never;
            }
            warn!(error = &why as &dyn std::error::Error, "the record cannot be changed; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Somebody changed the record, be it ourselves.
    fn found(&mut self, found: Record, etag: String, next: &Record) -> Put {
        let ours = (found.epoch, &found.owner) == (self.held.record.epoch, &self.held.record.owner);
        let done = found == *next;
        if !ours && !done {
            // Nobody listens: the session has ended.
            let _ = self.superseded.send(());
            return Put::Never;
        }
        (self.held.record, self.held.etag) = (found, etag);
        if done { Put::Done } else { Put::Changed }
    }

    fn tell(&self, body: Body) {
        // The other lane ends after this one.
        let _ = self.news.send(envelope(&self.asked, &self.held.record, body));
    }

    /// So that a live recording has its title; it is stored again, with everybody who came, at the end.
    async fn describe(&self, key: &SealKey, description: &Description) {
        let Ok(plain) = serde_json::to_vec(description) else { return };
        let sealed = key.seal(plain);
        let at = self.held.path.description(self.held.record.epoch);
        if let Err(why) = sealed.put(&self.store, &at).await {
            warn!(error = &why as &dyn std::error::Error, "the early description is not stored; the last one will be");
        }
    }
}

/// Brings events out one after the other, each until the broker has it.
async fn post(mut letters: mpsc::UnboundedReceiver<Event>, herald: Arc<dyn Herald>) {
    while let Some(event) = letters.recv().await {
        let kind = event.body.kind();
        loop {
            match herald.tell(&event).await {
                Ok(()) => break,
                Err(why) if why.is_passing() => {
                    warn!(error = &why as &dyn std::error::Error, kind, "event not brought out; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(why) => {
                    error!(error = &why as &dyn std::error::Error, kind, "event cannot be brought out");
                    break;
                }
            }
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

#[cfg(test)]
mod tests {
    use storage::{Bucket, Condition};

    use super::*;
    use crate::rehearsal::house::{House, request};

    async fn scribe(house: &House) -> (Scribe, mpsc::UnboundedReceiver<()>) {
        let asked = request("run-1", |_| {});
        let held = house.take(&asked).await.held;
        let (superseded, told) = mpsc::unbounded_channel();
        let (news, _) = mpsc::unbounded_channel();
        (Scribe { held, asked: asked.meta, store: house.shop.desk.store.clone(), news, superseded }, told)
    }

    /// Without an owner in it, nothing but its whole text says that it is ours.
    #[tokio::test]
    async fn an_offer_whose_answer_was_lost_is_known_again() {
        let house = House::open().await;
        let (mut scribe, mut superseded) = scribe(&house).await;
        let offered = scribe.held.record.offer(now()).unwrap();
        recordings::swap(&scribe.store, &scribe.held.path, &offered, &scribe.held.etag).await.unwrap();
        assert!(matches!(scribe.put(offered.clone()).await, Put::Done));
        assert_eq!(scribe.held.record, offered);
        assert!(superseded.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_record_that_another_took_is_left_to_it() {
        let house = House::open().await;
        let (mut scribe, mut superseded) = scribe(&house).await;
        let taken = scribe.held.record.offer(now()).unwrap().take("another".into(), now()).unwrap();
        recordings::swap(&scribe.store, &scribe.held.path, &taken, &scribe.held.etag).await.unwrap();
        assert!(!scribe.swap(|record| record.offer(now())).await);
        assert!(superseded.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_record_that_is_gone_or_spoilt_holds_up_nobody() {
        for spoilt in [None, Some("{}")] {
            let house = House::open().await;
            let (mut scribe, _superseded) = scribe(&house).await;
            let state = scribe.held.path.state();
            match spoilt {
                None => scribe.store.delete(Bucket::Media, &state).await.unwrap(),
                Some(text) => {
                    scribe.store.put(Bucket::Media, &state, text.into(), Condition::None).await.unwrap();
                }
            }
            let ended = scribe.swap(|record| record.becomes(Phase::Ended, None, now()));
            assert!(!tokio::time::timeout(PAUSE, ended).await.unwrap(), "{spoilt:?}");
        }
    }
}
