//! The embedded S3: alone in its folder, closed to strangers, and whole after a restart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use futures_util::future::join_all;
use storage::embedded::{Embedded, EmbeddedError};
use storage::store::{Bucket, Condition, Config, StoreError};
use storage::{Store, Writer};
use support::{ACCESS, SECRET, config, embedded, loopback, noise, path};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn it_binds_to_this_machine_alone_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = Embedded::bind(everywhere, dir.path(), ACCESS, SECRET).await;
    assert!(matches!(refused, Err(EmbeddedError::NotLoopback(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn two_cannot_serve_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = Embedded::bind(loopback(0), dir.path(), ACCESS, SECRET).await.unwrap();
    let second = Embedded::bind(loopback(0), dir.path(), ACCESS, SECRET).await;
    assert!(matches!(second, Err(EmbeddedError::InUse(_))), "{second:?}");
    drop(first);
    Embedded::bind(loopback(0), dir.path(), ACCESS, SECRET).await.unwrap();
}

#[tokio::test]
async fn objects_and_etags_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("s3");
    let run = async || {
        let server = Embedded::bind(loopback(0), &folder, ACCESS, SECRET).await.unwrap();
        let store = config(dir.path(), server.endpoint());
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.run(stop.clone()));
        (Store::connect(&store).await.unwrap(), stop, running)
    };
    let (store, stop, running) = run().await;
    let put = store.put(Bucket::Media, "a/b", Bytes::from_static(b"x"), Condition::Absent).await.unwrap();
    stop.cancel();
    running.await.unwrap();

    let (store, stop, running) = run().await;
    assert_eq!(store.get(Bucket::Media, "a/b", 1).await.unwrap(), (Bytes::from_static(b"x"), put.etag.clone()));
    store.put(Bucket::Media, "a/b", Bytes::from_static(b"y"), Condition::Match(put.etag)).await.unwrap();
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn an_object_is_one_private_file_named_like_its_key() {
    let server = embedded().await;
    let store = server.store().await;
    let key = path("lecture").key(&Writer::Epoch(1));
    let bytes = Bytes::from_static(b"age-encryption.org/v1\n");
    store.put(Bucket::Keys, &key, bytes.clone(), Condition::Absent).await.unwrap();
    let file = server.dir.path().join("s3/lectern-keys").join(&key);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(file.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn strangers_and_wrong_keys_are_refused() {
    let server = embedded().await;
    let store = server.store().await;
    store.put(Bucket::Media, "x", Bytes::from_static(b"x"), Condition::None).await.unwrap();
    let address = server.config.endpoint.as_deref().unwrap().trim_start_matches("http://").to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET /lectern-media/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("AccessDenied"), "{answer}");

    std::fs::write(server.config.secret_key_file.as_ref().unwrap(), "another").unwrap();
    let wrong = Store::connect(&Config { create_buckets: false, ..server.config.clone() }).await.unwrap();
    let read = wrong.get(Bucket::Media, "x", 1).await;
    assert!(matches!(&read, Err(StoreError::Refused { code, .. }) if code == "SignatureDoesNotMatch"), "{read:?}");
}

#[tokio::test]
async fn keys_that_are_no_path_of_ours_are_refused() {
    let server = embedded().await;
    let store = server.store().await;
    let put = async |key: &str| store.put(Bucket::Media, key, Bytes::from_static(b"x"), Condition::None).await;
    put("a/b").await.unwrap();
    // Above and below an object, and what a folder cannot hold.
    for key in ["a", "a/b/c", "a//b", "a/", "a/./b", &"n".repeat(256)] {
        assert!(put(key).await.is_err_and(|why| !why.is_passing()), "{key}");
    }
    for key in ["../escape", "a/../../escape", "..", "/etc/escape"] {
        let _ = put(key).await;
    }
    let outside: Vec<_> = walk(server.dir.path()).into_iter().filter(|name| name.contains("escape")).collect();
    assert!(outside.iter().all(|name| name.contains("s3/lectern-media/")), "{outside:?}");
    assert!(!std::path::Path::new("/etc/escape").exists());
}

fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(walk(&path));
        }
        names.push(path.display().to_string());
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_one_version_whole_while_it_is_replaced() {
    let server = embedded().await;
    let store = server.store().await;
    let versions: Vec<Bytes> = (0..8).map(|n| Bytes::from(vec![n; 300_000])).collect();
    store.put(Bucket::Media, "s", versions[0].clone(), Condition::None).await.unwrap();
    let writes = versions.iter().map(|bytes| store.put(Bucket::Media, "s", bytes.clone(), Condition::None));
    let reads = (0..24).map(|_| store.get(Bucket::Media, "s", 300_000));
    let (written, read) = tokio::join!(join_all(writes), join_all(reads));
    let etags: Vec<_> = written.into_iter().map(|put| put.unwrap().etag).collect();
    for found in read {
        let (bytes, etag) = found.unwrap();
        let version = usize::from(bytes[0]);
        assert!(bytes == versions[version], "a torn read");
        assert!(version == 0 || etag == etags[version], "an ETag of another version");
    }
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_cleared_and_never_listed() {
    let mut server = embedded().await;
    let store = server.store().await;
    let mut upload = store.upload(Bucket::Media, "big").await.unwrap();
    upload.write(Bytes::from(noise(1, 17 << 20))).await.unwrap();
    let folder = server.dir.path().join("s3");
    std::fs::write(folder.join(".partial/half"), b"half").unwrap();
    assert_eq!(store.list(Bucket::Media, "").await.unwrap(), []);
    drop(upload);
    let uploads = || std::fs::read_dir(folder.join(".uploads")).unwrap().count();
    assert_eq!(uploads(), 1);
    let kept = std::fs::read_dir(folder.join(".uploads")).unwrap().next().unwrap().unwrap().path();
    server.stop().await;
    Embedded::bind(loopback(0), &folder, ACCESS, SECRET).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.join(".partial")).unwrap().count(), 0);
    assert_eq!(uploads(), 1);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 24 * 3600);
    std::fs::File::open(&kept).unwrap().set_modified(old).unwrap();
    Embedded::bind(loopback(0), &folder, ACCESS, SECRET).await.unwrap();
    assert_eq!(uploads(), 0);
}
