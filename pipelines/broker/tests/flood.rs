//! Ten thousand events: how long they take on each of the ways there are, and that they arrive whole and in order.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod server;
mod support;

use std::time::{Duration, Instant};

use broker::{Error, Work};
use events::{Event, RoomId};
use server::Server;
use support::{connect, event, joined, requested, soon, stopped, tenant};

/// How many; a figure for reports takes 10000.
fn count() -> usize {
    std::env::var("FLOOD").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)
}

fn told(what: &str, count: usize, took: Duration) {
    println!("{what}: {count} in {:.2} s, {:.0}/s", took.as_secs_f64(), count as f64 / took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_published_and_drained_in_order_and_quicker_together_than_one_by_one() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let all: Vec<Event> = (0..count()).map(|n| event(&format!("e{n}"), "1234", requested())).collect();

    let since = Instant::now();
    for event in &all {
        broker.publish(event).await.unwrap();
    }
    let one_by_one = since.elapsed();
    told("published one by one", all.len(), one_by_one);
    let since = Instant::now();
    let answers = broker.publish_all(&all).await;
    let together = since.elapsed();
    told("published together", all.len(), together);
    assert!(answers.len() == all.len() && answers.iter().all(Result::is_ok));
    assert!(together * 2 < one_by_one, "{together:?} is no gain on {one_by_one:?}");

    let since = Instant::now();
    let mut work = broker.work(Work::Record, 8).await.unwrap();
    for wanted in &all {
        let delivery = soon(work.next()).await.unwrap();
        assert_eq!(delivery.event, *wanted);
        delivery.settle().await.unwrap();
    }
    told("drained by one consumer", all.len(), since.elapsed());
    drop(work);
    // As a recorder did that made a consumer for each request, and a queue of the room's.
    let few = all.len() / 10;
    let since = Instant::now();
    for _ in 0..few {
        let mut work = broker.work(Work::Record, 1).await.unwrap();
        soon(work.next()).await.unwrap().settle().await.unwrap();
    }
    told("drained by a consumer each", few, since.elapsed());
    let since = Instant::now();
    for _ in 0..few {
        let mut work = broker.work(Work::Record, 1).await.unwrap();
        let delivery = soon(work.next()).await.unwrap();
        let _room = broker.room(&tenant(), &RoomId::new("1234").unwrap()).await.unwrap();
        delivery.settle().await.unwrap();
    }
    told("drained by a consumer and a room's queue each", few, since.elapsed());
}

#[tokio::test]
async fn of_many_each_is_answered_for_itself() {
    let server = Server::shared();
    let broker = connect(&support::config(&server, server.fresh_url())).await;
    let many = [
        event("a", "1234", joined("1")),
        event("b", "1234", joined("Kari Nordmann")),
        event("c", "1234", stopped()),
        event("d", "1234", requested()),
    ];
    let answers = broker.publish_all(&many).await;
    assert!(answers[0].is_ok() && answers[3].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(Error::Unfit { .. })), "{answers:?}");
    assert!(matches!(answers[2], Err(Error::Unroutable { kind: "recording.stopped" })), "{answers:?}");
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    assert_eq!(soon(work.next()).await.unwrap().event.meta.id, "d");
    assert!(broker.publish_all(&[]).await.is_empty());
}
