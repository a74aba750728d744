//! Fails the n-th request to the store, for all n, while an epoch is stored and its recording published: what got an
//! answer lies in the store, what did not can be asked for again, and in the end all is there once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use media::{MediaTime, PipelineSpec, Rendition, WallTime};
use sha2::{Digest, Sha256};
use storage::journal::Entry;
use storage::keys::Institution;
use storage::manifest::{FORMAT, Object, SigningKey, publish, published};
use storage::store::{Bucket, Config, StoreError};
use storage::{Identity, Journal, Manifest, OpenKey, Receipt, Recipients, SealKey, Store, Writer, recordings};
use support::liar::{self, Behind, Lie, Nth, Trouble};
use support::{config, noise, path, record};
use tokio::task::JoinSet;

/// More than one request can fail in no run here.
const TRIES: usize = 3;

struct Run {
    store: Store,
    behind: Behind,
    what: String,
    dir: tempfile::TempDir,
    made: Institution,
    failed: usize,
}

impl Run {
    /// What was put and read back, tried as the recorder tries.
    async fn put(&mut self, key: &str, bytes: &Bytes) -> Receipt {
        for _ in 0..TRIES {
            match self.store.put_verified(Bucket::Media, key, bytes.clone()).await {
                Ok(receipt) => {
                    let there = self.behind.object("lectern-media", key);
                    assert_eq!(there.as_ref(), Some(bytes), "{}: {key} has a receipt and is not there", self.what);
                    assert_eq!(receipt.sha256[..], Sha256::digest(bytes)[..], "{}", self.what);
                    return receipt;
                }
                Err(why) => self.failed(why.is_passing(), &why),
            }
        }
        panic!("{}: {key} was tried in vain", self.what);
    }

    fn failed(&mut self, passing: bool, why: &dyn std::fmt::Debug) {
        assert!(passing, "{}: {why:?}", self.what);
        self.failed += 1;
    }

