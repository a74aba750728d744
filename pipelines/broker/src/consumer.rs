//! Streams of messages that outlive the connection they began on. No task: a stream moves when it is asked.

use std::sync::Arc;
use std::time::Duration;

use events::{Event, Exchange, RoomId, TenantId};
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, ExchangeKind};
use tracing::{error, warn};

use crate::Broker;
use crate::delivery::{Delivery, Unsettled};
use crate::link::{Dropped, Letter, Link};
use crate::topology::{self, Work, table, text};

/// News that nobody fetched for this long is no news. Bounds what a queue of a stuck reader holds.
const TAP_TTL_MS: i32 = 60_000;
/// Likewise; at some 500 bytes each.
const TAP_LENGTH: i32 = 10_000;

/// A handful of messages to a broker that is there takes milliseconds.
const PUT_BACK: Duration = Duration::from_secs(5);

/// What is consumed.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Work(Work),
    Room(TenantId, RoomId),
    Desk(Arc<str>, TenantId),
    Tap(String),
}

/// Events from a queue; survives reconnects.
#[derive(Debug)]
pub struct Consumer(Subscription);

impl Consumer {
    pub(crate) fn new(broker: Broker, source: Source, prefetch: u16) -> Self {
        Self(Subscription { broker, source, prefetch, open: None })
    }

    pub(crate) async fn opened(mut self) -> Self {
        self.0.ensure_open().await;
        self
    }

    /// The next message that parsed; what does not parse has been parked. None after shutdown. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let (channel, delivery) = self.0.next().await?;
            let queue = match &self.0.source {
                Source::Work(work) => Some(work.queue().into()),
                Source::Desk(queue, _) => Some(queue.clone()),
                Source::Room(..) | Source::Tap(_) => None,
            };
            let letter = Unsettled::new(&self.0.broker, &channel, queue, delivery);
            if let Some(doubt) = letter.doubt() {
                error!(
                    reason = doubt.reason(),
                    "somebody who does not have our key publishes in our name; see who may log in to RabbitMQ"
                );
                if let Err(error) = letter.park(doubt.reason()).await {
                    warn!(%error, "could not park a message; it comes again");
                }
                continue;
            }
            match Event::parse(&letter.message) {
                Ok(event) => return Some(Delivery::new(event, letter)),
                Err(why) => {
                    if let Err(error) = letter.park(why.reason()).await {
                        warn!(%error, "could not park a message; it comes again");
                    }
                }
            }
        }
    }
}

/// Somebody else's messages as they are. Each is forgotten at the broker when it is handed out.
#[derive(Debug)]
pub struct RawConsumer(Subscription);

impl RawConsumer {
    pub(crate) fn new(broker: Broker, exchange: &str, prefetch: u16) -> Self {
        Self(Subscription { broker, source: Source::Tap(exchange.to_owned()), prefetch, open: None })
    }

    pub(crate) async fn opened(mut self) -> Self {
        self.0.ensure_open().await;
        self
    }

    /// The next messages: at least one, and what else has come already, in order. None after shutdown. Messages sent
    /// while there was no connection are lost. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<Vec<u8>>> {
        let (_, first) = self.0.next().await?;
        let (mut messages, mut last) = (vec![first.data], first.acker);
        while messages.len() < usize::from(self.0.prefetch)
            && let Some(Some(Ok(delivery))) = self.0.ready()
        {
            messages.push(delivery.data);
            last = delivery.acker;
        }
        // Not acknowledged is as good: the queue dies with the connection. Not waited for, so that nothing that was taken
        // can be lost on the way to the caller.
        let _ = last.ack(BasicAckOptions { multiple: true }).now_or_never();
        Some(messages)
    }
}

struct Subscription {
    broker: Broker,
    source: Source,
    prefetch: u16,
    open: Option<Open>,
}

struct Open {
    link: Arc<Link>,
    channel: Channel,
    stream: lapin::Consumer,
}

/// What the broker pushed to a consumer of a work queue that takes no more.
pub(crate) struct Untaken {
    open: Open,
    queue: &'static str,
}

impl Untaken {
    /// Puts it back as copies, each confirmed before its original is settled. Simply returned it would count against
    /// the delivery limit (RabbitMQ before 4.0), and a request that was handed about often enough would be parked
    /// though nobody ever tried it.
    pub(crate) async fn put_back(self) {
        // Too late means a broker that takes nothing now; it gets everything back when the channel closes.
        let _ = tokio::time::timeout(PUT_BACK, self.copy_and_settle()).await;
    }

    async fn copy_and_settle(self) {
        let Open { link, channel, mut stream } = self.open;
        // When this is answered, no more is under way. An error means that all of it is back already.
        let _ = channel.basic_cancel(stream.tag(), BasicCancelOptions::default()).await;
        while let Some(Some(Ok(delivery))) = stream.next().now_or_never() {
            let (message, properties) = (&delivery.data, delivery.properties.clone());
            let copy = Letter { exchange: "", key: self.queue, mandatory: true, message, properties };
            if matches!(link.publish(&copy).await, Ok(Confirmation::Ack(None))) {
                let _ = delivery.acker.ack(BasicAckOptions::default()).await;
            }
        }
    }
}

