//! The exchanges and queues. Declaring is idempotent: every link begins with it, so a broker that lost everything is
//! whole again when we are back.

use events::{Exchange, TenantId};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

/// Where messages end that nobody can handle. A person looks there.
pub(crate) const PARKED: &str = "lectern.parked";
/// Dead letters of the work queues come through here to [`PARKED`].
const DEAD: &str = "lectern.dead";
/// Deliveries beyond the first. A worker that dies five times over a message will die the sixth time.
const DELIVERY_LIMIT: i32 = 5;

const DESK_TTL_MS: i32 = 24 * 3600 * 1000;
const DESK_LENGTH: i32 = 100_000;

/// The durable work queues. Each is a quorum queue with a delivery limit of 5 whose dead letters are parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// `recording.wanted`: for bridges.
    Want,
    /// `recording.requested`: for recorders.
    Record,
    /// `epoch.stored`: for finalizers.
    Finalize,
    /// `recording.ready`: for transcribers.
    Transcribe,
}

impl Work {
    const ALL: [Self; 4] = [Self::Want, Self::Record, Self::Finalize, Self::Transcribe];

    /// The queue's name at the broker.
    #[must_use]
    pub fn queue(self) -> &'static str {
        match self {
            Self::Want => "lectern.want",
            Self::Record => "lectern.record",
            Self::Finalize => "lectern.finalize",
            Self::Transcribe => "lectern.transcribe",
        }
    }

    fn binding(self) -> (Exchange, &'static str) {
        match self {
            Self::Want => (Exchange::Commands, "*.*.recording.wanted.*"),
            Self::Record => (Exchange::Commands, "*.*.recording.requested.*"),
            Self::Finalize => (Exchange::Events, "*.*.epoch.stored.*"),
            Self::Transcribe => (Exchange::Events, "*.*.recording.ready.*"),
        }
    }
}

pub(crate) async fn declare(channel: &Channel) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    for (exchange, kind) in [
        (Exchange::Events.name(), ExchangeKind::Topic),
        (Exchange::Commands.name(), ExchangeKind::Topic),
        (DEAD, ExchangeKind::Fanout),
    ] {
        channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await?;
    }
    queue(channel, PARKED, &[("x-queue-type", text("quorum"))]).await?;
    bind(channel, PARKED, DEAD, "").await?;
    for work in Work::ALL {
        let arguments = [
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text(DEAD)),
            // A dead letter leaves its queue only when the parking queue has it. At-least-once asks for the overflow rule.
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        queue(channel, work.queue(), &arguments).await?;
        let (exchange, pattern) = work.binding();
        bind(channel, work.queue(), exchange.name(), pattern).await?;
    }
    Ok(())
}

/// What a bridge hears though it is away: who began to record, and what was asked to stop. Bounded, for a server that is
/// watched no more leaves its queue behind: what is a day old or the hundred-thousandth is dropped, and parked nowhere.
pub(crate) async fn desk(channel: &Channel, name: &str, tenant: &TenantId) -> lapin::Result<()> {
    let arguments = [
        ("x-queue-type", text("quorum")),
        ("x-message-ttl", AMQPValue::LongInt(DESK_TTL_MS)),
        ("x-max-length", AMQPValue::LongInt(DESK_LENGTH)),
    ];
    queue(channel, name, &arguments).await?;
    for (exchange, kind) in [
        (Exchange::Events, "recorder.joined"),
        (Exchange::Events, "recording.started"),
        (Exchange::Commands, "recording.stopped"),
    ] {
        bind(channel, name, exchange.name(), &format!("{tenant}.*.{kind}.*")).await?;
    }
    Ok(())
}

/// A queue that holds one message, the newest.
pub(crate) async fn note(channel: &Channel, name: &str) -> lapin::Result<()> {
    queue(channel, name, &[("x-queue-type", text("quorum")), ("x-max-length", AMQPValue::LongInt(1))]).await
}

async fn queue(channel: &Channel, name: &str, arguments: &[(&str, AMQPValue)]) -> lapin::Result<()> {
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), table(arguments)).await?;
    Ok(())
}

pub(crate) async fn bind(channel: &Channel, queue: &str, exchange: &str, pattern: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), pattern.into(), options, FieldTable::default()).await
}

pub(crate) fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}
