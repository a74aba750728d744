//! The lane of the record: its changes, one after the other, each for as long as it takes; signs of life between them;
//! and, once the recording is offered, the look whether a successor is live.

use std::time::Duration;

use claim::{Answer, Change, Heard, Holder};
use events::{Body, Meta};
use media::WallTime;
use session::{Claim, Reason};
use storage::ledger::{self, Stored};
use storage::{Description, RecordingPath, SealKey, Store, StoreError, recordings};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{Duty, Held, LastResort, PAUSE, envelope, now};
use crate::cell;
use crate::outbox::Outbox;

/// Between two signs of life. Three must fail before anybody takes a holder for dead ([`claim::PATIENCE`]).
const BEAT: Duration = Duration::from_secs(2);

/// Between two looks for a successor.
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct Scribe {
    pub(super) path: RecordingPath,
    pub(super) holder: Holder,
    asked: Meta,
    pub(super) store: Store,
    outbox: Outbox,
    told: mpsc::UnboundedSender<Claim>,
    keeping: Keeping,
    /// A segment of this epoch is stored.
    stored: bool,
    offering: bool,
    /// When this epoch began, while the ledger does not know it.
    owed: Option<WallTime>,
    /// The store did not answer the last sign of life.
    away: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// Ours, with a sign of life now and then.
    Ours,
    /// Offered: we look for a successor.
    Offered,
    /// Passed on, over, another's, or gone.
    Nothing,
}

impl Scribe {
    pub(super) fn new(
        path: RecordingPath,
        holder: Holder,
        asked: Meta,
        store: Store,
        outbox: Outbox,
        told: mpsc::UnboundedSender<Claim>,
    ) -> Self {
        Self {
            path,
            holder,
            asked,
            store,
            outbox,
            told,
            keeping: Keeping::Ours,
            stored: false,
            offering: false,
            owed: None,
            away: false,
        }
    }

    pub(super) async fn work(mut self, mut todo: mpsc::UnboundedReceiver<Duty>) {
        let mut next = Instant::now() + BEAT;
        loop {
            let pause = if self.keeping == Keeping::Offered { LOOK } else { BEAT };
            next = next.min(Instant::now() + pause);
            tokio::select! {
                biased;
                duty = todo.recv() => match duty {
                    Some(duty) => self.perform(duty).await,
                    None => return,
                },
                () = tokio::time::sleep_until(next), if self.keeping != Keeping::Nothing => {
                    self.beat().await;
                    next = Instant::now() + pause;
                }
            }
        }
    }

    async fn perform(&mut self, duty: Duty) {
        match duty {
            Duty::Become(phase, reason) => {
                self.change(Change::Become(phase, reason.map(Reason::word))).await;
            }
            Duty::Stored => {
                self.stored = true;
                self.beat().await;
            }
            Duty::Offer(last) => self.offer(last).await,
            Duty::PassOn(to) => {
                if self.keeping == Keeping::Ours {
                    self.keeping = Keeping::Nothing;
                    let (record, etag) = (self.holder.record().clone(), self.holder.etag().to_owned());
                    // Whoever would go on has gone: the record falls silent, and a steward takes it.
                    let _ = to.send(Held { path: self.path.clone(), record, etag });
                }
            }
            Duty::GiveUp(last) => self.give_up(last).await,
            Duty::Tell(body) => self.tell(body).await,
            Duty::Describe(key, description) => self.describe(&key, &description).await,
            Duty::Begin => {
                self.owed.get_or_insert_with(now);
                self.begin().await;
            }
            Duty::Nothing => self.nothing().await,
        }
    }

    pub(super) async fn offer(&mut self, last: LastResort) {
        self.offering = true;
        let offered = self.change(Change::Offer).await;
        self.offering = false;
        if offered {
            self.keeping = Keeping::Offered;
        } else {
            self.give_up(last).await;
        }
    }

    async fn give_up(&mut self, last: LastResort) {
        let LastResort { phase, reason, tell } = last;
        if self.change(Change::Become(phase, Some(reason.word()))).await {
            for body in tell {
                self.tell(body).await;
            }
        }
    }

    /// Makes `change`, for as long as that takes. False when it may not be made, or the record is not ours any more.
    pub(super) async fn change(&mut self, change: Change) -> bool {
        if self.keeping == Keeping::Nothing {
            return false;
        }
        let heard = self.holder.begin(change, now());
        self.through(heard).await
    }

