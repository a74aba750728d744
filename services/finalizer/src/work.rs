//! The queue's side: takes `epoch.stored`, finalizes, announces. Owns the retries of finalizing (DESIGN D17).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use broker::{Broker, Delivery, Work};
use chassis::Sections;
use events::{Body, Event, Meta, RecordingFailed, RecordingReady};
use media::WallTime;
use serde::Deserialize;
use storage::manifest::SigningKey;
use storage::{Identity, Recipients, RecordingPath, Store, recordings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::finalize::{FinalizeError, Finalizer, Outcome};

/// `[finalizer]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Recordings finalized at once.
    pub slots: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 2 }
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

/// Consumes `epoch.stored` until `stop`, then ends what is under way.
///
/// # Errors
/// When the configuration cannot be used, or the broker or the store cannot be reached at all.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let config: Config = sections.section("finalizer")?;
    let finalizer = Arc::new(Finalizer::open(sections).await?);
    finalizer.store.check().await.context("the store cannot carry recordings")?;
    let mut broker: broker::Config = sections.section("broker")?;
    broker.password_file = broker.password_file.map(|file| sections.beside(&file));
    let broker = Broker::connect(&broker, stop.clone()).await?;
    let slots = config.slots.max(1);
    let mut work = broker.work(Work::Finalize, slots).await?;
    tracing::info!(slots, "finalizer ready");

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
    Ok(())
}

impl Finalizer {
    /// From `[store]` and `[seal]`.
    ///
    /// # Errors
    /// When a key cannot be read, or the recipients are not at least two.
    pub async fn open(sections: &Sections) -> anyhow::Result<Self> {
        let mut store: storage::store::Config = sections.section("store")?;
        for file in [&mut store.access_key_file, &mut store.secret_key_file].into_iter().flatten() {
            *file = sections.beside(file);
        }
        let seal: storage::seal::Config = sections.section("seal")?;
        let identity = seal.pipeline_identity_file.context("set seal.pipeline_identity_file: it opens recordings")?;
        let signing = seal.signing_key_file.context("set seal.signing_key_file: it signs manifests")?;
        Ok(Self {
            store: Store::connect(&store).await?,
            identity: Identity::load(&sections.beside(&identity))?,
            recipients: Recipients::parse(&seal.recipients)?,
            signing: SigningKey::load(&sections.beside(&signing))?,
        })
    }
}

async fn handle(finalizer: &Finalizer, broker: &Broker, delivery: Delivery, stop: &CancellationToken) {
    let meta = delivery.event.meta.clone();
    let settled = match &delivery.event.body {
        Body::EpochStored(stored) if stored.last => {
            let recording = stored.recording;
            match patiently(finalizer, recording, stop).await {
                Ok(Some((outcome, record))) => match announce(broker, &meta, &record, &outcome).await {
                    Ok(()) => delivery.settle().await,
                    Err(error) => {
                        tracing::warn!(%recording, error = %chain(&error), "could not announce; trying again later");
                        delivery.give_back().await
                    }
                },
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
        // Another worker goes on with the recording; its last epoch will call for us.
        Body::EpochStored(_) => delivery.settle().await,
        _ => delivery.park("not-for-finalizers").await,
    };
    if let Err(error) = settled {
        tracing::debug!(%error, "the delivery comes again");
    }
}

type Found = (Outcome, claim::Record);

async fn patiently(
    finalizer: &Finalizer,
    recording: events::RecordingId,
    stop: &CancellationToken,
) -> Result<Option<Found>, FinalizeError> {
    let mut pauses = PAUSES.iter();
    loop {
        let tried = once(finalizer, recording).await;
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

async fn once(finalizer: &Finalizer, recording: events::RecordingId) -> Result<Option<Found>, FinalizeError> {
    let Some((path, record, _)) = recordings::find(&finalizer.store, recording).await? else { return Ok(None) };
    let path: RecordingPath = path;
    Ok(Some((finalizer.finalize(&path).await?, record)))
}

/// Says what became of the recording. Its id is derived, so that consumers drop what they heard before.
async fn announce(
    broker: &Broker,
    cause: &Meta,
    record: &claim::Record,
    outcome: &Outcome,
) -> Result<(), broker::Error> {
    let recording = record.recording;
    let (body, of) = match outcome {
        Outcome::Ready { generation, complete, duration, .. } => (
            Body::RecordingReady(RecordingReady {
                recording,
                generation: *generation,
                duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                language: record.language.clone(),
                complete: *complete,
            }),
            *generation,
        ),
        Outcome::Empty => {
            (Body::RecordingFailed(RecordingFailed { recording, reason: "empty".into(), retryable: false }), 0)
        }
        Outcome::Failed { reason } => {
            (Body::RecordingFailed(RecordingFailed { recording, reason: reason.clone(), retryable: false }), 0)
        }
    };
    let name = format!("lectern/finalizer/{recording}/{}/{of}", body.kind());
    let meta = Meta {
        id: Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string(),
        time: WallTime::from_system(SystemTime::now()).to_string(),
        ..cause.clone()
    };
    broker.publish(&Event { meta, body }).await
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
