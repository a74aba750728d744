//! Events and brokers for these tests.
#![allow(dead_code)] // Each test file uses a part.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use std::time::Duration;

use broker::{Broker, Config};
use events::{
    Basis, Body, EpochStored, Event, LayoutName, Meta, ParticipantNews, Platform, PolicyId, RecordingId,
    RecordingRequested, RoomId, SessionId, TenantId,
};
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::protocol::BasicProperties;
use tokio_util::sync::CancellationToken;

use crate::server::{self, Server};

/// Far above what any step takes on a busy machine; only a hang reaches it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn config(server: &Server, url: String) -> Config {
    Config { url, user: server::USER.into(), password_file: Some(server.password_file()), ..Config::default() }
}

pub(crate) async fn connect(config: &Config) -> Broker {
    soon(Broker::connect(config, CancellationToken::new())).await.expect("a broker")
}

/// Awaits `what`, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it did not happen in time")
}

/// Asks until the answer is `wanted`.
pub(crate) async fn until<T: PartialEq + std::fmt::Debug>(wanted: T, mut ask: impl AsyncFnMut() -> T) {
    let since = std::time::Instant::now();
    loop {
        let answer = ask().await;
        if answer == wanted {
            return;
        }
        assert!(since.elapsed() < DEADLINE, "still {answer:?}, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("uni").unwrap()
}

pub(crate) fn policy() -> PolicyId {
    PolicyId::new("lectures").unwrap()
}

pub(crate) fn event(id: &str, room: &str, body: Body) -> Event {
    Event {
        meta: Meta {
            id: id.into(),
            platform: Platform::Janus,
            instance: "hall".into(),
            tenant: tenant(),
            room: RoomId::new(room).unwrap(),
            session: SessionId::new(format!("{room}-1")).unwrap(),
            time: "2026-11-22T09:15:00Z".into(),
        },
        body,
    }
}

pub(crate) fn requested() -> Body {
    Body::RecordingRequested(RecordingRequested {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 7200,
    })
}

pub(crate) fn stopped() -> Body {
    Body::RecordingStopped(events::RecordingStopped {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "lecturer".into(),
    })
}

pub(crate) fn joined(participant: &str) -> Body {
    Body::ParticipantJoined(ParticipantNews { participant: participant.into() })
}

pub(crate) fn epoch_stored() -> Body {
    let session = SessionId::new("s").unwrap();
    let recording = RecordingId::derive(&tenant(), &session, &PolicyId::new("lectures").unwrap());
    Body::EpochStored(EpochStored { recording, epoch: 1, last: true, language: "nb".into() })
}

/// A client that is not ours: foreign publishers, and a look at what lies in a queue.
pub(crate) async fn stranger(config: &Config) -> lapin::Channel {
    let url = config.url.replace("//", &format!("//{}:{}@", server::USER, server::PASSWORD));
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // The channel keeps the connection.
    channel
}

pub(crate) async fn say(channel: &lapin::Channel, exchange: &str, key: &str, message: &[u8]) {
    say_with(channel, exchange, key, message, BasicProperties::default()).await;
}

pub(crate) async fn say_with(
    channel: &lapin::Channel,
    exchange: &str,
    key: &str,
    message: &[u8],
    properties: BasicProperties,
) {
    let options = BasicPublishOptions::default();
    let confirm = channel.basic_publish(exchange.into(), key.into(), options, message, properties);
    confirm.await.unwrap().await.unwrap();
}

/// Takes the next message out of the parking queue: its body and why it is there.
pub(crate) async fn parked(stranger: &lapin::Channel) -> Option<(Vec<u8>, String)> {
    let got = stranger.basic_get("lectern.parked".into(), BasicGetOptions { no_ack: true }).await.unwrap()?;
    let headers = got.properties.headers().clone().unwrap();
    let reason = headers.inner()["x-lectern-reason"].as_long_string().unwrap().to_string();
    Some((got.delivery.data, reason))
}
