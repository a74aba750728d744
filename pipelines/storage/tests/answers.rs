//! Answers that no sound store gives: too long, without end, of another kind, at another time. None is believed, and
//! none costs more than itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use storage::store::{Bucket, Condition, Config, StoreError};
use storage::{Store, recordings};
use support::raw::{endless, serve};
use support::{config, path, record};
use tokio::task::JoinSet;

/// What an endless answer may cost in memory and on the line: our bound, and what lies in the sockets' buffers.
const ENOUGH: u64 = 48 << 20;

async fn answered(
    answer: impl Fn(&Parts, Bytes) -> Response + Send + Sync + 'static,
) -> (Store, JoinSet<()>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (endpoint, tasks) = serve(answer).await;
    let config = Config { create_buckets: false, ..config(dir.path(), endpoint) };
    (Store::connect(&config).await.unwrap(), tasks, dir)
}

fn of(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

fn page(inside: &str) -> String {
    format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>{inside}</ListBucketResult>")
}

#[tokio::test]
async fn an_etag_is_an_opaque_word_that_goes_back_as_it_came() {
    for etag in [None, Some("\"d41d8cd9\""), Some("\"\"twice\"\""), Some("W/\"weak\""), Some("bare"), Some("\"a-12\"")]
    {
        let asked = Arc::new(Mutex::new(None));
        let (object, seen) = (Mutex::new(Bytes::new()), asked.clone());
        let (store, _tasks, _dir) = answered(move |request, body| {
            if request.method == Method::PUT {
                let condition = request.headers.get("if-match");
                *seen.lock().unwrap() = condition.map(|word| word.to_str().unwrap().to_owned());
                *object.lock().unwrap() = body;
            }
            let headers: Vec<_> = etag.iter().map(|etag| ("etag", *etag)).collect();
            let body = if request.method == Method::GET { object.lock().unwrap().clone() } else { Bytes::new() };
            of(200, &headers, body)
        })
        .await;
        let put = store.put_verified(Bucket::Media, "x", Bytes::from_static(b"a lecture")).await.unwrap();
        assert_eq!(put.etag, etag.unwrap_or_default());
        let Some(etag) = etag else {
            // Without one, nothing may be swapped: nobody could tell one version from the next.
            let path = path("lecture");
            recordings::create(&store, &path, &record(&path, "me")).await.unwrap();
            let swapped = recordings::swap(&store, &path, &record(&path, "you"), "").await;
            assert!(matches!(swapped, Err(StoreError::Conflict { .. })), "{swapped:?}");
            continue;
        };
        store.put(Bucket::Media, "x", Bytes::new(), Condition::Match(put.etag)).await.unwrap();
        assert_eq!(asked.lock().unwrap().as_deref(), Some(etag));
    }
}

#[tokio::test]
async fn a_list_of_a_gigabyte_is_left_after_a_few_megabytes() {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = taken.clone();
    let entry = Bytes::from("<Contents><Key>v1/uni/2026/x</Key><Size>1</Size></Contents>".repeat(1000));
    let (store, _tasks, _dir) = answered(move |_, _| of(200, &[], endless(entry.clone(), &counted))).await;
    let listed = store.list(Bucket::Media, "v1/").await;
    assert!(listed.as_ref().is_err_and(|why| why.to_string().contains("too long")), "{listed:?}");
    assert!(listed.is_err_and(|why| !why.is_passing()));
    assert!(taken.load(Ordering::SeqCst) < ENOUGH, "{taken:?} bytes were read");
}

#[tokio::test]
async fn an_error_of_a_gigabyte_is_left_too() {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = taken.clone();
    let (store, _tasks, _dir) =
        answered(move |_, _| of(500, &[], endless(Bytes::from(vec![b'<'; 65_536]), &counted))).await;
    assert!(store.get(Bucket::Media, "x", 100).await.is_err());
    assert!(store.head(Bucket::Media, "x").await.is_err());
    assert!(taken.load(Ordering::SeqCst) < 2 * ENOUGH, "{taken:?} bytes were read");
}

/// Ten entities of ten each, nine deep, are ten gigabytes when they are written out.
#[tokio::test]
async fn an_entity_bomb_does_not_go_off() {
    let mut bomb = "<!DOCTYPE list [<!ENTITY e0 \"lecture\">".to_owned();
    for depth in 1..10 {
        let inside = format!("&e{};", depth - 1).repeat(10);
        bomb += &format!("<!ENTITY e{depth} \"{inside}\">");
    }
    let bomb = format!(
        "<?xml version=\"1.0\"?>{bomb}]><ListBucketResult><Contents><Key>&e9;</Key></Contents></ListBucketResult>"
    );
    let (store, _tasks, _dir) = answered(move |_, _| of(200, &[], bomb.clone())).await;
    let listed = tokio::time::timeout(Duration::from_secs(20), store.list(Bucket::Media, "v1/")).await.unwrap();
    // Refused, or read without what it would have become.
    assert!(listed.as_ref().map_or(true, |all| all.iter().all(|entry| entry.key.len() < 100)), "{listed:?}");
    println!("{listed:?}");
}

#[tokio::test]
async fn a_list_whose_pages_bring_nothing_is_left() {
    let pages = Arc::new(AtomicUsize::new(0));
    let counted = pages.clone();
    let (store, _tasks, _dir) = answered(move |_, _| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        of(200, &[], page(&format!("<NextContinuationToken>{number}</NextContinuationToken>")))
    })
    .await;
    let listed = store.list(Bucket::Media, "v1/").await;
    assert!(listed.as_ref().is_err_and(|why| !why.is_passing()), "{listed:?}");
    assert!(pages.load(Ordering::SeqCst) < 200, "{pages:?} pages were asked for");
}

