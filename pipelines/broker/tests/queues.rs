//! Publishing, taking and settling against a real RabbitMQ.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod server;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use broker::{Broker, Config, Error, Work};
use events::{RoomId, TenantId};
use lapin::options::{BasicGetOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use server::Server;
use support::{connect, epoch_stored, event, joined, requested, say, soon, stopped, stranger, tenant, until};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_command_is_published_taken_and_settled_once() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    let sent = event("e1", "1234", requested());
    broker.publish(&sent).await.unwrap();
    let delivery = soon(work.next()).await.unwrap();
    assert_eq!(delivery.event, sent);
    delivery.settle().await.unwrap();
    drop(work);
    broker.close().await;
    let vhost = config.url.rsplit('/').next().unwrap();
    assert_eq!(server.ctl(&["list_queues", "-p", vhost, "name", "messages"]).matches("lectern.record\t0").count(), 1);
}

#[tokio::test]
async fn an_event_reaches_the_queue_of_its_work_and_no_other() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let mut finalize = broker.work(Work::Finalize, 1).await.unwrap();
    let mut record = broker.work(Work::Record, 1).await.unwrap();
    broker.publish(&event("e1", "1234", epoch_stored())).await.unwrap();
    broker.publish(&event("e2", "1234", requested())).await.unwrap();
    assert_eq!(soon(finalize.next()).await.unwrap().event.meta.id, "e1");
    assert_eq!(soon(record.next()).await.unwrap().event.meta.id, "e2");
}

#[tokio::test]
async fn a_command_that_nobody_takes_is_an_error_and_an_event_is_not() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let refused = broker.publish(&event("e1", "1234", stopped())).await.unwrap_err();
    assert!(matches!(refused, Error::Unroutable { kind: "recording.stopped" }), "{refused}");
    broker.publish(&event("e2", "1234", joined("7"))).await.unwrap();
    // The same channel goes on working after a returned message.
    let _room = broker.room(&tenant(), &RoomId::new("1234").unwrap()).await.unwrap();
    broker.publish(&event("e3", "1234", stopped())).await.unwrap();
}

#[tokio::test]
async fn what_its_readers_would_refuse_is_not_published() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let refused = broker.publish(&event("e1", "1234", joined("Kari Nordmann"))).await.unwrap_err();
    assert!(matches!(refused, Error::Unfit { .. }), "{refused}");
    assert!(!format!("{refused:?}").contains("Kari"));
}

#[tokio::test]
async fn a_message_that_fails_six_times_is_parked() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    broker.publish(&event("bad", "1234", requested())).await.unwrap();
    for delivery in 1..=6 {
        let taken = soon(work.next()).await.unwrap();
        assert_eq!(taken.event.meta.id, "bad", "delivery {delivery}");
        taken.fail().await.unwrap();
    }
    until(1, async || broker.parked_count().await.unwrap()).await;
    // The queue is free for the next one.
    broker.publish(&event("good", "1234", requested())).await.unwrap();
    assert_eq!(soon(work.next()).await.unwrap().event.meta.id, "good");
    let parked = stranger(&config).await.basic_get("lectern.parked".into(), BasicGetOptions::default()).await.unwrap();
    let parked = events::Event::parse(&parked.expect("a parked message").data).unwrap();
    assert_eq!(parked, event("bad", "1234", requested()));
}

#[tokio::test]
async fn what_is_given_back_comes_again_however_often() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    broker.publish(&event("e1", "1234", requested())).await.unwrap();
    for _ in 0..10 {
        soon(work.next()).await.unwrap().give_back().await.unwrap();
    }
    assert_eq!(soon(work.next()).await.unwrap().event, event("e1", "1234", requested()));
    assert_eq!(broker.parked_count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_delivery_dropped_unsettled_comes_again() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    broker.publish(&event("e1", "1234", requested())).await.unwrap();
    drop(soon(work.next()).await.unwrap());
    soon(work.next()).await.unwrap().settle().await.unwrap();
}

