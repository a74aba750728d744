//! RabbitMQ: take, settle, publish with confirms, a room's own queue. The only user of lapin; no lapin type leaves.
//! Decides nothing about rooms or recordings.
//!
//! # Design
//! - **Links are replaced, not mended.** lapin can recover a connection in place; then an answer to a message of before
//!   may or may not reach anything. Here a [`Delivery`] belongs to the connection that brought it and says so
//!   ([`Error::Superseded`]), and each new connection declares everything before it is used, so that a broker that lost
//!   its disk is whole again.
//! - **At least once.** A publish that was not confirmed is sent again; a message that was not settled comes again.
//!   Receivers are idempotent by the events' derived ids.
//! - **Nothing is dropped in silence.** What cannot be read, what fails six times and what a worker refuses ends in the
//!   queue `lectern.parked` with the reason in its header `x-lectern-reason`, and in a warning.

mod config;
mod consumer;
mod delivery;
mod error;
mod link;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use events::{Event, Exchange, RoomId, TenantId};
use lapin::Confirmation;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use config::Config;
pub use consumer::{Consumer, RawConsumer};
pub use delivery::Delivery;
pub use error::{Cause, Error};
pub use topology::Work;

use consumer::Source;
use link::{Backoff, Chain, Dropped, Letter, Link};

/// How long a publish waits for a broker that is away: longer than a restart, shorter than a worker's own deadlines.
const PATIENCE: Duration = Duration::from_secs(30);
/// A room's news comes in handfuls.
const ROOM_PREFETCH: u16 = 16;
/// Janus sends one message per happening; a lecture hall that fills makes hundreds.
const TAP_PREFETCH: u16 = 256;