impl Subscription {
    async fn next(&mut self) -> Option<(Channel, lapin::message::Delivery)> {
        let stop = self.broker.stop();
        loop {
            let next = async {
                let open = self.ensure_open().await;
                Some((open.channel.clone(), open.stream.next().await?.ok()?))
            };
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    if let Some(untaken) = self.untaken() {
                        untaken.put_back().await;
                    }
                    return None;
                }
                next = next => next,
            };
            if next.is_some() {
                return next;
            }
            // The stream ended: the connection is gone, or the broker closed just this channel.
            self.open = None;
        }
    }

    /// What has come and was not asked for yet.
    fn ready(&mut self) -> Option<Option<lapin::Result<lapin::message::Delivery>>> {
        self.open.as_mut()?.stream.next().now_or_never()
    }

    async fn ensure_open(&mut self) -> &mut Open {
        if self.open.as_ref().is_none_or(|open| open.link.broken.is_cancelled()) {
            self.open = Some(open(&self.broker, &self.source, self.prefetch).await);
        }
        #[expect(clippy::unwrap_used, reason = "set on the line before when it was none")]
        self.open.as_mut().unwrap()
    }
}

impl Subscription {
    fn untaken(&mut self) -> Option<Untaken> {
        let Source::Work(work) = &self.source else { return None };
        Some(Untaken { open: self.open.take()?, queue: work.queue() })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(untaken) = self.untaken() {
            // The keeper is gone only when the connection is, and then the broker has it back already.
            let _ = self.broker.dropped().send(Dropped::Consumer(Box::new(untaken)));
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("prefetch", &self.prefetch).finish_non_exhaustive()
    }
}

/// Waits for a link and subscribes on it. A link that cannot give a subscription is broken: its successor declares
/// everything anew, after a pause.
async fn open(broker: &Broker, source: &Source, prefetch: u16) -> Open {
    loop {
        let link = broker.link().await;
        match subscribe(&link, source, prefetch).await {
            Ok((channel, stream)) => return Open { link, channel, stream },
            Err(error) => {
                warn!(%error, "could not consume; connecting anew");
                link.broken.cancel();
            }
        }
    }
}

async fn subscribe(link: &Link, source: &Source, prefetch: u16) -> lapin::Result<(Channel, lapin::Consumer)> {
    if let Source::Tap(exchange) = source {
        declare_foreign(link, exchange).await?;
    }
    let channel = link.channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let queue = match source {
        Source::Work(work) => work.queue().to_owned(),
        Source::Room(tenant, room) => {
            let queue = own_queue(&channel, FieldTable::default()).await?;
            let pattern = format!("{tenant}.*.*.*.{}", events::room_key(room));
            for exchange in [Exchange::Events, Exchange::Commands] {
                topology::bind(&channel, &queue, exchange.name(), &pattern).await?;
            }
            queue
        }
        Source::Desk(queue, tenant) => {
            topology::desk(&channel, queue, tenant).await?;
            queue.to_string()
        }
        Source::Tap(exchange) => {
            let bounds = [
                ("x-message-ttl", AMQPValue::LongInt(TAP_TTL_MS)),
                ("x-max-length", AMQPValue::LongInt(TAP_LENGTH)),
                ("x-overflow", text("drop-head")),
            ];
            let queue = own_queue(&channel, table(&bounds)).await?;
            topology::bind(&channel, &queue, exchange, "#").await?;
            queue
        }
    };
    let options = BasicConsumeOptions::default();
    let stream = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    Ok((channel, stream))
}

/// A queue for this channel's connection alone, with a name that the broker makes up; never on disk.
async fn own_queue(channel: &Channel, arguments: FieldTable) -> lapin::Result<String> {
    let options = QueueDeclareOptions::exclusive().auto_delete();
    let queue = channel.queue_declare("".into(), options, arguments).await?;
    Ok(queue.name().as_str().to_owned())
}

/// Sees that `exchange` exists. If it does, whatever its kind, it is its owner's; if not, it is made as Janus' RabbitMQ
/// event handler makes it (`janus_rabbitmqevh.c`: fanout, not durable), so that either side may come first.
async fn declare_foreign(link: &Link, exchange: &str) -> lapin::Result<()> {
    let look = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    // A refusal closes the channel, hence one for each question.
    let there = link.channel().await?;
    if there.exchange_declare(exchange.into(), ExchangeKind::Fanout, look, FieldTable::default()).await.is_ok() {
        return Ok(());
    }
    let make = ExchangeDeclareOptions::default();
    link.channel().await?.exchange_declare(exchange.into(), ExchangeKind::Fanout, make, FieldTable::default()).await
}
