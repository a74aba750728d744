//! One connection with its topology and a confirming channel, and the task that always makes the next one. A link is
//! never mended: whoever finds it broken says so, and everybody moves to its successor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::options::{BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::AMQPErrorKind;
use lapin::protocol::{AMQPHardError, BasicProperties};

use lapin::{Acker, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind, PublisherConfirm};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::consumer::Untaken;
use crate::error::Error;
use crate::topology;

/// TCP, TLS, login and nothing else; a broker that needs longer is not there.
const HANDSHAKE: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// A restarted broker is back in use within this and its start.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A link that lived this long was good, and the next attempt comes at once.
const SETTLED: Duration = Duration::from_secs(30);
/// lapin tells of an ended connection in several ways and of some not at all; its status is always right.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) struct Link {
    connection: Connection,
    publisher: Channel,
    /// Cancelled by whoever finds that this link no longer works.
    pub(crate) broken: CancellationToken,
}

/// What was dropped and has to be undone at the broker, which a `drop` cannot wait for.
pub(crate) enum Dropped {
    Delivery(Acker),
    Consumer(Box<Untaken>),
}

/// What goes out.
pub(crate) struct Letter<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) key: &'a str,
    /// Must reach a queue.
    pub(crate) mandatory: bool,
    pub(crate) message: &'a [u8],
    pub(crate) properties: BasicProperties,
}

impl Link {
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        let connection = connect(config).await?;
        let declared = async {
            let publisher = connection.create_channel().await?;
            publisher.confirm_select(ConfirmSelectOptions::default()).await?;
            topology::declare(&publisher).await?;
            Ok(publisher)
        };
        match declared.await {
            Ok(publisher) => Ok(Self { connection, publisher, broken: CancellationToken::new() }),
            Err(error) => Err(failed(config, error)),
        }
    }

    pub(crate) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// Publishes and waits for the broker's word.
    pub(crate) async fn publish(&self, letter: &Letter<'_>) -> lapin::Result<Confirmation> {
        self.begin(letter).await?.await
    }

    /// Publishes; the broker's word comes by what is returned. Words come in the order of what was published.
    pub(crate) async fn begin(&self, letter: &Letter<'_>) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions { mandatory: letter.mandatory, ..BasicPublishOptions::default() };
        let Letter { exchange, key, message, properties, .. } = letter;
        self.publisher.basic_publish((*exchange).into(), (*key).into(), options, message, properties.clone()).await
    }

    pub(crate) async fn close(&self) {
        // Everything sent before is flushed before the broker answers. An error means that it is gone already, and a
        // broker that does not answer is left.
        let _ = tokio::time::timeout(FAREWELL, self.connection.close(200, "done".into())).await;
    }

    /// Waits until this link no longer works, and meanwhile gives back what was dropped unsettled.
    async fn live(&self, dropped: &mut mpsc::UnboundedReceiver<Dropped>) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = self.broken.cancelled() => return,
                _ = look.tick() => if !self.connection.status().connected() { return self.broken.cancel() },
                Some(dropped) = dropped.recv() => match dropped {
                    Dropped::Delivery(acker) => {
                        // A failure means that the channel is gone, and then the broker has it back already.
                        let _ = acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await;
                    }
                    Dropped::Consumer(untaken) => untaken.put_back().await,
                },
            }
        }
    }
}

/// Keeps a link up for ever; ends by being aborted.
pub(crate) async fn keep(
    config: Config,
    first: Arc<Link>,
    current: watch::Sender<Option<Arc<Link>>>,
    mut dropped: mpsc::UnboundedReceiver<Dropped>,
) {
    let mut link = first;
    let mut backoff = Backoff::default();
    loop {
        let since = Instant::now();
        current.send_replace(Some(link.clone()));
        link.live(&mut dropped).await;
        current.send_replace(None);
        warn!("the connection to the broker is gone; making another");
        link.close().await;
        drop(link);
        if since.elapsed() > SETTLED {
            backoff = Backoff::default();
        }
        link = loop {
            tokio::time::sleep(backoff.next()).await;
            match Link::open(&config).await {
                Ok(link) => break Arc::new(link),
                Err(error) => warn!(error = %Chain(&error), "the broker cannot be reached; trying again"),
            }
        };
        info!("connected to the broker again");
    }
}

/// Doubling delays, each shortened by up to a half at random so that workers do not come back as one.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    pub(crate) fn next(&mut self) -> Duration {
        let full = BACKOFF_MIN.saturating_mul(1 << self.tries.min(16)).min(BACKOFF_MAX);
        self.tries += 1;
        full.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// Connects and logs in; declares nothing.
pub(crate) async fn connect(config: &Config) -> Result<Connection, Error> {
    let uri = config.uri()?;
    let properties = ConnectionProperties::default().with_connection_name("lectern".into());
    match tokio::time::timeout(HANDSHAKE, Connection::connect_uri(uri, properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(failed(config, error)),
        Err(late) => Err(Error::Unreachable { at: at(config), source: Some(late.into()) }),
    }
}

/// `host:port` for messages.
pub(crate) fn at(config: &Config) -> String {
    config
        .address()
        .map_or_else(|_| "broker.url".into(), |uri| format!("{}:{}", uri.authority.host, uri.authority.port))
}

fn failed(config: &Config, error: lapin::Error) -> Error {
    let at = at(config);
    let ErrorKind::ProtocolError(said) = error.kind() else {
        return Error::Unreachable { at, source: Some(error.into()) };
    };
    match said.kind() {
        AMQPErrorKind::Soft(_) if said.get_id() != 403 => Error::Topology { at, source: error.into() },
        // 403 at login; in the middle it says which queue or exchange is closed to this user.
        AMQPErrorKind::Soft(_) if said.get_message().as_str().contains("Login") => {
            Error::Credentials { at, user: config.user.clone() }
        }
        AMQPErrorKind::Soft(_) => Error::Topology { at, source: error.into() },
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Error::VirtualHost {
            at,
            vhost: config.address().map(|uri| uri.vhost).unwrap_or_default(),
            user: config.user.clone(),
        },
        AMQPErrorKind::Hard(_) => Error::Unreachable { at, source: Some(error.into()) },
    }
}

/// An error and its sources on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_a_limit_and_are_never_nothing() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..40).map(|_| backoff.next()).collect();
        assert!(delays[0] >= BACKOFF_MIN / 2 && delays[0] <= BACKOFF_MIN, "{:?}", delays[0]);
        assert!(delays[3] >= BACKOFF_MIN * 4 && delays[3] <= BACKOFF_MIN * 8, "{:?}", delays[3]);
        assert!(delays[20..].iter().all(|d| (BACKOFF_MAX / 2..=BACKOFF_MAX).contains(d)));
    }
}