    /// Asks on until the change is made or cannot be.
    pub(super) async fn through(&mut self, mut heard: Heard) -> bool {
        loop {
            let Heard::Ask(ask) = heard else { return self.settled(heard) };
            let answer = match cell::ask(&self.store, &self.path, &ask).await {
                Ok(answer) => answer,
                Err(why @ StoreError::BadRecord { .. }) => return self.spoilt(&why),
                Err(why) => {
                    warn!(error = &why as &dyn std::error::Error, "the record cannot be changed; trying again");
                    tokio::time::sleep(PAUSE).await;
                    Answer::Unknown
                }
            };
            heard = self.holder.hear(answer, now());
        }
    }

    fn settled(&mut self, heard: Heard) -> bool {
        match heard {
            Heard::Done => {
                if !self.holder.record().phase.open() {
                    self.keeping = Keeping::Nothing;
                }
                return true;
            }
            Heard::Not(refused) => debug!(%refused, "the record stays as it is"),
            // Our offer was taken before we heard that it stood there.
            Heard::Superseded(found) if self.offering && found.epoch > self.holder.record().epoch => return true,
            Heard::Superseded(found) => {
                warn!(epoch = found.epoch, "another worker has the recording");
                self.keeping = Keeping::Nothing;
                // Nobody listens: the session has ended.
                let _ = self.told.send(Claim::Superseded);
            }
            Heard::Gone => {
                error!(key = self.path.state(), "the record is gone; restore it from a backup");
                self.keeping = Keeping::Nothing;
            }
            // Asked by the caller.
            Heard::Ask(_) => {}
        }
        false
    }

    fn spoilt(&mut self, why: &StoreError) -> bool {
        let error = why as &dyn std::error::Error;
        error!(error, key = self.path.state(), "the record is spoilt; restore it from a backup");
        self.keeping = Keeping::Nothing;
        false
    }

    /// So that a recording of which nothing is left is missed. One try; the next comes with the next sign of life.
    async fn begin(&mut self) {
        let Some(at) = self.owed else { return };
        match ledger::started(&self.store, &self.path, self.holder.record().epoch, at).await {
            Ok(()) => self.owed = None,
            Err(why) => warn!(error = &why as &dyn std::error::Error, "the ledger does not know that this began"),
        }
    }

    /// So that nobody looks for what was never captured. As long as that takes, like the record of the end, which comes
    /// after it: an epoch that is not told of is taken for lost.
    async fn nothing(&mut self) {
        self.owed = None;
        let stored = Stored::nothing(self.holder.record().epoch, now());
        while let Err(why) = ledger::stored(&self.store, &self.path, &stored).await {
            if !why.is_passing() {
                let error = &why as &dyn std::error::Error;
                error!(
                    error,
                    "the ledger cannot be told that nothing was captured; the recording will seem to lack it"
                );
                return;
            }
            warn!(
                error = &why as &dyn std::error::Error,
                "the ledger does not know that nothing was captured; trying again"
            );
            tokio::time::sleep(PAUSE).await;
            // Else others take us for dead, and join a room that may be over.
            self.beat().await;
        }
    }

    /// A sign of life, or a look for a successor. One try: the next one comes by itself.
    pub(super) async fn beat(&mut self) {
        if self.owed.is_some() && !self.away {
            self.begin().await;
        }
        let tried = match self.keeping {
            Keeping::Ours => self.live().await,
            Keeping::Offered => self.look().await,
            Keeping::Nothing => Ok(()),
        };
        match tried {
            Err(why @ StoreError::BadRecord { .. }) => drop(self.spoilt(&why)),
            Err(why) if !self.away => {
                self.away = true;
                let error = &why as &dyn std::error::Error;
                warn!(error, "no sign of life could be stored; recording goes on");
            }
            Ok(()) if self.away => {
                self.away = false;
                info!("the store takes signs of life again");
            }
            Ok(()) | Err(_) => {}
        }
    }

    async fn live(&mut self) -> Result<(), StoreError> {
        let mut heard = self.holder.begin(Change::Beat { stored: self.stored }, now());
        while let Heard::Ask(ask) = heard {
            let answer = cell::ask(&self.store, &self.path, &ask).await?;
            heard = self.holder.hear(answer, now());
        }
        self.settled(heard);
        Ok(())
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let (found, _) = recordings::state(&self.store, &self.path).await?;
        if self.holder.record().is_succeeded_by(&found) {
            info!(epoch = found.epoch, "the successor is live");
            self.keeping = Keeping::Nothing;
            let _ = self.told.send(Claim::Taken);
        }
        Ok(())
    }

    async fn tell(&self, body: Body) {
        let (outbox, event) = (self.outbox.clone(), envelope(&self.asked, self.holder.record(), body));
        // It does not panic, and says itself when the disk refuses.
        let _ = tokio::task::spawn_blocking(move || outbox.put(&event)).await;
    }

