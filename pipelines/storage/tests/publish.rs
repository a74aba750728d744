//! Publishing a generation: one author, whoever stalls or dies in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use media::WallTime;
use storage::manifest::{FORMAT, Manifest, PublishError, SigningKey, publish, published};
use storage::store::{Bucket, Condition, Config};
use storage::{RecordingPath, Store};
use support::proxy::Proxy;
use support::{embedded, path};

fn manifest(path: &RecordingPath, duration_ms: u64) -> Manifest {
    Manifest {
        format: FORMAT.into(),
        recording: path.recording,
        tenant: path.tenant.clone(),
        generation: 1,
        created: WallTime(1_795_372_178_000_000),
        complete: true,
        duration_ms,
        accounts: Vec::new(),
        lost: Vec::new(),
        gaps: Vec::new(),
        objects: Vec::new(),
        previous: None,
        software: "test".into(),
        recipients: Vec::new(),
        language: "nb".into(),
        webinar: false,
    }
}

fn signing_key() -> SigningKey {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, SigningKey::generate().0.as_bytes()).unwrap();
    SigningKey::load(&file).unwrap()
}

on_both_servers! {
    async fn a_published_generation_is_never_replaced(store: storage::Store) {
        let (path, key) = (path("lecture"), signing_key());
        let (first, second) = (manifest(&path, 1), manifest(&path, 2));
        publish(&store, &path, &first, &key).await.unwrap();
        // The same again, as after a lost answer, is no other writer's.
        publish(&store, &path, &first, &key).await.unwrap();
        let taken = publish(&store, &path, &second, &key).await;
        assert!(matches!(taken, Err(PublishError::Taken { generation: 1 })), "{taken:?}");
        let stands = published(&store, &path, 1, &key.signers()).await.unwrap().unwrap();
        assert_eq!(stands.manifest, first);
        assert!(published(&store, &path, 2, &key.signers()).await.unwrap().is_none());
    }

    async fn a_generation_that_was_signed_with_an_earlier_key_is_not_replaced_either(store: storage::Store) {
        let (path, earlier) = (path("lecture"), signing_key());
        publish(&store, &path, &manifest(&path, 1), &earlier).await.unwrap();
        let taken = publish(&store, &path, &manifest(&path, 2), &signing_key()).await;
        assert!(matches!(taken, Err(PublishError::Taken { generation: 1 })), "{taken:?}");
        assert!(published(&store, &path, 1, &earlier.signers()).await.unwrap().is_some());
    }

    async fn a_manifest_that_its_writer_never_signed_is_replaced(store: storage::Store) {
        let (path, key) = (path("lecture"), signing_key());
        let dead = manifest(&path, 1).to_bytes();
        store.put(Bucket::Media, &path.manifest(1), dead.into(), Condition::Absent).await.unwrap();
        let unproven = published(&store, &path, 1, &key.signers()).await;
        assert!(matches!(unproven, Err(PublishError::Unproven { .. })), "{unproven:?}");
        let mine = manifest(&path, 2);
        publish(&store, &path, &mine, &key).await.unwrap();
        assert_eq!(published(&store, &path, 1, &key.signers()).await.unwrap().unwrap().manifest, mine);
    }
}

/// A writer puts its manifest and stalls. Another replaces it and signs. The first wakes, and must leave the other's
/// signature alone: a published recording would else no longer prove itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_wakes_too_late_leaves_the_others_signature_alone() {
    let server = embedded().await;
    let store = server.store().await;
    let proxy = Proxy::to(server.config.endpoint.as_deref().unwrap()).await;
    let endpoint = Some(format!("http://{}", proxy.address));
    let slow = Store::connect(&Config { endpoint, create_buckets: false, ..server.config.clone() }).await.unwrap();
    let (path, key) = (path("lecture"), signing_key());
    let (late, mine) = (manifest(&path, 1), manifest(&path, 2));

    proxy.hold.send(true).unwrap();
    let (outcome, ()) = tokio::join!(publish(&slow, &path, &late, &key), async {
        let deadline = Instant::now() + Duration::from_secs(5);
        while store.head(Bucket::Media, &path.manifest(1)).await.is_err() {
            assert!(Instant::now() < deadline, "the first manifest was not put");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        publish(&store, &path, &mine, &key).await.unwrap();
        proxy.hold.send(false).unwrap();
    });
    assert!(matches!(outcome, Err(PublishError::Taken { generation: 1 })), "{outcome:?}");
    assert_eq!(published(&store, &path, 1, &key.signers()).await.unwrap().unwrap().manifest, mine);
}
