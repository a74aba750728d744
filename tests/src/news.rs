//! What Lectern announces about a room, as any consumer on RabbitMQ hears it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use broker::Broker;
use events::{Body, Event, Meta, Platform, RecordingFailed, RecordingId, RoomId, SessionId, TenantId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::process::until;
use crate::servers::RabbitMq;
use crate::servers::lectern::{INSTANCE, TENANT};

/// Everything heard about one room since this was made, with the moment it was heard.
#[derive(Debug)]
pub struct News {
    heard: Arc<Mutex<Vec<(Instant, Event)>>>,
    broker: Broker,
    room: RoomId,
    task: JoinHandle<()>,
}

impl News {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn of(server: &RabbitMq, room: u64) -> anyhow::Result<Self> {
        let config = broker::Config {
            url: server.url(),
            user: crate::servers::rabbitmq::USER.into(),
            password_file: Some(server.password_file()),
            ..broker::Config::default()
        };
        let broker = Broker::connect(&config, CancellationToken::new()).await?;
        let room = RoomId::new(room.to_string())?;
        let mut consumer = broker.room(&TenantId::new(TENANT)?, &room).await?;
        let heard = Arc::<Mutex<Vec<(Instant, Event)>>>::default();
        let into = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(delivery) = consumer.next().await {
                into.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), delivery.event.clone()));
                // Lost with the connection at worst; it is heard all the same.
                let _ = delivery.settle().await;
            }
        });
        Ok(Self { heard, broker, room, task })
    }

    /// Every event so far, oldest first.
    pub fn all(&self) -> Vec<(Instant, Event)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The words for all events so far, such as `recording.ready`.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.all().iter().map(|(_, event)| event.body.kind()).collect()
    }

    /// The first event of `kind`, such as `recording.ready`, and when it came.
    ///
    /// # Errors
    /// When none has come within `deadline`, or a recording of this room fails while another event is awaited.
    pub async fn wait(&self, kind: &str, deadline: Duration) -> anyhow::Result<(Instant, Event)> {
        until(&format!("{kind} is announced"), deadline, async || {
            let all = self.all();
            if let Some(found) = all.iter().find(|(_, event)| event.body.kind() == kind) {
                return Ok(Some(found.clone()));
            }
            let failed = all.iter().find_map(|(_, event)| match &event.body {
                Body::RecordingFailed(failed) => Some(("recording", &failed.reason)),
                Body::TranscriptFailed(failed) => Some(("transcript", &failed.reason)),
                _ => None,
            });
            match failed {
                Some((what, reason)) => bail!("the {what} failed: {reason}"),
                None => Ok(None),
            }
        })
        .await
        .with_context(|| format!("heard so far: {:?}", self.kinds()))
    }

    /// The recording that has started in this room.
    ///
    /// # Errors
    /// As [`News::wait`].
    pub async fn started(&self, deadline: Duration) -> anyhow::Result<(Instant, RecordingId)> {
        let (at, event) = self.wait("recording.started", deadline).await?;
        match event.body {
            Body::RecordingStarted(started) => Ok((at, started.recording)),
            other => bail!("{} is no recording.started", other.kind()),
        }
    }

    /// Waits until a recording of this room has failed.
    ///
    /// # Errors
    /// When none has within `deadline`.
    pub async fn wait_failed(&self, deadline: Duration) -> anyhow::Result<(Instant, RecordingFailed)> {
        let failed = |body: &Body| match body {
            Body::RecordingFailed(failed) => Some(failed.clone()),
            _ => None,
        };
        self.hear("recording.failed", deadline, failed).await
    }

    /// The first event of which `pick` takes something, and when it came; no failure ends the waiting.
    ///
    /// # Errors
    /// When none has come within `deadline`.
    pub async fn hear<T>(
        &self,
        what: &str,
        deadline: Duration,
        pick: impl Fn(&Body) -> Option<T>,
    ) -> anyhow::Result<(Instant, T)> {
        until(&format!("{what} is announced"), deadline, async || {
            Ok(self.all().iter().find_map(|(at, event)| Some((*at, pick(&event.body)?))))
        })
        .await
        .with_context(|| format!("heard so far: {:?}", self.kinds()))
    }

    /// Publishes something about this room's run, or about a new run when none was heard of.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn tell(&self, body: Body) -> anyhow::Result<()> {
        let heard = self.all().first().map(|(_, event)| event.meta.session.clone());
        let session = heard.map_or_else(|| SessionId::new(hex::encode(rand::random::<[u8; 8]>())), Ok)?;
        let meta = Meta {
            id: hex::encode(rand::random::<[u8; 16]>()),
            platform: Platform::Janus,
            instance: INSTANCE.into(),
            tenant: TenantId::new(TENANT)?,
            room: self.room.clone(),
            session,
            time: media::WallTime::from_system(SystemTime::now()).to_string(),
        };
        self.repeat(&Event { meta, body }).await
    }

    /// Publishes an event that was heard once more, as somebody does who wants its work done again.
    ///
    /// # Errors
    /// As [`News::tell`].
    pub async fn repeat(&self, event: &Event) -> anyhow::Result<()> {
        Ok(self.broker.publish(event).await?)
    }

    /// How many messages wait at the broker for a person.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn parked(&self) -> anyhow::Result<u32> {
        Ok(self.broker.parked_count().await?)
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.task.abort();
    }
}