/// A live, self-healing connection. Cheap to clone; the last clone's end closes it.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    config: Config,
    stop: CancellationToken,
    link: watch::Receiver<Option<Arc<Link>>>,
    dropped: mpsc::UnboundedSender<Dropped>,
    keeper: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Broker {
    /// Connects, with retries until `stop` while the broker cannot be reached, and declares exchanges, queues and the
    /// parking lot. `stop` later ends the consumers; publishing and settling go on, so that work can be finished.
    ///
    /// # Errors
    /// What a retry cannot mend: address, credentials, virtual host, a topology in the way; [`Error::Stopped`].
    pub async fn connect(config: &Config, stop: CancellationToken) -> Result<Self, Error> {
        let mut backoff = Backoff::default();
        let link = loop {
            let opened = tokio::select! {
                () = stop.cancelled() => return Err(Error::Stopped),
                opened = Link::open(config) => opened,
            };
            match opened {
                Ok(link) => break Arc::new(link),
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => warn!(error = %Chain(&error), "the broker cannot be reached; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return Err(Error::Stopped),
                () = tokio::time::sleep(backoff.next()) => {}
            }
        };
        let (tell, current) = watch::channel(Some(link.clone()));
        let (dropped, takes) = mpsc::unbounded_channel();
        // Aborted when the last clone goes.
        let keeper = tokio::spawn(link::keep(config.clone(), link, tell, takes)).abort_handle();
        Ok(Self(Arc::new(Inner { config: config.clone(), stop, link: current, dropped, keeper })))
    }

    /// Logs in once and leaves: for `check-config`.
    ///
    /// # Errors
    /// As [`Broker::connect`], and [`Error::Unreachable`] at once.
    pub async fn check(config: &Config) -> Result<(), Error> {
        let connection = link::connect(config).await?;
        // It answered; how it takes our leave does not matter.
        let _ = connection.close(200, "checked".into()).await;
        Ok(())
    }

    /// Publishes persistently; returns once the broker has confirmed that a queue has it. An event nobody is bound to
    /// is an `Ok` for [`Exchange::Events`] and an error for [`Exchange::Commands`]. Waits up to 30 s for a broker that
    /// is away; the message may then arrive twice.
    ///
    /// # Errors
    /// [`Error::Unfit`], [`Error::Unroutable`], [`Error::Refused`], [`Error::Unconfirmed`], [`Error::Unreachable`].
    pub async fn publish(&self, event: &Event) -> Result<(), Error> {
        let kind = event.body.kind();
        let message = event.to_json();
        // What its readers would park must not go out.
        Event::parse(&message).map_err(|source| Error::Unfit { kind, source })?;
        let letter = Letter {
            exchange: event.exchange().name(),
            key: &event.routing_key(),
            mandatory: event.exchange() == Exchange::Commands,
            message: &message,
            properties: delivery::properties(&event.meta.id),
        };
        self.send(kind, &letter).await
    }

    /// Consumes a work queue, at most `prefetch` unsettled at a time. What was sent ahead and not taken goes back to the
    /// end of the queue when the consumer is dropped.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn work(&self, queue: Work, prefetch: u16) -> Result<Consumer, Error> {
        self.until_stop(Consumer::new(self.clone(), Source::Work(queue), prefetch).opened()).await
    }

    /// News and commands about one room, on an exclusive, auto-deleted queue. What happens while there is no connection
    /// is not on it afterwards: it brings news early, and the room itself is the truth.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn room(&self, tenant: &TenantId, room: &RoomId) -> Result<Consumer, Error> {
        let source = Source::Room(tenant.clone(), room.clone());
        self.until_stop(Consumer::new(self.clone(), source, ROOM_PREFETCH).opened()).await
    }

    /// Foreign news from `exchange`, unread. Its queue is exclusive, not durable, at most 10 000 long and a minute old,
    /// so that what is personal in it touches no disk and does not stay. An exchange that is not there yet is made.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn tap(&self, exchange: &str) -> Result<RawConsumer, Error> {
        self.until_stop(RawConsumer::new(self.clone(), exchange, TAP_PREFETCH).opened()).await
    }

    /// How many messages wait in the parking queue for a person. More than none is worth an alarm.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn parked_count(&self) -> Result<u32, Error> {
        let count = async {
            let channel = self.link().await.channel().await?;
            let look = QueueDeclareOptions::durable().passive();
            channel.queue_declare(topology::PARKED.into(), look, FieldTable::default()).await
        };
        match timeout_at(Instant::now() + PATIENCE, count).await {
            Ok(Ok(queue)) => Ok(queue.message_count()),
            Ok(Err(error)) => Err(self.unreachable(Some(error.into()))),
            Err(late) => Err(self.unreachable(Some(late.into()))),
        }
    }

    /// Closes the connection when everything sent has reached the broker. The last thing a service does; what is
    /// published or settled by other clones afterwards fails.
    pub async fn close(self) {
        self.0.keeper.abort();
        let link = self.0.link.borrow().clone();
        if let Some(link) = link {
            link.close().await;
        }
    }

    pub(crate) async fn send(&self, kind: &'static str, letter: &Letter<'_>) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let link = timeout_at(deadline, self.link()).await.map_err(|_| self.unreachable(None))?;
            match timeout_at(deadline, link.publish(letter)).await {
                Ok(Ok(Confirmation::Ack(None))) => return Ok(()),
                Ok(Ok(Confirmation::Ack(Some(_)))) => return Err(Error::Unroutable { kind }),
                Ok(Ok(Confirmation::Nack(_))) => return Err(Error::Refused { kind }),
                Ok(Ok(Confirmation::NotRequested)) => return Err(Error::Unconfirmed { kind }),
                Ok(Err(error)) => {
                    debug!(%error, kind, "a publish failed with its connection; sending it again");
                    link.broken.cancel();
                }
                Err(_) => return Err(Error::Unconfirmed { kind }),
            }
        }
    }

    /// The link that works, as soon as there is one. Never ends after [`Broker::close`].
    pub(crate) async fn link(&self) -> Arc<Link> {
        let mut current = self.0.link.clone();
        loop {
            let works = |link: &Option<Arc<Link>>| link.as_ref().is_some_and(|link| !link.broken.is_cancelled());
            match current.wait_for(works).await.map(|link| link.clone()) {
                Ok(Some(link)) => return link,
                Ok(None) => {}
                Err(_) => std::future::pending().await,
            }
        }
    }

    pub(crate) fn stop(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    pub(crate) fn dropped(&self) -> mpsc::UnboundedSender<Dropped> {
        self.0.dropped.clone()
    }

    async fn until_stop<T>(&self, opening: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            () = self.0.stop.cancelled() => Err(Error::Stopped),
            opened = opening => Ok(opened),
        }
    }

    fn unreachable(&self, source: Option<Cause>) -> Error {
        Error::Unreachable { at: link::at(&self.0.config), source }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("at", &link::at(&self.0.config)).finish_non_exhaustive()
    }
}