#[tokio::test]
async fn pages_that_bring_nothing_for_a_while_are_borne() {
    let pages = AtomicUsize::new(0);
    let (store, _tasks, _dir) = answered(move |_, _| match pages.fetch_add(1, Ordering::SeqCst) {
        50 => of(200, &[], "<ListBucketResult><Contents><Key>v1/x</Key><Size>3</Size></Contents></ListBucketResult>"),
        number => of(200, &[], page(&format!("<NextContinuationToken>{number}</NextContinuationToken>"))),
    })
    .await;
    let listed = store.list(Bucket::Media, "v1/").await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["v1/x"]);
}

#[tokio::test]
async fn a_part_does_not_pass_for_the_whole_nor_the_whole_for_a_part() {
    let (store, _tasks, _dir) =
        answered(|_, _| of(206, &[("content-range", "bytes 0-3/10"), ("etag", "\"e\"")], "lect")).await;
    for read in [
        store.get(Bucket::Media, "x", 10).await.map(drop),
        store.put_verified(Bucket::Media, "x", "lect".into()).await.map(drop),
    ] {
        assert!(matches!(read, Err(StoreError::Refused { .. })), "{read:?}");
    }
    // Right bytes, of another place.
    assert!(store.get_range(Bucket::Media, "x", 4..8).await.is_err());
    let (store, _tasks, _dir) = answered(|_, _| of(200, &[("etag", "\"e\"")], "lecture")).await;
    let read = store.get_range(Bucket::Media, "x", 0..7).await;
    assert!(matches!(read, Err(StoreError::Refused { .. })), "{read:?}");
}

#[tokio::test]
async fn a_body_without_end_is_left_once_it_is_too_long() {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = taken.clone();
    let (store, _tasks, _dir) = answered(move |request, _| {
        let endless = endless(Bytes::from(vec![b'x'; 65_536]), &counted);
        match request.headers.get("range") {
            Some(_) => of(206, &[("content-range", "bytes 0-9/10")], endless),
            None => of(200, &[], endless),
        }
    })
    .await;
    assert!(store.get_range(Bucket::Media, "x", 0..10).await.is_err());
    assert!(store.get(Bucket::Media, "x", 10).await.is_err());
    assert!(store.put_verified(Bucket::Media, "x", "0123456789".into()).await.is_err());
    assert!(taken.load(Ordering::SeqCst) < ENOUGH, "{taken:?} bytes were read");
}

fn http_date(at: SystemTime) -> String {
    let form = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time::OffsetDateTime::from(at).format(form).unwrap()
}

/// The store lives an hour ahead, and refuses what was not signed within a quarter of an hour of its own time.
#[tokio::test]
async fn a_clock_that_is_an_hour_off_costs_one_refused_request() {
    for ahead in [true, false] {
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        let theirs = move || {
            let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
            if ahead { now + hour } else { now - hour }
        };
        let (store, _tasks, _dir) = answered(move |request, _| {
            let signed = request.headers["x-amz-date"].to_str().unwrap();
            let form = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
            let signed = time::PrimitiveDateTime::parse(signed, form).unwrap().assume_utc();
            let apart = (time::OffsetDateTime::from(theirs()) - signed).abs();
            let date = http_date(theirs());
            if apart < time::Duration::minutes(15) {
                return of(200, &[("date", &date), ("etag", "\"e\"")], "lecture");
            }
            counted.fetch_add(1, Ordering::SeqCst);
            of(403, &[("date", &date)], "<Error><Code>RequestTimeTooSkewed</Code><Message>late</Message></Error>")
        })
        .await;
        let first = store.get(Bucket::Media, "x", 10).await;
        assert!(matches!(&first, Err(why @ StoreError::Skewed { .. }) if why.is_passing()), "{first:?}");
        assert!(first.unwrap_err().to_string().contains("NTP"));
        for _ in 0..3 {
            assert_eq!(store.get(Bucket::Media, "x", 10).await.unwrap().0, "lecture");
        }
        assert_eq!(refused.load(Ordering::SeqCst), 1, "ahead: {ahead}");
    }
}

/// In single-worker mode a store may ignore conditions; it is told them all the same.
#[tokio::test]
async fn a_record_is_written_under_a_condition_even_where_nobody_else_writes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = seen.clone();
    let (endpoint, _tasks) = serve(move |request, _| {
        let condition = ["if-none-match", "if-match"].into_iter().find(|name| request.headers.contains_key(*name));
        asked.lock().unwrap().push(condition.unwrap_or("none"));
        of(200, &[("etag", "\"e\"")], "")
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { create_buckets: false, single_worker: true, ..config(dir.path(), endpoint) };
    let (store, path) = (Store::connect(&config).await.unwrap(), path("lecture"));
    recordings::create(&store, &path, &record(&path, "me")).await.unwrap();
    store.put(Bucket::Media, &path.state(), Bytes::new(), Condition::Match("\"e\"".into())).await.unwrap();
    // First the entry in the index of open recordings, which anybody may write again.
    assert_eq!(*seen.lock().unwrap(), ["none", "if-none-match", "if-match"]);
}
