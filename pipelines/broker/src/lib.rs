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
//! - **Who may log in is not who may speak.** With a key ([`Config::signing_key_file`]) an event carries an HMAC over its
//!   body in the header `x-lectern-hmac`; one without, or with another's, is parked. Janus' own news is not signed.
//! - **No answers.** Of a message's properties only that header is read: no reply-to is answered, nothing is fetched.
//! - **Nothing is dropped in silence.** What cannot be read, what fails six times and what a worker refuses ends in the
//!   queue `lectern.parked` with the reason in its header `x-lectern-reason`, and in a warning.

mod config;
mod consumer;
mod delivery;
mod error;
mod link;
mod notes;
mod signature;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use events::{Event, Exchange, RoomId, TenantId};
use lapin::Confirmation;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::BasicProperties;
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
use signature::{Keys, Purpose};
use topology::{table, text};

/// How long a publish waits for a broker that is away: longer than a restart, shorter than a worker's own deadlines.
const PATIENCE: Duration = Duration::from_secs(30);
/// A room's news comes in handfuls.
const ROOM_PREFETCH: u16 = 16;
/// Janus sends one message per happening; a lecture hall that fills makes hundreds.
const TAP_PREFETCH: u16 = 256;
/// Messages under way without the broker's word: enough to keep it busy, few to send again.
const BATCH: usize = 256;

/// A live, self-healing connection. Cheap to clone; the last clone's end closes it.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    config: Config,
    keys: Keys,
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
        let keys = Keys::read(config)?;
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
        Ok(Self(Arc::new(Inner { config: config.clone(), keys, stop, link: current, dropped, keeper })))
    }

    /// Logs in once and leaves: for `check-config`.
    ///
    /// # Errors
    /// As [`Broker::connect`], and [`Error::Unreachable`] at once.
    pub async fn check(config: &Config) -> Result<(), Error> {
        Keys::read(config)?;
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
        let outgoing = Outgoing::of(event)?;
        self.send(outgoing.kind, &outgoing.letter(self)).await
    }

    /// Publishes all of them in order, without waiting for the broker's word on one before the next goes out; returns
    /// what [`Broker::publish`] would have said of each. What the connection fails under way is sent again one by one, so
    /// some may arrive twice, and one that the broker refuses arrives after its successors if at all.
    pub async fn publish_all(&self, events: &[Event]) -> Vec<Result<(), Error>> {
        let mut told = Vec::with_capacity(events.len());
        for batch in events.chunks(BATCH) {
            let mut outgoing = Vec::with_capacity(batch.len());
            for event in batch {
                outgoing.push(Outgoing::of(event));
            }
            let mut words = self.begin_all(&outgoing).await;
            words.resize_with(outgoing.len(), || None);
            for (outgoing, word) in outgoing.into_iter().zip(words) {
                told.push(match (outgoing, word) {
                    (Err(unfit), _) => Err(unfit),
                    (Ok(_), Some(Confirmation::Ack(None))) => Ok(()),
                    (Ok(outgoing), Some(Confirmation::Ack(Some(_)))) => Err(Error::Unroutable { kind: outgoing.kind }),
                    (Ok(outgoing), _) => self.send(outgoing.kind, &outgoing.letter(self)).await,
                });
            }
        }
        told
    }

    /// Sends what is fit to be sent on one link; the broker's word on each, as far as it came.
    async fn begin_all(&self, outgoing: &[Result<Outgoing, Error>]) -> Vec<Option<Confirmation>> {
        let deadline = Instant::now() + PATIENCE;
        let (mut sent, mut words) = (Vec::with_capacity(outgoing.len()), Vec::with_capacity(outgoing.len()));
        // What has no word when the time is over is sent again, and that waits in its own right.
        let Ok(link) = timeout_at(deadline, self.link()).await else { return words };
        for outgoing in outgoing {
            let Ok(outgoing) = outgoing else {
                sent.push(None);
                continue;
            };
            let letter = outgoing.letter(self);
            let Ok(begun) = timeout_at(deadline, link.begin(&letter)).await else { break };
            sent.push(begun.ok());
        }
        for sent in sent {
            let Some(sent) = sent else {
                words.push(None);
                continue;
            };
            let Ok(word) = timeout_at(deadline, sent).await else { break };
            words.push(word.ok());
        }
        words
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

    /// What a bridge for the server `instance` must hear, also what was said while it was away: `recorder.joined`,
    /// `recording.started` and `recording.stopped`, of every room of `tenant`. A durable queue, in which they lie for a
    /// day.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn desk(&self, tenant: &TenantId, instance: &str) -> Result<Consumer, Error> {
        let source = Source::Desk(format!("lectern.bridge.heard.{instance}").into(), tenant.clone());
        self.until_stop(Consumer::new(self.clone(), source, ROOM_PREFETCH).opened()).await
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Of a message that is to outlive the broker.
    pub(crate) fn properties(&self, purpose: Purpose, id: &str, message: &[u8]) -> BasicProperties {
        let properties = BasicProperties::default().with_delivery_mode(delivery::PERSISTENT).with_message_id(id.into());
        let properties = match purpose {
            Purpose::Event => properties.with_content_type(delivery::CONTENT_TYPE.into()),
            Purpose::Note => properties,
        };
        match self.keys().sign(purpose, message) {
            Some(signed) => properties.with_headers(table(&[(signature::HEADER, text(&signed))])),
            None => properties,
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

/// An event as it goes out.
struct Outgoing {
    kind: &'static str,
    exchange: Exchange,
    key: String,
    id: String,
    message: Vec<u8>,
}

impl Outgoing {
    fn of(event: &Event) -> Result<Self, Error> {
        let (kind, message) = (event.body.kind(), event.to_json());
        // What its readers would park must not go out.
        Event::parse(&message).map_err(|source| Error::Unfit { kind, source })?;
        Ok(Self { kind, exchange: event.exchange(), key: event.routing_key(), id: event.meta.id.clone(), message })
    }

    fn letter(&self, broker: &Broker) -> Letter<'_> {
        Letter {
            exchange: self.exchange.name(),
            key: &self.key,
            mandatory: self.exchange == Exchange::Commands,
            message: &self.message,
            properties: broker.properties(Purpose::Event, &self.id, &self.message),
        }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("at", &link::at(&self.0.config)).finish_non_exhaustive()
    }
}
