//! The queue's side: takes `recording.ready`, transcribes, announces. Owns the retries of transcribing (DESIGN D17).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use broker::{Broker, Delivery, Work};
use chassis::Sections;
use events::{Body, Event, Meta, RecordingReady, TranscriptFailed, TranscriptReady};
use media::WallTime;
use storage::manifest::SigningKey;
use storage::{Identity, Recipients, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{Config, Models};
use crate::error::TranscribeError;
use crate::write::{Done, Transcriber};

/// Pauses between tries in one delivery; after them it goes to the end of the queue.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(60)];

/// Consumes `recording.ready` until `stop`, one recording at a time: Whisper takes all the cores it is given.
///
/// # Errors
/// When the configuration cannot be used, or the broker cannot be reached at all.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let transcriber = Transcriber::open(sections).await?;
    let broker: broker::Config = sections.section("broker")?;
    let broker = Broker::connect(&broker, stop.clone()).await?;
    let mut work = broker.work(Work::Transcribe, 1).await?;
    let config = transcriber.models.config();
    if config.models.is_empty() {
        tracing::warn!(
            "no speech model is configured, so recordings get no transcript; add [transcriber.models.default]"
        );
    }
    if config.test_model {
        tracing::warn!("TEST MODEL allowed: it knows 112 words of synthetic speech and must not serve people");
    }
    tracing::info!(models = config.models.len(), "transcriber ready");
    while let Some(delivery) = work.next().await {
        handle(&transcriber, &broker, delivery, &stop).await;
    }
    Ok(())
}

impl Transcriber {
    /// From `[transcriber]`, `[store]` and `[seal]`.
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
            signing: Arc::new(SigningKey::load(&signing)?),
            models: Arc::new(Models::new(Config::read(sections)?)),
        })
    }
}

async fn handle(transcriber: &Transcriber, broker: &Broker, delivery: Delivery, stop: &CancellationToken) {
    let Body::RecordingReady(ready) = delivery.event.body.clone() else {
        park(delivery).await;
        return;
    };
    let recording = ready.recording;
    let outcome = patiently(transcriber, &ready, stop).await;
    let body = match &outcome {
        Ok(Done { generation, model, cues }) => Some(Body::TranscriptReady(TranscriptReady {
            recording,
            generation: *generation,
            language: ready.language.clone(),
            model: model.clone(),
            cues: *cues,
        })),
        Err(error) if error.is_passing() => None,
        Err(error) => Some(Body::TranscriptFailed(TranscriptFailed {
            recording,
            reason: error.reason().into(),
            retryable: error.is_mendable(),
        })),
    };
    match &outcome {
        Ok(done) => tracing::info!(%recording, generation = done.generation, cues = done.cues, "transcript ready"),
        Err(error) => tracing::warn!(%recording, reason = error.reason(), error = %chain(error), "no transcript"),
    }
    let settled = match body {
        None => delivery.give_back().await,
        Some(body) => match announce(broker, &delivery.event.meta, recording, body).await {
            Ok(()) => match outcome {
                // Kept where a person looks, who gives it back to the queue when all is well again.
                Err(error) if error.is_mendable() => delivery.park(error.reason()).await,
                _ => delivery.settle().await,
            },
            Err(error) => {
                tracing::warn!(%recording, error = %chain(&error), "could not announce; trying again later");
                delivery.give_back().await
            }
        },
    };
    if let Err(error) = settled {
        tracing::debug!(%error, "the delivery comes again");
    }
}

async fn park(delivery: Delivery) {
    if let Err(error) = delivery.park("not-for-transcribers").await {
        tracing::debug!(%error, "the delivery comes again");
    }
}

async fn patiently(
    transcriber: &Transcriber,
    ready: &RecordingReady,
    stop: &CancellationToken,
) -> Result<Done, TranscribeError> {
    let mut pauses = PAUSES.iter();
    loop {
        match (transcriber.transcribe(ready.recording, stop).await, pauses.next()) {
            (Err(error), Some(pause)) if error.is_passing() && !stop.is_cancelled() => {
                tracing::debug!(recording = %ready.recording, error = %chain(&error), "trying again soon");
                tokio::select! {
                    () = stop.cancelled() => return Err(error),
                    () = tokio::time::sleep(*pause) => {}
                }
            }
            (outcome, _) => return outcome,
        }
    }
}

/// Says what became of it. The id is derived, so that consumers drop what they heard before.
async fn announce(
    broker: &Broker,
    cause: &Meta,
    recording: events::RecordingId,
    body: Body,
) -> Result<(), broker::Error> {
    let name = format!("lectern/transcriber/{recording}/{}/{}", body.kind(), cause.id);
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
