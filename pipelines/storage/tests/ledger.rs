//! The ledger: what was begun and never stored is told, whatever became of its recording.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use bytes::Bytes;
use events::TenantId;
use media::WallTime;
use storage::ledger::{Stored, lost_of, open, open_of, started, stored};
use storage::{Bucket, Condition, RecordingPath};
use support::path;

const AT: WallTime = WallTime(1_795_372_178_000_000);

fn is_stored(epoch: u32) -> Stored {
    Stored { epoch, at: AT, generation: 1, segments: 7, gaps: 1 }
}

on_both_servers! {
    async fn what_was_begun_and_never_stored_is_told(store: storage::Store) {
        let (one, two) = (path("one"), path("two"));
        let other = RecordingPath { tenant: TenantId::new("other").unwrap(), ..path("three") };
        for (path, epoch) in [(&one, 1), (&one, 2), (&one, 12_345), (&two, 1), (&other, 1)] {
            started(&store, path, epoch, AT).await.unwrap();
        }
        let told = async |tenant: Option<&TenantId>| {
            let open = open(&store, tenant).await.unwrap();
            open.into_iter().map(|entry| (entry.path.recording, entry.epoch, entry.at)).collect::<Vec<_>>()
        };
        assert_eq!(told(None).await.len(), 5);
        assert_eq!(told(Some(&other.tenant)).await, [(other.recording, 1, Some(AT))]);
        stored(&store, &one, &is_stored(1)).await.unwrap();
        stored(&store, &one, &is_stored(12_345)).await.unwrap();
        stored(&store, &two, &is_stored(1)).await.unwrap();
        assert_eq!(told(Some(&one.tenant)).await, [(one.recording, 2, Some(AT))]);
        assert_eq!(open_of(&store, &one).await.unwrap().len(), 1);
        assert_eq!(open_of(&store, &two).await.unwrap(), []);
    }

    async fn what_began_and_left_nothing_is_lost_unless_it_captured_nothing(store: storage::Store) {
        let path = path("one");
        for epoch in 1..=6 {
            started(&store, &path, epoch, AT).await.unwrap();
        }
        // 1 is open; 2 captured nothing; 3 is named as lost; 4 was stored and is there no more; 5 is there; 6 is spoilt.
        stored(&store, &path, &Stored::nothing(2, AT)).await.unwrap();
        stored(&store, &path, &Stored { segments: 0, ..is_stored(3) }).await.unwrap();
        stored(&store, &path, &Stored { gaps: 0, ..is_stored(4) }).await.unwrap();
        let spoilt = format!("ledger/v1/uni/2026/{}/0006.stored.json", path.recording);
        store.put(Bucket::Keys, &spoilt, Bytes::from_static(b"{}"), Condition::Absent).await.unwrap();
        let lost = lost_of(&store, &path, &BTreeSet::from([5])).await.unwrap();
        let lost: Vec<_> = lost.into_iter().map(|entry| (entry.path, entry.epoch, entry.at)).collect();
        assert_eq!(lost, [1, 3, 4, 6].map(|epoch| (path.clone(), epoch, Some(AT))));
    }

    async fn an_entry_stands_as_it_was_first_written(store: storage::Store) {
        let path = path("one");
        started(&store, &path, 1, AT).await.unwrap();
        started(&store, &path, 1, WallTime(1)).await.unwrap();
        assert_eq!(open(&store, None).await.unwrap()[0].at, Some(AT));
    }

    async fn what_somebody_else_wrote_there_is_told_and_stops_nothing(store: storage::Store) {
        let path = path("one");
        let folder = format!("ledger/v1/uni/2026/{}/", path.recording);
        for name in ["0001.started.json", "1.started.json", "x", "0002.stored.json"] {
            let body = Bytes::from_static(b"{}");
            store.put(Bucket::Keys, &format!("{folder}{name}"), body, Condition::Absent).await.unwrap();
        }
        let told: Vec<_> = open(&store, None).await.unwrap().into_iter().map(|e| (e.epoch, e.at)).collect();
        assert_eq!(told, [(1, None)]);
    }
}
