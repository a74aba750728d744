//! Epochs of which nothing lies in the store: those whose all is in the spool of a worker that is gone, and those that
//! captured nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use claim::Phase;
use events::{Body, RoomEnded};
use media::Rendition;
use meeting::{Event as Seen, Loss};
use session::{Reason, Room};
use storage::{Bucket, RecordingPath, ledger, recordings};

use super::house::{House, Player, Recording, about, request, soon};
use crate::clerk::now;
use crate::epoch::close;
use crate::take::Taken;
use crate::wire::Report;

fn plain(_: &mut events::RecordingRequested) {}

/// What the ledger misses when only epoch `there` is in the store.
async fn lost(house: &House, path: &RecordingPath, there: u32) -> Vec<u32> {
    let lost = ledger::lost_of(&house.shop.desk.store, path, &BTreeSet::from([there])).await.unwrap();
    lost.into_iter().map(|entry| entry.epoch).collect()
}

async fn begun(house: &House, path: &RecordingPath) {
    soon("the ledger's entry", async {
        while ledger::open_of(&house.shop.desk.store, path).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// From the first command to a pipeline that is about to play.
async fn start(house: &mut House) -> Player {
    let mut child = house.player().await;
    child.expect(&["join"]).await;
    child.arrive().await;
    child.expect(&["start"]).await;
    child
}

async fn play(child: &mut Player) {
    child.say(Report::Playing { wall: now() }).await;
    child.expect(&["add", "arrange"]).await;
}

/// A worker captures a segment of which nothing reaches the store, and is gone with its node.
async fn recorded_into_a_spool_that_is_gone(house: &mut House) -> Recording {
    let mut first = house.begin(&request("run-1", plain)).await;
    let mut child = start(house).await;
    begun(house, &first.path).await;
    house.close_store().await;
    play(&mut child).await;
    for rendition in [Rendition::video(), Rendition::audio()] {
        let bytes = format!("init of {rendition}").into();
        let init = media::Init { rendition, codec: "avc1.64001f".into(), picture: None, bytes };
        child.say(Report::Init(init)).await;
    }
    child.segment(0).await;
    soon("spooling", async {
        while house.shop.spool.waiting().unwrap().0 < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    first.dies().await;
    house.open_store().await;
    let live = format!("{}live/", first.path.prefix());
    assert!(house.shop.desk.store.list(Bucket::Media, &live).await.unwrap().is_empty());
    first
}

/// The store knows of no segment, and that is no reason to say that there is none.
#[tokio::test]
async fn what_lies_in_a_spool_alone_is_left_to_the_finalizer_when_the_room_is_over() {
    let mut house = House::open().await;
    let first = recorded_into_a_spool_that_is_gone(&mut house).await;
    let other = house.beside();
    let event = request("run-1", plain);
    other.shop.desk.admit(&about(&event, "ended", Body::RoomEnded(RoomEnded { reason: "closed".into() })));
    let (record, etag) = recordings::state(&other.shop.desk.store, &first.path).await.unwrap();
    let taken = other.shop.desk.take_over(&first.path, &record, etag).await;
    let Taken::Over(held, reason) = taken else { panic!("{taken:?}") };
    close(&other.shop, *held, &event.meta, reason).await;
    soon("telling", other.shop.outbox.empty()).await;

    let record = house.record_of(&first.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("room-ended")));
    assert_eq!(house.told().last(), Some(&"epoch.stored"));
    assert_eq!(lost(&house, &first.path, 0).await, [1]);
}

#[tokio::test]
async fn what_lies_in_a_spool_alone_is_left_to_the_finalizer_when_the_next_worker_finds_no_room() {
    let mut house = House::open().await;
    let first = recorded_into_a_spool_that_is_gone(&mut house).await;
    let mut other = house.beside();
    let (record, etag) = recordings::state(&other.shop.desk.store, &first.path).await.unwrap();
    let taken = other.shop.desk.take_over(&first.path, &record, etag).await;
    let Taken::Ours(job) = taken else { panic!("{taken:?}") };
    let mut second = other.record(*job);
    let mut child = other.player().await;
    child.expect(&["join"]).await;
    child.see(Seen::Lost(Loss::Refused("there is no such room".into()))).await;
    child.expect(&["leave", "end"]).await;
    drop(child);
    second.ends().await;
    let record = house.record_of(&first.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some(Reason::Refused.word())));
    assert_eq!(lost(&house, &first.path, 0).await, [1]);
}

/// Before its record says that it is empty, though the store is away when it ends.
#[tokio::test]
async fn an_epoch_that_ends_in_order_with_nothing_tells_the_ledger() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = start(&mut house).await;
    begun(&house, &recording.path).await;
    play(&mut child).await;
    house.told_of("recording.started").await;
    house.close_store().await;
    recording.say(Room::Ended);
    child.finish().await;
    house.open_store().await;
    recording.ends().await;
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Empty);
    assert!(lost(&house, &recording.path, 0).await.is_empty());
}

/// Whoever takes over has no part in it.
#[tokio::test]
async fn an_epoch_that_is_handed_over_with_nothing_tells_the_ledger() {
    let mut house = House::with("limits.hand_over_seconds = 0", false).await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = start(&mut house).await;
    begun(&house, &recording.path).await;
    play(&mut child).await;
    house.stop.cancel();
    child.finish().await;
    recording.ends().await;
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.owner.as_str()), (Phase::Recording, ""));
    assert!(lost(&house, &recording.path, 0).await.is_empty());
}

/// What a media process had captured when it died, or what was in a segment that was never closed, is lost.
#[tokio::test]
async fn an_epoch_that_breaks_before_its_first_segment_is_missed() {
    for parts in [0, 1] {
        let mut house = House::open().await;
        let mut recording = house.begin(&request("run-1", plain)).await;
        let mut child = start(&mut house).await;
        play(&mut child).await;
        if parts > 0 {
            let bytes = "init".into();
            let init = media::Init { rendition: Rendition::video(), codec: "avc1.64001f".into(), picture: None, bytes };
            child.say(Report::Init(init)).await;
            child.part(&Rendition::video(), 0, 0).await;
        }
        drop(child);
        let mut child = house.player().await;
        child.go_live().await;
        child.segment(0).await;
        recording.say(Room::Ended);
        child.finish().await;
        recording.ends().await;
        assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
        assert_eq!(lost(&house, &recording.path, 2).await, [1], "{parts} parts");
    }
}