    /// A recording from its first record to its manifest. How many requests that took.
    async fn record(&mut self) -> usize {
        let path = path("lecture");
        let (mut etag, mut tries) = (None, 0);
        while etag.is_none() {
            tries += 1;
            assert!(tries <= TRIES, "{}: no record", self.what);
            match recordings::create(&self.store, &path, &record(&path, "me")).await {
                Ok(created) => etag = Some(created),
                // Ours, whose answer was lost twice.
                Err(StoreError::Exists { .. }) => {
                    let (found, there) = recordings::state(&self.store, &path).await.unwrap();
                    assert_eq!(found.owner, "me");
                    etag = Some(there);
                }
                Err(why) => self.failed(why.is_passing(), &why),
            }
        }
        let to = Recipients::parse(&[self.made.archive.clone(), self.made.pipeline.clone()]).unwrap();
        let mut writer = Writer::Epoch(1);
        let seal = loop {
            match SealKey::create(&self.store, &path, &writer, &to).await {
                Ok(seal) => break seal,
                // Its secret is lost with the answer: the next epoch has a key of its own.
                Err(storage::seal::SealError::Store(StoreError::Exists { .. })) => writer = Writer::Epoch(2),
                Err(why) => self.failed(why.is_passing(), &why),
            }
        };
        let Writer::Epoch(epoch) = writer else { panic!("{writer}") };
        let mut entries = Vec::new();
        let mut objects = Vec::new();
        for number in 0..2 {
            let rendition = Rendition::video();
            let sealed = seal.seal(noise(number, 4000));
            let key = path.segment(epoch, &rendition, number);
            let receipt = self.put(&key, sealed.bytes()).await;
            let (size, sha256) = (receipt.size, receipt.sha256_hex());
            objects.push(Object {
                bucket: Bucket::Media,
                key: key.clone(),
                size,
                sha256: sha256.clone(),
                plain_len: Some(4000),
                writer: writer.to_string(),
            });
            let (begins, lasts, wall) = (MediaTime(number * 3_200_000_000), Duration::from_millis(3200), WallTime(1));
            entries.push(Entry { rendition, number, key, size, sha256, begins, lasts, wall });
        }
        let journal = Journal {
            recording: path.recording,
            epoch,
            began: WallTime(1),
            ended: WallTime(2),
            spec: PipelineSpec::default(),
            entries,
            gaps: Vec::new(),
            closed: std::collections::BTreeMap::new(),
            renditions: Vec::new(),
        };
        self.put(&path.journal(epoch), seal.seal(journal.to_bytes()).bytes()).await;
        let manifest = Manifest {
            format: FORMAT.into(),
            recording: path.recording,
            tenant: path.tenant.clone(),
            generation: 1,
            created: WallTime(3),
            complete: true,
            duration_ms: 6400,
            gaps: Vec::new(),
            objects,
            previous: None,
            software: "test".into(),
            recipients: to.public(),
            language: "nb".into(),
            webinar: false,
            accounts: Vec::new(),
            lost: Vec::new(),
        };
        let key = SigningKey::load(&self.dir.path().join("keys/signing.key")).unwrap();
        let mut standing = false;
        for _ in 0..TRIES {
            match publish(&self.store, &path, &manifest, &key).await {
                Ok(()) => {
                    standing = true;
                    break;
                }
                Err(why) => self.failed(why.is_passing(), &why),
            }
        }
        assert!(standing, "{}: published in vain", self.what);
        let mut ended = record(&path, "me");
        ended.phase = claim::Phase::Ended;
        let mut etag = etag.unwrap();
        for _ in 0..TRIES {
            match recordings::swap(&self.store, &path, &ended, &etag).await {
                Ok(_) => break,
                Err(StoreError::Conflict { .. }) => etag = recordings::state(&self.store, &path).await.unwrap().1,
                Err(why) => self.failed(why.is_passing(), &why),
            }
        }

        // By now nothing fails any more.
        let requests = self.behind.requests();
        assert_eq!(recordings::state(&self.store, &path).await.unwrap().0, ended, "{}", self.what);
        let stands = published(&self.store, &path, 1, &key.signers()).await.unwrap().unwrap();
        assert_eq!(stands.manifest, manifest, "{}", self.what);
        let identity = Identity::load(&self.dir.path().join("keys/pipeline.key")).unwrap();
        let open = OpenKey::fetch(&self.store, &path, &writer, &identity).await.unwrap();
        let sealed = self.behind.object("lectern-media", &path.journal(epoch)).unwrap();
        let read = Journal::parse(&open.open(&sealed, 1 << 20).unwrap()).unwrap();
        assert_eq!(read, journal, "{}", self.what);
        for entry in &read.entries {
            let there = self.behind.object("lectern-media", &entry.key).unwrap();
            assert_eq!(hex::encode(Sha256::digest(&there)), entry.sha256, "{}", self.what);
        }
        requests
    }
}

/// The number of requests, and whether one failed so that somebody saw it.
async fn run(nth: Option<Nth>) -> (usize, usize) {
    let (endpoint, _tasks, behind) = liar::serve_with(Lie::None, nth).await;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { create_buckets: false, ..config(dir.path(), endpoint) };
    let store = Store::connect(&config).await.unwrap();
    let made = Institution::generate(&dir.path().join("keys"), "a@b").unwrap();
    let mut run = Run { store, behind, what: format!("{nth:?}"), dir, made, failed: 0 };
    (run.record().await, run.failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_request_fails_nothing_that_was_acknowledged_is_lost_and_all_is_there_in_the_end() {
    let (requests, failed) = run(None).await;
    assert!(requests > 15 && failed == 0, "{requests} requests, {failed} failed");
    let mut runs = JoinSet::new();
    for trouble in [Trouble::Unheard, Trouble::Busy, Trouble::Unanswered] {
        for number in 0..requests {
            runs.spawn(async move { (trouble, run(Some(Nth(number, trouble))).await) });
        }
    }
    let mut told = 0;
    while let Some(ended) = runs.join_next().await {
        let (trouble, (_, failed)) = ended.unwrap();
        told += failed;
        assert!(failed <= 1, "{trouble:?}: one request failed, and {failed} calls");
    }
    // Lost answers of puts are settled by reading back; most others are for the caller to try again.
    assert!(told > requests, "of {} failed requests, callers heard of {told}", 3 * requests);
    println!("{requests} requests, {} runs, {told} calls tried again", 3 * requests);
}
