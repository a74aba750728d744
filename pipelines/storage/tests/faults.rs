//! What the store does when the other side lies, stumbles or goes away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use storage::embedded::Embedded;
use storage::keys::Institution;
use storage::store::{Bucket, Capability, Condition, StoreError, watch};
use storage::{Recipients, SealKey, Spool, Store, Writer, recordings};
use support::liar::{self, Lie};
use support::proxy::Proxy;
use support::{ACCESS, config, embedded, noise, path, record};
use tokio_util::sync::CancellationToken;

async fn lied_to(lie: Lie) -> (Store, tokio::task::JoinSet<()>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (endpoint, tasks) = liar::serve(lie).await;
    let store = Store::connect(&config(dir.path(), endpoint)).await.unwrap();
    (store, tasks, dir)
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_with_what_to_do() {
    for (lie, what) in [(Lie::IgnoresConditions, "writers create"), (Lie::IgnoresMatch, "replace one version")] {
        let (store, _tasks, _dir) = lied_to(lie).await;
        let why = store.check().await.unwrap_err().to_string();
        assert!(why.contains(what) && why.contains("use a store with atomic conditional writes"), "{why}");
        assert!(why.contains("set store.single_worker = true"), "{why}");
    }
}

/// For each lie, exactly what it touches is found to be lacking.
#[tokio::test]
async fn a_probe_names_what_a_store_does_wrong_and_nothing_else() {
    use Capability::{CreateOnce, Delete, List, Multipart, Range, ReadBack, RefuseStale, ReplaceOnce};
    let table: [(Lie, &[Capability]); 10] = [
        (Lie::None, &[]),
        (Lie::IgnoresConditions, &[CreateOnce, ReplaceOnce, RefuseStale]),
        (Lie::IgnoresMatch, &[ReplaceOnce, RefuseStale]),
        (Lie::KnowsNoConditions, &[CreateOnce, ReplaceOnce, RefuseStale]),
        (Lie::NoEtag, &[CreateOnce, ReplaceOnce, RefuseStale]),
        (Lie::FlipsBytes, &[ReadBack, Multipart]),
        (Lie::ReadsStale, &[ReadBack]),
        (Lie::ShiftsRanges, &[Range]),
        (Lie::ListsNothing, &[List]),
        (Lie::KeepsDeleted, &[Delete]),
    ];
    for (lie, lacking) in table {
        let (store, _tasks, _dir) = lied_to(lie).await;
        let report = store.probe().await.unwrap();
        for bucket in [Bucket::Media, Bucket::Keys] {
            let verdicts = report.verdicts.iter().filter(|verdict| verdict.bucket == bucket && verdict.required);
            let found: Vec<_> = verdicts.filter(|verdict| !verdict.ok).map(|verdict| verdict.capability).collect();
            // Keys are never written in parts.
            let expected = lacking.iter().copied().filter(|one| bucket == Bucket::Media || *one != Multipart);
            assert_eq!(found, expected.collect::<Vec<_>>(), "{lie:?}: {report:?}");
        }
        assert!(report.verdicts.iter().all(|verdict| verdict.ok == verdict.what_to_do.is_empty()), "{report:?}");
        assert_eq!((report.fit(), store.check().await.is_ok()), (lacking.is_empty(), lacking.is_empty()), "{lie:?}");
    }
}

#[tokio::test]
async fn a_single_worker_may_use_a_store_that_ignores_conditions_and_none_that_refuses_them() {
    for (lie, fit) in [(Lie::IgnoresConditions, true), (Lie::KnowsNoConditions, false), (Lie::ListsNothing, false)] {
        let dir = tempfile::tempdir().unwrap();
        let (endpoint, _tasks) = liar::serve(lie).await;
        let mut config = config(dir.path(), endpoint);
        config.single_worker = true;
        let store = Store::connect(&config).await.unwrap();
        let report = store.probe().await.unwrap();
        assert_eq!((report.fit(), store.check().await.is_ok()), (fit, fit), "{lie:?}: {report:?}");
        assert!(!report.verdicts[0].ok || lie == Lie::ListsNothing, "{report:?}");
    }
}

/// A store that becomes another while we run: probed again and again, until told to stop.
#[tokio::test]
async fn a_store_is_watched_until_told_to_stop() {
    let (endpoint, _tasks, behind) = liar::serve_with(Lie::IgnoresConditions, None).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::connect(&config(dir.path(), endpoint)).await.unwrap();
    let stop = CancellationToken::new();
    let (tell, mut fit) = tokio::sync::watch::channel(true);
    let watching = tokio::spawn(watch(store, Duration::from_millis(1), tell, stop.clone()));
    let deadline = Instant::now() + Duration::from_secs(20);
    // A probe of this store makes some 100 requests.
    while behind.requests() < 500 {
        assert!(Instant::now() < deadline, "only {} requests", behind.requests());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::timeout(Duration::from_secs(20), fit.wait_for(|fit| !fit)).await.unwrap().unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), watching).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_completion_that_fails_inside_its_200_is_a_failure() {
    let (store, _tasks, _dir) = lied_to(Lie::CompleteFailsInside).await;
    let mut upload = store.upload(Bucket::Media, "x").await.unwrap();
    upload.write(Bytes::from(noise(1, 17 << 20))).await.unwrap();
    let done = upload.finish().await;
    assert!(matches!(&done, Err(StoreError::Busy { code, .. }) if code == "InternalError"), "{done:?}");
}

#[tokio::test]
async fn a_completion_that_stores_something_else_is_a_failure() {
    let (store, _tasks, _dir) = lied_to(Lie::CompleteStoresOther).await;
    let mut upload = store.upload(Bucket::Media, "x").await.unwrap();
    upload.write(Bytes::from(noise(1, 33 << 20))).await.unwrap();
    let done = upload.finish().await;
    assert!(matches!(done, Err(StoreError::Corrupt { .. })), "{done:?}");
}

#[tokio::test]
async fn what_reads_back_otherwise_has_no_receipt() {
    let (store, _tasks, _dir) = lied_to(Lie::FlipsBytes).await;
    let put = store.put_verified(Bucket::Media, "x", Bytes::from_static(b"lecture")).await;
    assert!(matches!(put, Err(StoreError::Corrupt { .. })), "{put:?}");
}

#[tokio::test]
async fn another_range_than_was_asked_for_is_never_passed_on() {
    let (store, _tasks, _dir) = lied_to(Lie::ShiftsRanges).await;
    store.put(Bucket::Media, "x", Bytes::from_static(b"0123456789"), Condition::None).await.unwrap();
    let read = store.get_range(Bucket::Media, "x", 2..5).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn half_an_object_is_never_passed_on() {
    let (store, _tasks, _dir) = lied_to(Lie::CutsBodies).await;
    store.put(Bucket::Media, "x", Bytes::from(noise(1, 100_000)), Condition::None).await.unwrap();
    for read in [
        store.get(Bucket::Media, "x", 100_000).await.map(|(bytes, _)| bytes),
        store.get_range(Bucket::Media, "x", 0..90_000).await,
    ] {
        assert!(read.as_ref().is_err_and(StoreError::is_passing), "{read:?}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_server_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let elsewhere = tokio::net::TcpListener::bind(support::loopback(0)).await.unwrap();
        let (endpoint, _tasks) = liar::serve(Lie::Redirects(elsewhere.local_addr().unwrap(), status)).await;
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), endpoint);
        config.create_buckets = false;
        let store = Store::connect(&config).await.unwrap();
        let put = store.put(Bucket::Media, "x", Bytes::from_static(b"x"), Condition::None).await;
        assert!(put.is_err_and(|why| !why.is_passing()), "{status}");
        assert!(store.get(Bucket::Media, "x", 1).await.is_err_and(|why| !why.is_passing()), "{status}");
        // Both answers are in, so whoever was to be asked has been.
        tokio::select! {
            biased;
            followed = elsewhere.accept() => panic!("{status} was followed: {followed:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn a_list_without_end_is_left() {
    let (endpoint, _tasks, behind) = liar::serve_with(Lie::EndlessList, None).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::connect(&config(dir.path(), endpoint)).await.unwrap();
    let before = behind.requests();
    let listed = tokio::time::timeout(Duration::from_secs(20), store.list(Bucket::Media, "v1/"));
    let why = listed.await.expect("it is read for ever").unwrap_err();
    assert!(!why.is_passing(), "{why:?}");
    // Left because the token is the one before, long before anything else would leave it.
    let asked = behind.requests() - before;
    assert!(asked < 5, "{asked} requests");
}

#[tokio::test]
async fn a_busy_store_is_passing_and_parts_are_tried_again() {
    let (store, _tasks, _dir) = lied_to(Lie::Busy).await;
    let put = store.put(Bucket::Media, "x", Bytes::from_static(b"x"), Condition::None).await;
    assert!(matches!(&put, Err(why @ StoreError::Busy { .. }) if why.is_passing()), "{put:?}");
    let mut upload = store.upload(Bucket::Media, "y").await.unwrap();
    // The put's answer and its look back made two requests, so the first part stumbles.
    upload.write(Bytes::from(noise(1, 16 << 20))).await.unwrap();
}

/// The store has the object, and its answer never came (fault F15): that counts as put, also under a condition, and
/// is not mistaken for another writer's.
#[tokio::test]
async fn a_put_whose_answer_was_lost_is_found_to_have_happened() {
    let server = embedded().await;
    let proxy = Proxy::to(server.config.endpoint.as_deref().unwrap()).await;
    let mut config = server.config.clone();
    config.endpoint = Some(format!("http://{}", proxy.address));
    let store = Store::connect(&config).await.unwrap();

    let mine = Bytes::from_static(b"owner: me");
    proxy.lose.store(1, Ordering::SeqCst);
    let created = store.put(Bucket::Media, "state.json", mine.clone(), Condition::Absent).await.unwrap();
    assert_eq!(proxy.lose.load(Ordering::SeqCst), 0, "no reply was lost");
    proxy.lose.store(1, Ordering::SeqCst);
    let next = Bytes::from_static(b"owner: me, later");
    let swapped = store.put(Bucket::Media, "state.json", next.clone(), Condition::Match(created.etag)).await.unwrap();
    assert_eq!(store.get(Bucket::Media, "state.json", 100).await.unwrap(), (next, swapped.etag));

    // Another's object under a lost answer is not ours.
    proxy.lose.store(1, Ordering::SeqCst);
    let lost = store.put(Bucket::Media, "state.json", mine, Condition::Absent).await;
    assert!(lost.as_ref().is_err_and(StoreError::is_passing), "{lost:?}");
}

#[tokio::test]
async fn a_store_that_is_away_is_unreachable_at_once() {
    let mut config = embedded().await.config.clone();
    let dir = tempfile::tempdir().unwrap();
    config = support::config(dir.path(), config.endpoint.unwrap());
    config.create_buckets = false;
    let store = Store::connect(&config).await.unwrap();
    let begun = std::time::Instant::now();
    let read = store.get(Bucket::Media, "x", 1).await;
    assert!(matches!(&read, Err(why @ StoreError::Unreachable { .. }) if why.is_passing()), "{read:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn wrong_keys_are_refused_with_what_to_do_and_never_printed() {
    let server = embedded().await;
    let store = server.store().await;
    store.check().await.unwrap();
    let secret = server.config.secret_key_file.clone().unwrap();
    std::fs::write(&secret, "another-secret-key\n").unwrap();
    let why = server.store_without_buckets().await.check().await.unwrap_err();
    assert!(why.to_string().contains("check store.access_key_file"), "{why}");
    assert!(!format!("{why:?}{store:?}").contains("another-secret-key"));
    assert!(!why.is_passing());
}

#[tokio::test]
async fn a_missing_bucket_is_named_with_what_to_do() {
    let server = embedded().await;
    let why = server.store_without_buckets().await.check().await.unwrap_err().to_string();
    assert!(why.contains("lectern-media does not exist; create it, or set store.create_buckets"), "{why}");
}

/// The store's keys were changed, and ours are old: what is recorded waits in the spool, and goes out with the next try
/// after the new ones lie in our files.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_changed_at_the_store_cost_nothing_but_time() {
    let mut server = embedded().await;
    let store = server.store().await;
    let made = Institution::generate(&server.dir.path().join("keys"), "a@b").unwrap();
    let to = Recipients::parse(&[made.archive, made.pipeline]).unwrap();
    let seal = SealKey::create(&store, &path("lecture"), &Writer::Epoch(1), &to).await.unwrap();
    let spool = Spool::open(&server.dir.path().join("spool")).unwrap();
    let key = path("lecture").segment(1, &media::Rendition::video(), 0);
    let sealed = seal.seal(noise(1, 5000));
    let item = spool.add(&key, &sealed).unwrap();

    let address = server.config.endpoint.as_deref().unwrap().trim_start_matches("http://").parse().unwrap();
    server.stop().await;
    let changed = Embedded::bind(address, &server.dir.path().join("s3"), ACCESS, "the-next-secret").await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(changed.run(stop.clone()));
    for _ in 0..2 {
        let refused = spool.upload(&store, item.clone()).await;
        assert!(matches!(&refused, Err(StoreError::Refused { .. })), "{refused:?}");
        assert_eq!(spool.waiting().unwrap().0, 1);
    }
    std::fs::write(server.config.secret_key_file.as_ref().unwrap(), "the-next-secret\n").unwrap();
    let receipt = spool.upload(&store, item).await.unwrap();
    assert_eq!((receipt.sha256, spool.waiting().unwrap().0), (sealed.sha256(), 0));
    stop.cancel();
    running.await.unwrap();
}

/// Whoever reads a record as it was may not write over what it is; it reads again, and then may.
#[tokio::test]
async fn a_stale_read_overwrites_nothing() {
    let (store, _tasks, _dir) = lied_to(Lie::ReadsStale).await;
    let path = path("lecture");
    let first = recordings::create(&store, &path, &record(&path, "first")).await.unwrap();
    let mut second = record(&path, "second");
    second.epoch = 2;
    let etag = recordings::swap(&store, &path, &second, &first).await.unwrap();
    // The first owner still reads its own record, with the ETag it knows, and is refused by the store.
    let late = recordings::swap(&store, &path, &record(&path, "late"), &first).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    assert_eq!(recordings::state(&store, &path).await.unwrap(), (second.clone(), etag.clone()));

    let mut third = record(&path, "third");
    third.epoch = 3;
    let etag = recordings::swap(&store, &path, &third, &etag).await.unwrap();
    let mut fourth = third.clone();
    fourth.epoch = 4;
    // The owner of the newest record is shown an older one: not now, and not for ever.
    let stale = recordings::swap(&store, &path, &fourth, &etag).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    recordings::swap(&store, &path, &fourth, &etag).await.unwrap();
}
