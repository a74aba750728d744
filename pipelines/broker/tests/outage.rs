//! A broker that goes away in the middle of the work.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod server;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::{Error, Work};
use events::RoomId;
use server::Server;
use support::{connect, event, joined, requested, soon, tenant};

/// The promise on which everything rests: what was confirmed is processed, though the broker is stopped and then killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_confirmed_message_is_lost_over_a_restart_and_a_crash() {
    let server = Arc::new(Server::start());
    let config = support::config(&server, server.fresh_url());
    let (publisher, taker) = (connect(&config).await, connect(&config).await);
    let confirmed = Arc::new(Mutex::new(BTreeSet::new()));
    let processed = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let done = Arc::new(AtomicBool::new(false));

    let publishing = tokio::spawn({
        let (confirmed, done) = (confirmed.clone(), done.clone());
        async move {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let id = format!("e{n}");
                if publisher.publish(&event(&id, "1234", requested())).await.is_ok() {
                    confirmed.lock().unwrap().insert(id);
                }
            }
        }
    });
    let taking = tokio::spawn({
        let processed = processed.clone();
        async move {
            let mut work = taker.work(Work::Record, 8).await.unwrap();
            while let Some(delivery) = work.next().await {
                let id = delivery.event.meta.id.clone();
                match delivery.settle().await {
                    Ok(()) => *processed.lock().unwrap().entry(id).or_default() += 1,
                    Err(Error::Superseded) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });

    let count = || confirmed.lock().unwrap().len();
    let wait_for = async |wanted: usize| {
        let since = Instant::now();
        while count() < wanted {
            assert!(since.elapsed() < 2 * support::DEADLINE, "{} confirmed, {wanted} wanted", count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait_for(100).await;
    for (disturb, wanted) in [(Server::stop as fn(&Server), 250), (Server::kill, 400)] {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            disturb(&server);
            server.again();
        })
        .await
        .unwrap();
        wait_for(wanted).await;
    }
    done.store(true, Ordering::Relaxed);
    soon(publishing).await.unwrap();

    let missing = || {
        let processed = processed.lock().unwrap();
        confirmed.lock().unwrap().iter().filter(|id| !processed.contains_key(*id)).cloned().collect::<Vec<_>>()
    };
    let since = Instant::now();
    while !missing().is_empty() {
        assert!(since.elapsed() < support::DEADLINE, "confirmed and never processed: {:?}", missing());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    taking.abort();
    let processed = processed.lock().unwrap();
    let twice = processed.values().filter(|times| **times > 1).count();
    println!("confirmed {}, processed {}, more than once {twice}", count(), processed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_from_before_an_outage_cannot_be_settled_and_comes_again() {
    let server = Arc::new(Server::start());
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    let mut room = broker.room(&tenant(), &RoomId::new("1234").unwrap()).await.unwrap();
    let mut tap = broker.tap("janus-events").await.unwrap();
    broker.publish(&event("e1", "1234", requested())).await.unwrap();
    let old = soon(work.next()).await.unwrap();
    soon(room.next()).await.unwrap().settle().await.unwrap();

    let restarting = server.clone();
    tokio::task::spawn_blocking(move || {
        restarting.kill();
        restarting.again();
    })
    .await
    .unwrap();

    let again = soon(work.next()).await.unwrap();
    assert!(matches!(old.settle().await, Err(Error::Superseded)));
    assert_eq!(again.event.meta.id, "e1");
    again.settle().await.unwrap();

    // The room's queue and the tap died with the broker; both are there again once they are asked.
    let asked = tokio::time::timeout(Duration::from_secs(2), async { tokio::join!(room.next(), tap.next()) }).await;
    assert!(asked.is_err(), "there is no news yet");
    broker.publish(&event("e2", "1234", joined("7"))).await.unwrap();
    assert_eq!(soon(room.next()).await.unwrap().event.meta.id, "e2");
}

/// A publish during an outage waits for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_waits_for_a_broker_that_is_away_and_gives_up_in_the_end() {
    let server = Arc::new(Server::start());
    let config = support::config(&server, server.fresh_url());
    let broker = connect(&config).await;
    let stopping = server.clone();
    tokio::task::spawn_blocking(move || stopping.kill()).await.unwrap();
    let since = Instant::now();
    let error = broker.publish(&event("lost", "1234", requested())).await.unwrap_err();
    assert!(error.is_passing(), "{error:?}");
    assert!(since.elapsed() >= Duration::from_secs(25), "it gave up after {:?}", since.elapsed());

    let waiting = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish(&event("kept", "1234", requested())).await }
    });
    let starting = server.clone();
    tokio::task::spawn_blocking(move || starting.again()).await.unwrap();
    // The server may have needed longer than a publish's patience; a service then tries again.
    if soon(waiting).await.unwrap().is_err() {
        broker.publish(&event("kept", "1234", requested())).await.unwrap();
    }
    let mut work = broker.work(Work::Record, 1).await.unwrap();
    assert_eq!(soon(work.next()).await.unwrap().event.meta.id, "kept");
}