    /// So that a live recording has its title; it is stored again, with everybody who came, at the end.
    async fn describe(&self, key: &SealKey, description: &Description) {
        let Ok(plain) = serde_json::to_vec(description) else { return };
        let sealed = key.seal(plain);
        let at = self.path.description(self.holder.record().epoch);
        if let Err(why) = sealed.put(&self.store, &at).await {
            warn!(error = &why as &dyn std::error::Error, "the early description is not stored; the last one will be");
        }
    }
}

#[cfg(test)]
mod tests {
    use claim::{Ask, Phase};
    use storage::{Bucket, Condition};

    use super::*;
    use crate::rehearsal::house::{House, request};

    async fn scribe(house: &House) -> (Scribe, mpsc::UnboundedReceiver<Claim>) {
        let asked = request("run-1", |_| {});
        let held = house.take(&asked).await.held;
        let (tell, told) = mpsc::unbounded_channel();
        let (holder, outbox) = (Holder::new(held.record, held.etag), house.shop.outbox.clone());
        (Scribe::new(held.path, holder, asked.meta, house.shop.desk.store.clone(), outbox, tell), told)
    }

    /// Somebody writes the record behind the scribe's back.
    async fn put(scribe: &Scribe, record: &claim::Record) {
        recordings::swap(&scribe.store, &scribe.path, record, scribe.holder.etag()).await.unwrap();
    }

    /// Without an owner in it, nothing but its whole text says that it is ours.
    #[tokio::test]
    async fn an_offer_whose_answer_was_lost_is_known_again() {
        let house = House::open().await;
        let (mut scribe, mut told) = scribe(&house).await;
        let Heard::Ask(Ask::Swap { next, .. }) = scribe.holder.begin(Change::Offer, now()) else { panic!("no offer") };
        put(&scribe, &next).await;
        let heard = scribe.holder.hear(Answer::Unknown, now());
        assert!(scribe.through(heard).await);
        assert_eq!(*scribe.holder.record(), *next);
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_record_that_another_took_is_left_to_it() {
        let house = House::open().await;
        let (mut scribe, mut told) = scribe(&house).await;
        let taken = scribe.holder.record().take_over("another".into(), now()).unwrap();
        put(&scribe, &taken).await;
        scribe.beat().await;
        assert_eq!(told.try_recv(), Ok(Claim::Superseded));
        // And nothing more is written.
        assert!(!scribe.change(Change::Become(Phase::Ended, None)).await);
        assert_eq!(recordings::state(&scribe.store, &scribe.path).await.unwrap().0, taken);
    }

    #[tokio::test]
    async fn who_has_handed_over_hears_of_the_first_segment_that_its_successor_has_stored() {
        let house = House::open().await;
        let (mut scribe, mut told) = scribe(&house).await;
        assert!(scribe.change(Change::Become(Phase::Recording, None)).await);
        scribe.offer(LastResort { phase: Phase::Ended, reason: Reason::WorkerStopped, tell: Vec::new() }).await;
        scribe.beat().await;
        let taken = scribe.holder.record().take("another".into(), now()).unwrap();
        let mut steps = vec![taken.clone(), taken.becomes(Phase::Recording, None, now()).unwrap()];
        steps.push(steps[1].beats(true, now()).unwrap());
        for (n, step) in steps.iter().enumerate() {
            assert!(told.try_recv().is_err(), "told before step {n}");
            let (_, etag) = recordings::state(&scribe.store, &scribe.path).await.unwrap();
            recordings::swap(&scribe.store, &scribe.path, step, &etag).await.unwrap();
            scribe.beat().await;
        }
        assert_eq!(told.try_recv(), Ok(Claim::Taken));
        assert_eq!(recordings::state(&scribe.store, &scribe.path).await.unwrap().0, steps[2]);
    }

    #[tokio::test]
    async fn a_record_that_is_gone_or_spoilt_holds_up_nobody() {
        for spoilt in [None, Some("{}")] {
            let house = House::open().await;
            let (mut scribe, _told) = scribe(&house).await;
            let state = scribe.path.state();
            match spoilt {
                None => scribe.store.delete(Bucket::Media, &state).await.unwrap(),
                Some(text) => {
                    scribe.store.put(Bucket::Media, &state, text.into(), Condition::None).await.unwrap();
                }
            }
            let ended = scribe.change(Change::Become(Phase::Ended, None));
            assert!(!tokio::time::timeout(PAUSE, ended).await.unwrap(), "{spoilt:?}");
        }
    }
}
