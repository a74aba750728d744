//! Which requests become recordings, against a real store.

use claim::Phase;
use events::{Body, RecordingStopped, RoomEnded};
use session::Room;
use storage::{Bucket, Condition, Writer};

use super::house::{House, about, request, soon};
use crate::take::{Desk, Taken};

fn plain(_: &mut events::RecordingRequested) {}

/// Another worker at the same store.
fn neighbour(house: &House) -> Desk {
    Desk {
        tenant: house.shop.desk.tenant.clone(),
        store: house.shop.desk.store.clone(),
        recipients: house.shop.desk.recipients.clone(),
        gate: Default::default(),
        notes: house.shop.desk.notes.clone(),
        shy: Default::default(),
        stop: Default::default(),
    }
}

#[tokio::test]
async fn of_many_workers_one_gets_the_recording() {
    let house = House::open().await;
    let event = request("run-1", plain);
    let desks: Vec<_> = (0..6).map(|_| neighbour(&house)).collect();
    let taken = futures_util::future::join_all(desks.iter().map(|desk| desk.take(&event))).await;
    let ours = taken.iter().filter(|taken| matches!(taken, Taken::Ours(_))).count();
    let dropped = taken.iter().filter(|taken| matches!(taken, Taken::Settle(_))).count();
    assert_eq!((ours, dropped), (1, 5), "{taken:#?}");
}

#[tokio::test]
async fn the_key_lies_in_the_store_before_the_message_is_settled() {
    let house = House::open().await;
    let job = house.take(&request("run-1", plain)).await;
    let key = job.held.path.key(&Writer::Epoch(1));
    assert!(house.shop.desk.store.head(Bucket::Keys, &key).await.is_ok());
    assert_eq!(house.record_of(&job.held.path).await, job.held.record);
}

/// A put whose answer was lost left a key that nobody has the other half of.
#[tokio::test]
async fn an_orphaned_key_is_left_alone_and_the_next_epoch_taken() {
    let house = House::open().await;
    let event = request("run-1", plain);
    let path = neighbour(&house).take(&event).await;
    let Taken::Ours(job) = path else { panic!("{path:?}") };
    let store = &house.shop.desk.store;
    // Only the key is left, as if the record had never been written.
    store.delete(Bucket::Media, &job.held.path.state()).await.unwrap();
    let before = store.get(Bucket::Keys, &job.held.path.key(&Writer::Epoch(1)), 1 << 16).await.unwrap().0;
    let again = house.take(&event).await;
    assert_eq!(again.held.record.epoch, 2);
    let after = store.get(Bucket::Keys, &job.held.path.key(&Writer::Epoch(1)), 1 << 16).await.unwrap().0;
    assert_eq!(before, after);
}

