//! RabbitMQ: take, settle, publish with confirms, a room's own queue. The only user of lapin; no lapin type leaves.
//! Decides nothing about rooms or recordings.

use std::path::PathBuf;

use events::{Event, RoomId};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

/// `[broker]` in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `amqp://host:5672/vhost` or `amqps://…`, without credentials.
    pub url: String,
    pub user: String,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { url: "amqp://127.0.0.1:5672/%2f".into(), user: "guest".into(), password_file: None }
    }
}

/// The durable work queues. Each is a quorum queue with a delivery limit of 5 whose dead letters are parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// `recording.requested`: for recorders.
    Record,
    /// `epoch.stored`: for finalizers.
    Finalize,
    /// `recording.ready`: for transcribers.
    Transcribe,
}

#[derive(Debug, thiserror::Error)]
#[error("broker")]
pub struct Error;

/// A live, self-healing connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Broker;

/// One message in our hands. Must be settled; dropped unsettled, it goes back to the queue.
#[derive(Debug)]
pub struct Delivery {
    pub event: Event,
}

impl Delivery {
    /// Done, or durable elsewhere: forget it.
    pub async fn settle(self) -> Result<(), Error> {
        todo!()
    }

    /// Cannot be done now: back to the queue, without counting against the delivery limit where the broker allows.
    pub async fn give_back(self) -> Result<(), Error> {
        todo!()
    }

    /// Failed: counts against the delivery limit of 5, after which it is parked.
    pub async fn fail(self) -> Result<(), Error> {
        todo!()
    }

    /// Never doable: park at once with a reason.
    pub async fn park(self, _reason: &str) -> Result<(), Error> {
        todo!()
    }
}

/// A stream of deliveries; survives reconnects.
#[derive(Debug)]
pub struct Consumer;

impl Consumer {
    /// The next message that parsed; what does not parse has been parked. None after shutdown.
    pub async fn next(&mut self) -> Option<Delivery> {
        todo!()
    }
}

impl Broker {
    /// Connects, with retries until `stop`, and declares exchanges, queues and the parking lot.
    pub async fn connect(_config: &Config, _stop: CancellationToken) -> Result<Self, Error> {
        todo!()
    }

    /// Publishes persistently; returns once the broker has confirmed that a queue has it. An event nobody is bound to
    /// is an `Ok` for exchange `Events` and an error for `Commands`.
    pub async fn publish(&self, _event: &Event) -> Result<(), Error> {
        todo!()
    }

    /// Consumes a work queue, at most `prefetch` unsettled at a time.
    pub async fn work(&self, _queue: Work, _prefetch: u16) -> Result<Consumer, Error> {
        todo!()
    }

    /// News and commands about one room, on an exclusive, auto-deleted queue.
    pub async fn room(&self, _tenant: &events::TenantId, _room: &RoomId) -> Result<Consumer, Error> {
        todo!()
    }
}
