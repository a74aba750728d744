//! One message in our hands.

use std::sync::Arc;

use events::Event;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::protocol::BasicProperties;
use lapin::types::FieldTable;
use lapin::{Acker, Channel};
use tokio::sync::mpsc;
use tracing::warn;

use crate::Broker;
use crate::error::Error;
use crate::link::{Dropped, Letter};
use crate::signature::{self, Purpose};
use crate::topology::{PARKED, text};

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
        let Some(queue) = self.letter.durable_queue.clone() else { return self.letter.requeue().await };
        let message = &self.letter.message;
        let properties = self.letter.broker.properties(Purpose::Event, &self.event.meta.id, message);
        let copy = Letter { exchange: "", key: &queue, mandatory: true, message, properties };
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
    headers: Option<FieldTable>,
    /// None for a room's own queue, which dies with its consumer.
    durable_queue: Option<Arc<str>>,
    acker: Option<Acker>,
    dropped: mpsc::UnboundedSender<Dropped>,
    /// Closing it would take back every message it brought.
    _channel: Channel,
}

impl Unsettled {
    pub(crate) fn new(
        broker: &Broker,
        channel: &Channel,
        durable_queue: Option<Arc<str>>,
        delivery: lapin::message::Delivery,
    ) -> Self {
        Self {
            broker: broker.clone(),
            message: delivery.data,
            headers: delivery.properties.headers().clone(),
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
        let from = self.durable_queue.as_deref().unwrap_or("room");
        warn!(reason, queue = from, "message parked in {PARKED}");
        let mut headers = FieldTable::default();
        // Of what its sender put there only the signature, so that the message may be moved back.
        if let Some(signed) = self.headers.as_ref().and_then(|headers| headers.inner().get(signature::HEADER)) {
            headers.insert(signature::HEADER.into(), signed.clone());
        }
        headers.insert("x-lectern-reason".into(), text(reason));
        headers.insert("x-lectern-queue".into(), text(from));
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
        let copy = Letter { exchange: "", key: PARKED, mandatory: true, message: &self.message, properties };
        self.broker.send("a parked message", &copy).await?;
        self.ack().await
    }
}

impl Unsettled {
    /// Why not to believe that this is from one of us.
    pub(crate) fn doubt(&self) -> Option<signature::Doubt> {
        self.broker.keys().verify(Purpose::Event, &self.message, self.headers.as_ref()).err()
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

/// lapin answers `false` when the channel is gone, and an error when it went this moment.
fn superseded(answer: &lapin::Result<bool>) -> Result<(), Error> {
    if matches!(answer, Ok(true)) { Ok(()) } else { Err(Error::Superseded) }
}
