//! What an earlier run left in the spool finds its way into the store, without besieging a store that is away.

use std::time::{Duration, Instant};

use media::Rendition;
use storage::Bucket;

use super::house::{House, SOON, request, soon};
use crate::orphans::Orphans;

/// A segment that lies in the spool; its key, and what is to be in the store.
async fn left(house: &House) -> (String, bytes::Bytes) {
    let job = house.take(&request("run-1", |_| {})).await;
    let key = job.held.path.segment(1, &Rendition::video(), 0);
    let sealed = job.key.seal(b"the last closed segment".to_vec());
    house.shop.spool.add(&key, &sealed).unwrap();
    (key, sealed.bytes().clone())
}

fn orphans(house: &House) -> Orphans {
    let spool = house.shop.spool.clone();
    let found = spool.orphans().unwrap();
    Orphans::new(spool, house.shop.desk.store.clone(), found)
}

/// What a run that was killed has left is in the store before the next one takes any work.
#[tokio::test]
async fn what_an_earlier_run_left_in_the_spool_is_uploaded_first() {
    let house = House::open().await;
    let (key, bytes) = left(&house).await;
    assert!(orphans(&house).upload(Instant::now() + SOON, &house.stop).await);
    assert_eq!(house.shop.desk.store.get(Bucket::Media, &key, 1 << 20).await.unwrap().0, bytes);
    assert_eq!(house.shop.spool.waiting().unwrap(), (0, 0));
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_for_orphans_more_and_more_seldom() {
    let mut house = House::open().await;
    let (key, bytes) = left(&house).await;
    let mut orphans = orphans(&house);
    house.close_store().await;
    let listener = tokio::net::TcpListener::bind(house.address).await.unwrap();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        let refusing = async {
            while listener.accept().await.is_ok() {
                asked.push(Instant::now());
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(10), refusing).await;
        asked
    });
    // In short turns, as the start and the work beside it take them.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(9) {
        let turn = Instant::now();
        assert!(!orphans.upload(turn + Duration::from_secs(1), &house.stop).await);
        assert!(turn.elapsed() < Duration::from_secs(3), "a turn took {:?}", turn.elapsed());
    }
    let asked = soon("counting", asked).await.unwrap();
    // What comes within a moment is one try: a put, and a look whether it happened.
    let tries = 1 + asked.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_millis(200)).count();
    assert!((3..=6).contains(&tries), "{tries} tries: {asked:?}");
    house.open_store().await;
    assert!(orphans.upload(Instant::now() + SOON, &house.stop).await);
    assert_eq!(house.shop.desk.store.get(Bucket::Media, &key, 1 << 20).await.unwrap().0, bytes);
}
