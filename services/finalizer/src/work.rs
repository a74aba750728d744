//! The queue's side: takes `epoch.stored`, finalizes, announces. Owns the retries of finalizing (DESIGN D17).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use broker::{Broker, Delivery, Work};
use chassis::Sections;
use claim::Phase;
use events::{Body, EpochStored, Event, Meta, Platform, RecordingFailed, RecordingReady, event_id};
use media::WallTime;
use serde::Deserialize;
use storage::manifest::SigningKey;
use storage::{Identity, Recipients, Store, recordings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::finalize::{FinalizeError, Finalizer, Outcome};
use crate::steward::{Alarm, Seen, Steward};

/// `[finalizer]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Recordings finalized at once.
    pub slots: u16,
    /// Minutes between two looks for recordings whose call was lost; 0 never looks. A look reads every record.
    pub steward_minutes: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 2, steward_minutes: 15 }
    }
}

/// Tries in one delivery, with these pauses between them: two minutes, well below the half hour after which the broker
/// takes a message back. Then it goes to the end of the queue.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// From one look for parked messages to the next: an alarm that is seen within the quarter of an hour.
const PARKED: Duration = Duration::from_secs(15 * 60);

/// Consumes `epoch.stored` until `stop`, then ends what is under way.
///
/// # Errors
/// When the configuration cannot be used, or the broker or the store cannot be reached at all.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let config: Config = sections.section("finalizer")?;
    let finalizer = Arc::new(Finalizer::open(sections).await?);
    finalizer.store.check().await.context("the store cannot carry recordings")?;
    let broker: broker::Config = sections.section("broker")?;
    let broker = Broker::connect(&broker, stop.clone()).await?;
    let slots = config.slots.max(1);
    let mut work = broker.work(Work::Finalize, slots).await?;
    tracing::info!(slots, "finalizer ready");

    let mut rounds = JoinSet::new();
    rounds.spawn(watch_parked(broker.clone(), stop.clone()));
    if config.steward_minutes > 0 {
        let pause = Duration::from_secs(60 * u64::from(config.steward_minutes));
        rounds.spawn(look_after(Arc::clone(&finalizer), broker.clone(), pause, stop.clone()));
    }
    let mut running = JoinSet::new();
    loop {
        while running.len() >= usize::from(slots) {
            running.join_next().await;
        }
        let Some(delivery) = work.next().await else { break };
        while running.try_join_next().is_some() {}
        let (finalizer, broker, stop) = (Arc::clone(&finalizer), broker.clone(), stop.clone());
        running.spawn(async move { handle(&finalizer, &broker, delivery, &stop).await });
    }
    while running.join_next().await.is_some() {}
    while rounds.join_next().await.is_some() {}
    Ok(())
}

