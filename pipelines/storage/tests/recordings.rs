//! The catalogue: records are found, changed by one at a time, and never believed too much.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use claim::Phase;
use events::TenantId;
use futures_util::future::join_all;
use storage::recordings::{create, find, list, open, state, swap};
use storage::store::{Bucket, Condition, StoreError};
use support::{path, record};

on_both_servers! {
    async fn a_recording_is_claimed_by_one_of_many(store: storage::Store) {
        let path = path("lecture");
        let owners: Vec<String> = (0..8).map(|n| format!("worker-{n}")).collect();
        let records: Vec<_> = owners.iter().map(|owner| record(&path, owner)).collect();
        let outcomes = join_all(records.iter().map(|record| create(&store, &path, record))).await;
        let won: Vec<_> = outcomes.iter().zip(&owners).filter(|(outcome, _)| outcome.is_ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        let (found, etag) = state(&store, &path).await.unwrap();
        assert_eq!((&found.owner, &etag), (won[0].1, won[0].0.as_ref().unwrap()));
    }

    async fn a_swap_needs_the_newest_etag(store: storage::Store) {
        let path = path("lecture");
        let first = create(&store, &path, &record(&path, "a")).await.unwrap();
        let mut next = record(&path, "b");
        next.epoch = 2;
        let second = swap(&store, &path, &next, &first).await.unwrap();
        let stale = swap(&store, &path, &record(&path, "a"), &first).await;
        assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
        next.phase = Phase::Recording;
        swap(&store, &path, &next, &second).await.unwrap();
        assert_eq!(state(&store, &path).await.unwrap().0, next);
    }

    async fn an_epoch_never_goes_back_and_a_record_never_moves(store: storage::Store) {
        let path = path("lecture");
        let mut late = record(&path, "a");
        late.epoch = 3;
        let etag = create(&store, &path, &late).await.unwrap();
        let back = swap(&store, &path, &record(&path, "a"), &etag).await;
        assert!(matches!(back, Err(StoreError::BadRecord { .. })), "{back:?}");
        let other = swap(&store, &path, &record(&support::path("other"), "a"), &etag).await;
        assert!(matches!(other, Err(StoreError::BadRecord { .. })), "{other:?}");
        assert_eq!(state(&store, &path).await.unwrap(), (late, etag));
    }

    async fn open_recordings_are_found_without_reading_the_closed_ones(store: storage::Store) {
        let (running, over) = (path("running"), path("over"));
        let etag = create(&store, &running, &record(&running, "w")).await.unwrap();
        let first = create(&store, &over, &record(&over, "w")).await.unwrap();
        let mut ended = record(&over, "w");
        ended.phase = Phase::Ended;
        swap(&store, &over, &ended, &first).await.unwrap();
        // A claim under way: its entry comes before its record.
        let claiming = path("claiming");
        store.put(Bucket::Media, &claiming.open(), Bytes::new(), Condition::None).await.unwrap();

        let found = open(&store, &running.tenant).await.unwrap();
        assert_eq!(found, [(running.clone(), record(&running, "w"), etag)]);
        let entries = store.list(Bucket::Media, "open/").await.unwrap();
        let mut left: Vec<_> = entries.into_iter().map(|entry| entry.key).collect();
        left.sort();
        let mut expected = [running.open(), claiming.open()];
        expected.sort();
        assert_eq!(left, expected);
    }

    async fn recordings_are_listed_by_tenant_and_found_by_id(store: storage::Store) {
        let (a, b) = (path("a"), path("b"));
        let mut c = path("c");
        c.tenant = TenantId::new("college").unwrap();
        c.year = 2025;
        for path in [&a, &b, &c] {
            create(&store, path, &record(path, "w")).await.unwrap();
            // What else lies there must not get in the way.
            let segment = path.at_segment();
            store.put(Bucket::Media, &segment, Bytes::from_static(b"age-encryption.org/v1\n"), Condition::None).await.unwrap();
        }
        store.put(Bucket::Media, "probe/x", Bytes::from_static(b"x"), Condition::None).await.unwrap();
        store.put(Bucket::Media, "v1/uni/lost+found/x", Bytes::from_static(b"x"), Condition::None).await.unwrap();

        let all = list(&store, None).await.unwrap();
        assert_eq!(all.iter().map(|(path, ..)| path.tenant.as_str()).collect::<Vec<_>>(), ["college", "uni", "uni"]);
        let mut uni: Vec<_> = list(&store, Some(&a.tenant)).await.unwrap().into_iter().map(|(path, ..)| path).collect();
        uni.sort_by_key(|path| path.recording != a.recording);
        assert_eq!(uni, [a.clone(), b]);
        assert_eq!(find(&store, c.recording).await.unwrap().unwrap().0, c);
        assert_eq!(find(&store, path("nobody").recording).await.unwrap(), None);
        let (_, of_a, etag) = find(&store, a.recording).await.unwrap().unwrap();
        assert_eq!((of_a, etag), state(&store, &a).await.unwrap());
    }

    async fn an_edited_or_huge_record_is_refused_and_left_as_it_is(store: storage::Store) {
        let (path, other) = (path("lecture"), path("other"));
        let theirs = serde_json::to_vec(&record(&other, "a")).unwrap();
        let mut twice = serde_json::to_string(&record(&path, "a")).unwrap();
        twice.insert_str(1, "\"epoch\":9,");
        let huge = vec![b' '; 65_537];
        for odd in [b"{}".to_vec(), theirs, twice.into_bytes(), huge] {
            let odd = Bytes::from(odd);
            let put = store.put(Bucket::Media, &path.state(), odd.clone(), Condition::None).await.unwrap();
            assert!(matches!(state(&store, &path).await, Err(StoreError::BadRecord { .. })));
            let swapped = swap(&store, &path, &record(&path, "a"), &put.etag).await;
            assert!(matches!(swapped, Err(StoreError::BadRecord { .. })), "{swapped:?}");
            assert_eq!(list(&store, None).await.unwrap(), []);
            assert_eq!(store.get(Bucket::Media, &path.state(), 100_000).await.unwrap().0, odd);
        }
    }
}

trait AtSegment {
    fn at_segment(&self) -> String;
}

impl AtSegment for storage::RecordingPath {
    fn at_segment(&self) -> String {
        self.segment(1, &media::Rendition::video(), 0)
    }
}