/// A worker with eight slots that makes a consumer per request passed the others' requests about until RabbitMQ counted
/// them out, and they were parked though nobody had tried them.
#[tokio::test]
async fn what_was_sent_ahead_and_not_taken_is_not_counted() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let all: BTreeSet<_> = (0..10).map(|n| format!("e{n}")).collect();
    for id in &all {
        broker.publish(&event(id, "1234", requested())).await.unwrap();
    }
    let mut taken = BTreeSet::new();
    while taken.len() < all.len() {
        let mut work = broker.work(Work::Record, 8).await.unwrap();
        let delivery = soon(work.next()).await.unwrap();
        drop(work);
        taken.insert(delivery.event.meta.id.clone());
        delivery.settle().await.unwrap();
    }
    assert_eq!(taken, all);
    assert_eq!(broker.parked_count().await.unwrap(), 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_parked_with_its_reason_and_the_next_is_taken() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    let stranger = stranger(&config).await;
    let key = "uni.janus.recording.requested.0123456789abcdef";
    let newer = String::from_utf8(event("e1", "1234", requested()).to_json()).unwrap().replace(".v1\"", ".v2\"");
    let secret = newer.replace(".v2\"", ".v1\"").replace("\"webinar\"", "\"s3_secret_key\"");
    let deep = "[".repeat(10_000);
    let bad = [
        (&b"{"[..], "not-json"),
        (newer.as_bytes(), "newer-version"),
        (secret.as_bytes(), "secret"),
        (deep.as_bytes(), "too-deep"),
    ];
    for (message, _) in bad {
        say(&stranger, "meetings.commands", key, message).await;
    }
    broker.publish(&event("good", "1234", requested())).await.unwrap();
    let good = soon(work.next()).await.unwrap();
    assert_eq!(good.event.meta.id, "good");
    good.park("unknown-instance").await.unwrap();
    assert_eq!(broker.parked_count().await.unwrap(), 5);
    let wanted = bad.iter().map(|(message, reason)| (message.to_vec(), (*reason).to_owned()));
    let wanted = wanted.chain([(event("good", "1234", requested()).to_json(), "unknown-instance".into())]);
    for (message, reason) in wanted {
        let parked =
            stranger.basic_get("lectern.parked".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
        assert_eq!(parked.data, message, "{reason}");
        let headers = parked.properties.headers().clone().unwrap();
        let told = headers.inner()["x-lectern-reason"].as_long_string().unwrap().to_string();
        assert_eq!(told, reason);
    }
}

#[tokio::test]
async fn a_room_queue_gets_its_room_only() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let mut room = broker.room(&tenant(), &RoomId::new("1234").unwrap()).await.unwrap();
    let _work = broker.work(Work::Record, 8).await.unwrap();
    let mut foreign = event("foreign", "1234", joined("1"));
    foreign.meta.tenant = TenantId::new("other").unwrap();
    for event in [
        event("a", "1234", joined("1")),
        event("b", "12345", joined("1")),
        foreign,
        event("c", "4321", requested()),
        event("d", "1234", requested()),
        event("e", "1234", epoch_stored()),
        event("f", "1234", stopped()),
    ] {
        broker.publish(&event).await.unwrap();
    }
    let mut got = Vec::new();
    while got.last().is_none_or(|id| id != "f") {
        let delivery = soon(room.next()).await.unwrap();
        got.push(delivery.event.meta.id.clone());
        delivery.settle().await.unwrap();
    }
    assert_eq!(got, ["a", "d", "e", "f"]);
}

#[tokio::test]
async fn every_copy_of_an_event_is_delivered_and_tells_that_it_is_one() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let mut work = broker.work(Work::Record, 4).await.unwrap();
    for _ in 0..3 {
        broker.publish(&event("same", "1234", requested())).await.unwrap();
    }
    let mut gate = events::Gate::default();
    let now = time::macros::datetime!(2026-11-22 09:16 UTC);
    let mut verdicts = Vec::new();
    for _ in 0..3 {
        let delivery = soon(work.next()).await.unwrap();
        verdicts.push(gate.admit(&delivery.event, now));
        delivery.settle().await.unwrap();
    }
    assert_eq!(verdicts, [events::Verdict::Fresh, events::Verdict::Repeat, events::Verdict::Repeat]);
}

#[tokio::test]
async fn stop_ends_consumers_and_lets_what_was_begun_be_finished() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    let stop = CancellationToken::new();
    let broker = Broker::connect(&config, stop.clone()).await.unwrap();
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    broker.publish(&event("e1", "1234", requested())).await.unwrap();
    let delivery = soon(work.next()).await.unwrap();
    stop.cancel();
    assert!(soon(work.next()).await.is_none());
    drop(work);
    broker.publish(&event("e2", "1234", epoch_stored())).await.unwrap();
    delivery.settle().await.unwrap();
    assert!(matches!(broker.work(Work::Record, 1).await, Err(Error::Stopped)));
    broker.close().await;
    let mut again = connect(&config).await.work(Work::Finalize, 1).await.unwrap();
    assert_eq!(soon(again.next()).await.unwrap().event.meta.id, "e2");
}

