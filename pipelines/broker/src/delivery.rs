//! One message in our hands.

use events::Event;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::protocol::BasicProperties;
use lapin::{Acker, Channel};
use tokio::sync::mpsc;
use tracing::warn;

use crate::Broker;
use crate::error::Error;
use crate::link::{Dropped, Letter};
use crate::topology::{PARKED, table, text};

pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";
/// Persistent (AMQP 0-9-1, basic.publish, delivery-mode).
pub(crate) const PERSISTENT: u8 = 2;

/// An event in our hands. Must be settled; dropped unsettled, it goes back to the queue.
///
/// Every answer fails with [`Error::Superseded`] when the connection that brought the message is gone. The message then
/// comes again, so what was done with it must be safe to do twice.
#[derive(Debug)]
pub struct Delivery {
    pub event: Event,
    letter: Unsettled,
}

impl Delivery {
    pub(crate) fn new(event: Event, letter: Unsettled) -> Self {
        Self { event, letter }
    }

    /// Done, or durable elsewhere: forget it.
    ///
    /// # Errors
    /// [`Error::Superseded`].
    pub async fn settle(self) -> Result<(), Error> {
        self.letter.ack().await
    }

    /// Cannot be done now: back to the end of the queue, and not counted against the delivery limit.
    ///
    /// RabbitMQ before 4.0 counts every return, so the queue gets a confirmed copy and the original is settled. For a
    /// moment both may exist.
    ///
    /// # Errors
    /// As [`Broker::publish`], and [`Error::Superseded`].
    pub async fn give_back(self) -> Result<(), Error> {
        let Some(queue) = self.letter.durable_queue else { return self.letter.requeue().await };
        let properties = properties(&self.event.meta.id);
        let copy = Letter { exchange: "", key: queue, mandatory: true, message: &self.letter.message, properties };
        self.letter.broker.send(self.event.body.kind(), &copy).await?;
        self.letter.ack().await
    }

    /// Failed: counts against the delivery limit of 5, after which it is parked.
    ///
    /// # Errors
    /// [`Error::Superseded`].
    pub async fn fail(self) -> Result<(), Error> {
        self.letter.reject().await
    }

    /// Never doable: parks it at once. `reason` is a word for machines, without anything from the message.
    ///
    /// # Errors
    /// As [`Broker::publish`], and [`Error::Superseded`].
    pub async fn park(self, reason: &str) -> Result<(), Error> {
        self.letter.park(reason).await
    }
}

/// A message that the broker waits for an answer to.
pub(crate) struct Unsettled {
    broker: Broker,
    pub(crate) message: Vec<u8>,
    /// None for a room's own queue, which dies with its consumer.
    durable_queue: Option<&'static str>,
    acker: Option<Acker>,
    dropped: mpsc::UnboundedSender<Dropped>,
    /// Closing it would take back every message it brought.
    _channel: Channel,
}

impl Unsettled {
    pub(crate) fn new(
        broker: &Broker,
        channel: &Channel,
        durable_queue: Option<&'static str>,
        delivery: lapin::message::Delivery,
    ) -> Self {
        Self {
            broker: broker.clone(),
            message: delivery.data,
            durable_queue,
            acker: Some(delivery.acker),
            dropped: broker.dropped(),
            _channel: channel.clone(),
        }
    }

    pub(crate) async fn ack(mut self) -> Result<(), Error> {
        match self.acker.take() {
            Some(acker) => superseded(&acker.ack(BasicAckOptions::default()).await),
            None => Err(Error::Superseded),
        }
    }

    async fn requeue(mut self) -> Result<(), Error> {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        match self.acker.take() {
            Some(acker) => superseded(&acker.nack(options).await),
            None => Err(Error::Superseded),
        }
    }

    async fn reject(mut self) -> Result<(), Error> {
        match self.acker.take() {
            Some(acker) => superseded(&acker.reject(BasicRejectOptions { requeue: true }).await),
            None => Err(Error::Superseded),
        }
    }

    /// The parking queue has a copy before the original goes.
    pub(crate) async fn park(self, reason: &str) -> Result<(), Error> {
        let from = self.durable_queue.unwrap_or("room");
        warn!(reason, queue = from, "message parked in {PARKED}");
        let headers = table(&[("x-lectern-reason", text(reason)), ("x-lectern-queue", text(from))]);
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
        let copy = Letter { exchange: "", key: PARKED, mandatory: true, message: &self.message, properties };
        self.broker.send("a parked message", &copy).await?;
        self.ack().await
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            // The keeper is gone only when the connection is, and then the broker has it back already.
            let _ = self.dropped.send(Dropped::Delivery(acker));
        }
    }
}

impl std::fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsettled").field("bytes", &self.message.len()).finish_non_exhaustive()
    }
}

pub(crate) fn properties(id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.into())
}

/// lapin answers `false` when the channel is gone, and an error when it went this moment.
fn superseded(answer: &lapin::Result<bool>) -> Result<(), Error> {
    if matches!(answer, Ok(true)) { Ok(()) } else { Err(Error::Superseded) }
}
