//! What Lectern announces about a room, as any consumer on RabbitMQ hears it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use broker::Broker;
use events::{Body, Event, RecordingId, RoomId, TenantId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::process::until;
use crate::servers::RabbitMq;
use crate::servers::lectern::TENANT;

/// Everything heard about one room since this was made, with the moment it was heard.
#[derive(Debug)]
pub struct News {
    heard: Arc<Mutex<Vec<(Instant, Event)>>>,
    broker: Broker,
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
        };
        let broker = Broker::connect(&config, CancellationToken::new()).await?;
        let mut consumer = broker.room(&TenantId::new(TENANT)?, &RoomId::new(room.to_string())?).await?;
        let heard = Arc::<Mutex<Vec<(Instant, Event)>>>::default();
        let into = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(delivery) = consumer.next().await {
                into.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), delivery.event.clone()));
                // Lost with the connection at worst; it is heard all the same.
                let _ = delivery.settle().await;
            }
        });
        Ok(Self { heard, broker, task })
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
            match all.iter().find_map(|(_, e)| if let Body::RecordingFailed(f) = &e.body { Some(f) } else { None }) {
                Some(failed) => bail!("the recording failed: {}", failed.reason),
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

    /// Sends an event of our own.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn publish(&self, event: &Event) -> anyhow::Result<()> {
        Ok(self.broker.publish(event).await?)
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.task.abort();
    }
}