#[tokio::test]
async fn a_tap_hears_an_exchange_whoever_made_it_first_and_nothing_of_it_touches_the_disk() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    let stranger = stranger(&config).await;
    // As janus_rabbitmqevh.c declares: fanout, neither durable nor auto-deleted.
    let declare = async |name: &str| {
        let kind = lapin::ExchangeKind::Fanout;
        stranger.exchange_declare(name.into(), kind, ExchangeDeclareOptions::default(), FieldTable::default()).await
    };
    declare("janus-first").await.unwrap();
    let mut first = broker.tap("janus-first").await.unwrap();
    let mut second = broker.tap("bridge-first").await.unwrap();
    declare("bridge-first").await.unwrap();
    let name = format!("display name {}", server.port());
    for exchange in ["janus-first", "bridge-first"] {
        say(&stranger, exchange, "janus-events", name.as_bytes()).await;
    }
    // One message stays in its queue, unread, while we look at the disk.
    assert_eq!(soon(first.next()).await.unwrap(), [name.as_bytes()]);
    assert_eq!(server.files_holding(name.as_bytes()), Vec::<std::path::PathBuf>::new());
    assert_eq!(soon(second.next()).await.unwrap(), [name.as_bytes()]);
    // The look itself works: a durable message is found.
    let kept = format!("durable {}", server.port());
    let mut work = event("e1", "1234", epoch_stored());
    work.meta.id = kept.replace(' ', "-");
    broker.publish(&work).await.unwrap();
    assert!(!server.files_holding(work.meta.id.as_bytes()).is_empty());
}

#[tokio::test]
async fn check_says_what_is_wrong() {
    let server = Server::shared();
    let good = support::config(&server, server.fresh_url());
    Broker::check(&good).await.unwrap();
    let wrong_user = Config { user: "eve".into(), ..good.clone() };
    let error = Broker::check(&wrong_user).await.unwrap_err();
    assert!(matches!(&error, Error::Credentials { user, .. } if user == "eve"), "{error:?}");
    let wrong_vhost = Config { url: server.url("nowhere"), ..good.clone() };
    let error = Broker::check(&wrong_vhost).await.unwrap_err();
    assert!(matches!(&error, Error::VirtualHost { vhost, .. } if vhost == "nowhere"), "{error:?}");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = Config { url: format!("amqp://127.0.0.1:{port}/%2f"), ..good.clone() };
    let error = Broker::check(&nobody).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { at, .. } if *at == format!("127.0.0.1:{port}")), "{error:?}");
    // A configuration mistake ends `connect` too; it does not try for ever.
    assert!(matches!(
        soon(Broker::connect(&wrong_user, CancellationToken::new())).await,
        Err(Error::Credentials { .. })
    ));
    for error in [wrong_user, wrong_vhost, nobody] {
        assert!(!format!("{error:?}").contains(server::PASSWORD));
    }
}

#[tokio::test]
async fn a_queue_of_ours_with_other_settings_is_named_as_the_obstacle() {
    let server = Server::shared();
    let config = support::config(&server, server.fresh_url());
    let options = lapin::options::QueueDeclareOptions::durable();
    stranger(&config).await.queue_declare("lectern.record".into(), options, FieldTable::default()).await.unwrap();
    let error = soon(Broker::connect(&config, CancellationToken::new())).await.unwrap_err();
    assert!(matches!(error, Error::Topology { .. }), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("lectern.record"), "{cause}");
}

#[tokio::test]
async fn prefetch_bounds_what_is_in_hand() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let mut work = broker.work(Work::Record, 2).await.unwrap();
    for n in 0..3 {
        broker.publish(&event(&format!("e{n}"), "1234", requested())).await.unwrap();
    }
    let first = soon(work.next()).await.unwrap();
    let second = soon(work.next()).await.unwrap();
    let third = tokio::time::timeout(Duration::from_millis(300), work.next()).await;
    assert!(third.is_err(), "a third came while two were in hand");
    first.settle().await.unwrap();
    let third = soon(work.next()).await.unwrap();
    let ids: BTreeSet<_> = [second.event.meta.id.clone(), third.event.meta.id.clone()].into();
    assert_eq!(ids, ["e1".to_owned(), "e2".to_owned()].into());
}