#[tokio::test]
#[rustfmt::skip]
async fn what_is_not_to_be_recorded_is_said_to_be_dropped_or_parked() {
    let house = House::open().await;
    let event = request("run-1", plain);
    let ended = about(&event, "ended", Body::RoomEnded(RoomEnded { reason: "closed".into() }));
    let mut elsewhere = event.clone();
    elsewhere.meta.tenant = events::TenantId::new("other").unwrap();
    let mut old = request("run-0", plain);
    old.meta.time = "2020-01-01T00:00:00Z".into();

    assert!(matches!(house.shop.desk.take(&ended).await,     Taken::Park("not-a-request")));
    assert!(matches!(house.shop.desk.take(&elsewhere).await, Taken::Park("wrong-tenant")));
    assert!(matches!(house.shop.desk.take(&old).await,       Taken::Park("stale")));
    assert!(matches!(house.shop.desk.take(&event).await,     Taken::Ours(_)));
    assert!(matches!(house.shop.desk.take(&event).await,     Taken::Settle("seen before")));
    let again = about(&event, "another id", event.body.clone());
    assert!(matches!(house.shop.desk.take(&again).await,     Taken::Settle("another worker holds it")));
    house.shop.desk.admit(&ended);
    let late = about(&event, "a third id", event.body.clone());
    assert!(matches!(house.shop.desk.take(&late).await,      Taken::Settle("its room is over")));
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for() {
    let mut house = House::open().await;
    house.close_store().await;
    let (shop, event) = (house.shop.clone(), request("run-1", plain));
    let waiting = tokio::spawn(async move { shop.desk.take(&event).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    house.open_store().await;
    assert!(matches!(soon("claiming", waiting).await.unwrap(), Taken::Ours(_)));
}

#[tokio::test]
async fn a_worker_told_to_stop_while_the_store_is_away_gives_the_request_back() {
    let mut house = House::open().await;
    house.close_store().await;
    let (shop, event) = (house.shop.clone(), request("run-1", plain));
    let waiting = tokio::spawn(async move { shop.desk.take(&event).await });
    house.stop.cancel();
    assert!(matches!(soon("giving back", waiting).await.unwrap(), Taken::GiveBack));
}

/// A store whose keys may not be written: nothing of the try remains that could keep a later one from the lecture.
#[tokio::test]
async fn a_request_that_the_store_refuses_is_not_taken_for_done() {
    let house = House::open().await;
    let event = request("run-1", plain);
    let keys = house.folder.path().join("s3").join(house.shop.config.store.keys_bucket.as_str());
    std::fs::rename(&keys, keys.with_extension("away")).unwrap();
    for _ in 0..2 {
        let taken = soon("refusing", house.shop.desk.take(&event)).await;
        assert!(matches!(taken, Taken::Fail(_)), "{taken:?}");
    }
    std::fs::rename(keys.with_extension("away"), &keys).unwrap();
    let elsewhere = soon("claiming", neighbour(&house).take(&event)).await;
    let Taken::Ours(job) = elsewhere else { panic!("{elsewhere:?}") };
    assert_eq!(job.held.record.epoch, 3);
}

#[tokio::test]
async fn a_recording_that_every_worker_was_refused_is_left_to_the_finalizer() {
    let house = House::open().await;
    let event = request("run-1", plain);
    let keys = house.folder.path().join("s3").join(house.shop.config.store.keys_bucket.as_str());
    std::fs::rename(&keys, keys.with_extension("away")).unwrap();
    for _ in 0..claim::TRIES {
        assert!(matches!(neighbour(&house).take(&event).await, Taken::Fail(_)));
    }
    let first = claim::Record::first(&event.meta, asked(&event), String::new(), crate::clerk::now());
    let path = storage::RecordingPath::new(first.tenant.clone(), first.created, first.recording);
    let record = house.record_of(&path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("worker-broken")));
}

fn asked(event: &events::Event) -> &events::RecordingRequested {
    let Body::RecordingRequested(asked) = &event.body else { panic!("not a request") };
    asked
}

/// The room ended between a worker giving up and the next one taking over.
#[tokio::test]
async fn an_offered_recording_whose_room_is_over_is_not_left_open() {
    let house = House::open().await;
    let event = request("run-1", plain);
    let job = house.take(&event).await;
    let store = &house.shop.desk.store;
    let offered = job.held.record.offer(job.held.record.changed).unwrap();
    storage::recordings::swap(store, &job.held.path, &offered, &job.held.etag).await.unwrap();
    let key = job.held.path.segment(1, &media::Rendition::video(), 0);
    let sealed = job.key.seal(b"media".to_vec());
    store.put(Bucket::Media, &key, sealed.bytes().clone(), Condition::None).await.unwrap();

    house.shop.desk.admit(&about(&event, "ended", Body::RoomEnded(RoomEnded { reason: "closed".into() })));
    let again = about(&event, "again", event.body.clone());
    let Taken::Over(held, why) = house.shop.desk.take(&again).await else { panic!("not over") };
    assert_eq!(why, session::Reason::RoomEnded);
    assert_eq!((held.record.phase, held.record.epoch), (Phase::Claimed, 2));
}

#[tokio::test]
async fn only_news_of_this_room_run_and_policy_reach_a_session() {
    let event = request("run-1", plain);
    let stop = |policy: &str| {
        Body::RecordingStopped(RecordingStopped {
            policy: events::PolicyId::new(policy).unwrap(),
            requested_by: "lecturer".into(),
        })
    };
    let ended = Body::RoomEnded(RoomEnded { reason: "closed".into() });
    let policy = &asked(&event).policy;
    let heard = |body: Body| crate::line::about(&event.meta, policy, &about(&event, "x", body));
    assert_eq!(heard(stop("lectures")), Some(Room::StopRequested));
    assert_eq!(heard(stop("seminars")), None);
    assert_eq!(heard(ended.clone()), Some(Room::Ended));
    let elsewhere = about(&request("run-2", plain), "x", ended);
    assert_eq!(crate::line::about(&event.meta, policy, &elsewhere), None);
}