/// The steward's rounds; see [`Steward`].
async fn look_after(finalizer: Arc<Finalizer>, broker: Broker, pause: Duration, stop: CancellationToken) {
    let mut steward = Steward::default();
    loop {
        let look = steward.look(&finalizer, Instant::now(), WallTime::from_system(SystemTime::now()));
        match stop.run_until_cancelled(look).await {
            None => return,
            Some(Err(error)) => tracing::warn!(error = %chain(&error), "could not look after recordings"),
            Some(Ok(Seen { finished, alarms })) => {
                for (record, outcome) in finished {
                    if let Err(error) = announce(&broker, &called_by_nobody(&record), &record, &outcome).await {
                        let error = chain(&error);
                        tracing::warn!(recording = %record.recording, error, "could not announce what became of it");
                    }
                }
                for Alarm { recording, epoch, what } in alarms {
                    tracing::error!(%recording, epoch, "this recording {what}");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What no service could deal with waits for a person, who must hear of it, whether or not there is a steward.
async fn watch_parked(broker: Broker, stop: CancellationToken) {
    loop {
        match stop.run_until_cancelled(broker.parked_count()).await {
            None => return,
            Some(Ok(0)) => {}
            Some(Ok(parked)) => tracing::error!(
                parked,
                "messages wait in the queue lectern.parked; mend what their header x-lectern-reason says, and move them \
                 back to the queue in x-lectern-queue, or delete them"
            ),
            Some(Err(error)) => tracing::warn!(error = %chain(&error), "could not look for parked messages"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PARKED) => {}
        }
    }
}

/// The envelope of what is told without having been asked.
fn called_by_nobody(record: &claim::Record) -> Meta {
    Meta {
        id: String::new(),
        // There is one platform; a second one will have the record name it.
        platform: Platform::Janus,
        instance: record.instance.clone(),
        tenant: record.tenant.clone(),
        room: record.room.clone(),
        session: record.session.clone(),
        time: String::new(),
    }
}

impl Finalizer {
    /// From `[store]` and `[seal]`.
    ///
    /// # Errors
    /// When a key cannot be read, or the recipients are not at least two.
    pub async fn open(sections: &Sections) -> anyhow::Result<Self> {
        let store: storage::store::Config = sections.section("store")?;
        let seal: storage::seal::Config = sections.section("seal")?;
        let identity = seal.pipeline_identity_file.context("set seal.pipeline_identity_file: it opens recordings")?;
        let signing = seal.signing_key_file.context("set seal.signing_key_file: it signs manifests")?;
        Ok(Self {
            store: Store::connect(&store).await?.patient(),
            identity: Identity::load(&identity)?,
            recipients: Recipients::parse(&seal.recipients)?,
            signing: SigningKey::load(&signing)?,
        })
    }
}

async fn handle(finalizer: &Finalizer, broker: &Broker, delivery: Delivery, stop: &CancellationToken) {
    let meta = delivery.event.meta.clone();
    let settled = match &delivery.event.body {
        Body::EpochStored(stored) => {
            let recording = stored.recording;
            match patiently(finalizer, stored, stop).await {
                // Another worker goes on with the recording; its last epoch will call for us.
                Ok(Some(Found { outcome: None, .. })) => delivery.settle().await,
                Ok(Some(Found { outcome: Some(outcome), record })) => {
                    match announce(broker, &meta, &record, &outcome).await {
                        Ok(()) => delivery.settle().await,
                        Err(error) => {
                            tracing::warn!(%recording, error = %chain(&error), "could not announce; trying again later");
                            delivery.give_back().await
                        }
                    }
                }
                Ok(None) => delivery.park("unknown-recording").await,
                Err(error) if error.is_passing() => {
                    tracing::warn!(%recording, error = %chain(&error), "could not finalize; trying again later");
                    delivery.give_back().await
                }
                Err(error) => {
                    tracing::error!(%recording, error = %chain(&error), "cannot finalize");
                    delivery.fail().await
                }
            }
        }
        _ => delivery.park("not-for-finalizers").await,
    };
    if let Err(error) = settled {
        tracing::debug!(%error, "the delivery comes again");
    }
}

/// A recording and what became of it by now; nothing while it is recorded.
struct Found {
    outcome: Option<Outcome>,
    record: claim::Record,
}

async fn patiently(
    finalizer: &Finalizer,
    stored: &EpochStored,
    stop: &CancellationToken,
) -> Result<Option<Found>, FinalizeError> {
    let (recording, mut pauses) = (stored.recording, PAUSES.iter());
    loop {
        let tried = once(finalizer, stored).await;
        match (tried, pauses.next()) {
            (Err(error), Some(pause)) if error.is_passing() => {
                tracing::debug!(%recording, error = %chain(&error), "trying again soon");
                tokio::select! {
                    () = stop.cancelled() => return Err(error),
                    () = tokio::time::sleep(*pause) => {}
                }
            }
            (outcome, _) => return outcome,
        }
    }
}

async fn once(finalizer: &Finalizer, stored: &EpochStored) -> Result<Option<Found>, FinalizeError> {
    let Some((path, record, _)) = recordings::find(&finalizer.store, stored.recording).await? else { return Ok(None) };
    // An epoch that was stored after the recording was ready or given up is another matter: that makes a generation.
    let late = matches!(record.phase, Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty);
    let outcome = if stored.last || late { Some(finalizer.finalize(&path).await?) } else { None };
    Ok(Some(Found { outcome, record }))
}

/// Says what became of the recording. The id is derived, so that consumers drop what they heard before.
async fn announce(
    broker: &Broker,
    cause: &Meta,
    record: &claim::Record,
    outcome: &Outcome,
) -> Result<(), broker::Error> {
    let recording = record.recording;
    let failed = |reason: &str| {
        Body::RecordingFailed(RecordingFailed { recording, reason: reason.to_owned(), retryable: false })
    };
    let (body, generation) = match outcome {
        Outcome::Ready { generation, complete, duration, .. } => {
            let ready = RecordingReady {
                recording,
                generation: *generation,
                duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                language: record.language.clone(),
                complete: *complete,
            };
            (Body::RecordingReady(ready), *generation)
        }
        Outcome::Empty => (failed("empty"), 0),
        Outcome::Failed { reason } => (failed(reason), 0),
    };
    let sequence = format!("{recording}/{generation}");
    let id = event_id(&cause.source(), body.kind(), &cause.room, &cause.session, &sequence);
    let meta = Meta { id, time: WallTime::from_system(SystemTime::now()).to_string(), ..cause.clone() };
    broker.publish(&Event { meta, body }).await
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
