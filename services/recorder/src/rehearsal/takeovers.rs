//! Who goes on when a media process, a worker or a whole machine does not.

use std::time::{Duration, Instant};

use claim::{Phase, Refused};
use events::{Body, Event};
use media::Rendition;
use meeting::{Event as Seen, Loss};
use session::Room;
use storage::ledger;
use storage::recordings::{self, Found};
use tokio::sync::mpsc;

use super::house::{House, request, soon};
use crate::steward;
use crate::take::Taken;

fn plain(_: &mut events::RecordingRequested) {}

fn epochs_stored(house: &House) -> Vec<(u32, bool)> {
    let stored = |event: &Event| match &event.body {
        Body::EpochStored(stored) => Some((stored.epoch, stored.last)),
        _ => None,
    };
    let mut stored: Vec<_> = house.events().iter().filter_map(stored).collect();
    // Two epochs of one worker end as they may.
    stored.sort_unstable();
    stored
}

/// What this worker's steward finds next.
async fn found(house: &House) -> Found {
    let (tell, mut due) = mpsc::channel(1);
    let shop = house.shop.clone();
    let looking = tokio::spawn(async move { steward::look_after(&shop.desk, &tell).await });
    let found = soon("finding it", due.recv()).await.unwrap();
    looking.abort();
    found
}

#[tokio::test]
async fn a_media_process_that_dies_costs_its_open_segment_and_an_epoch() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    child.part(&Rendition::video(), 1, 0).await;
    let died = Instant::now();
    drop(child);
    let mut child = house.player().await;
    assert!(died.elapsed() < Duration::from_secs(2), "the next one came after {:?}", died.elapsed());
    child.go_live().await;
    child.segment(0).await;
    let record = house.record_of(&recording.path).await;
    assert_eq!(record.epoch, 2);
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;

    for epoch in [1, 2] {
        recording.epoch = epoch;
        assert_eq!(house.journal(&recording).await.entries.len(), 2, "epoch {epoch}");
    }
    assert_eq!(epochs_stored(&house), [(1, false), (2, true)]);
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
    assert!(house.shop.desk.notes.left().is_empty());
    assert!(recordings::open(&house.shop.desk.store, &house.shop.desk.tenant).await.unwrap().is_empty());
}

/// Nothing more came, which is no failure of what there is.
#[tokio::test]
async fn a_room_that_is_gone_when_the_next_epoch_comes_ends_the_recording() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    drop(child);
    let mut child = house.player().await;
    child.expect(&["join"]).await;
    child.see(Seen::Lost(Loss::Refused("there is no such room".into()))).await;
    child.expect(&["leave", "end"]).await;
    drop(child);
    recording.ends().await;
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
    assert_eq!(epochs_stored(&house), [(1, false), (2, true)]);
}

#[tokio::test]
async fn media_processes_that_all_die_at_once_end_the_recording_after_some_tries() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let begun = Instant::now();
    for _ in 0..claim::TRIES {
        let mut child = house.player().await;
        child.expect(&["join"]).await;
        child.arrive().await;
        child.expect(&["start"]).await;
        drop(child);
    }
    recording.ends().await;
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.epoch), (Phase::Ended, claim::TRIES));
    // It never came to capture, and each epoch has said so: the finalizer knows that nothing is missing.
    assert_eq!(ledger::open_of(&house.shop.desk.store, &recording.path).await.unwrap(), []);
    // One second more before each: what is wrong may pass.
    assert!(begun.elapsed() >= Duration::from_secs(1 + 2 + 3), "{:?}", begun.elapsed());
    assert_eq!(epochs_stored(&house), [(claim::TRIES, true)]);
}

#[tokio::test]
async fn a_worker_that_cannot_start_media_leaves_the_recording_to_others_until_all_have_tried() {
    let house = House::with("", true).await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    recording.ends().await;
    // Its own steward is shy of it now.
    let offered = recordings::open(&house.shop.desk.store, &house.shop.desk.tenant).await.unwrap();
    assert_eq!(offered[0].1.owner, "");
    let (tell, mut due) = mpsc::channel(1);
    let looking = steward::look_after(&house.shop.desk, &tell);
    assert!(tokio::time::timeout(Duration::from_secs(3), looking).await.is_err());
    assert!(due.try_recv().is_err());

    for epoch in 2..=claim::TRIES {
        let (path, record, etag) =
            recordings::open(&house.shop.desk.store, &house.shop.desk.tenant).await.unwrap().remove(0);
        let taken = house.shop.desk.take_over(&path, &record, etag).await;
        let Taken::Ours(job) = taken else { panic!("{taken:?}") };
        assert_eq!(job.held.record.epoch, epoch);
        house.record(*job).ends().await;
    }
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("worker-broken")));
    assert_eq!(epochs_stored(&house), [(claim::TRIES, true)]);
}

/// Its worker is gone, and nobody says so.
#[tokio::test]
async fn a_recording_whose_holder_has_fallen_silent_is_taken_over() {
    let mut house = House::open().await;
    let mut first = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    house.told_of("recording.started").await;
    soon("its first segment", async {
        while house.record_of(&first.path).await.idle > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    first.dies().await;
    drop(child);

    let silent = Instant::now();
    let (path, record, etag) = found(&house).await;
    let waited = silent.elapsed();
    assert!(waited >= claim::PATIENCE && waited < claim::PATIENCE + Duration::from_secs(4), "{waited:?}");
    assert_eq!((&path, record.epoch), (&first.path, 1));
    let taken = house.shop.desk.take_over(&path, &record, etag.clone()).await;
    let Taken::Ours(job) = taken else { panic!("{taken:?}") };
    assert!(job.held.earlier());
    // Of two stewards one wins.
    assert!(matches!(house.shop.desk.take_over(&path, &record, etag).await, Taken::Settle("another worker holds it")));
    let mut second = house.record(*job);
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    second.say(Room::Ended);
    child.finish().await;
    second.ends().await;
    assert_eq!(house.record_of(&path).await.phase, Phase::Ended);
    assert_eq!(house.journal(&second).await.entries.len(), 2);
}

#[tokio::test]
async fn a_holder_that_lives_is_never_taken_for_dead() {
    let mut house = House::open().await;
    let _recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    let (tell, mut due) = mpsc::channel(1);
    let looking = steward::look_after(&house.shop.desk, &tell);
    let long = claim::PATIENCE + Duration::from_secs(4);
    assert!(tokio::time::timeout(long, looking).await.is_err());
    assert!(due.try_recv().is_err(), "taken for dead");
}

#[tokio::test]
async fn a_restarted_worker_takes_up_its_own_recording_at_once() {
    let mut house = House::open().await;
    let mut first = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    first.dies().await;
    drop(child);
    let restarted = Instant::now();
    let left = steward::left_behind(&house.shop.desk).await;
    let [(path, record, etag)] = left.as_slice() else { panic!("{left:?}") };
    let taken = house.shop.desk.take_over(path, record, etag.clone()).await;
    assert!(matches!(taken, Taken::Ours(_)), "{taken:?}");
    assert!(restarted.elapsed() < Duration::from_secs(2), "{:?}", restarted.elapsed());
    // Taken over by somebody else meanwhile, it is not this worker's any more.
    let (record, etag) = recordings::state(&house.shop.desk.store, path).await.unwrap();
    let theirs = record.take_over("another".into(), record.changed).unwrap();
    recordings::swap(&house.shop.desk.store, path, &theirs, &etag).await.unwrap();
    assert!(steward::left_behind(&house.shop.desk).await.is_empty());
}

/// Whoever wakes up after somebody else has gone on stores what it has under its own epoch, and says nothing.
#[tokio::test]
async fn a_holder_that_was_taken_for_dead_leaves_and_announces_nothing() {
    let mut house = House::open().await;
    let mut first = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    house.told_of("recording.started").await;
    let taken = soon("taking over", async {
        loop {
            let (record, etag) = recordings::state(&house.shop.desk.store, &first.path).await.unwrap();
            let taken = house.shop.desk.take_over(&first.path, &record, etag).await;
            if let Taken::Ours(job) = taken {
                break job;
            }
        }
    })
    .await;
    child.expect(&["leave", "drain"]).await;
    child.segment(1).await;
    child.say(crate::wire::Report::Drained).await;
    child.expect(&["end"]).await;
    drop(child);
    first.ends().await;
    assert_eq!(house.journal(&first).await.entries.len(), 4);
    assert_eq!(house.record_of(&first.path).await, taken.held.record);
    assert_eq!(house.told(), ["recorder.joined", "recording.started", "epoch.stored"]);
    assert_eq!(epochs_stored(&house), [(1, false)]);
}

#[tokio::test]
async fn a_worker_told_to_stop_leaves_when_its_successor_has_stored_a_segment() {
    let mut house = House::with("limits.hand_over_seconds = 60", false).await;
    let mut first = house.begin(&request("run-1", plain)).await;
    let mut old = house.player().await;
    old.go_live().await;
    old.segment(0).await;
    house.told_of("recording.started").await;
    // Another worker, for the one that stops takes nothing.
    let mut other = house.beside();
    house.stop.cancel();
    let (path, record, etag) = found(&other).await;
    assert_eq!(record.owner, "");
    let Taken::Ours(job) = other.shop.desk.take_over(&path, &record, etag).await else { panic!("not taken") };
    let mut second = other.record(*job);
    let mut new = other.player().await;
    new.go_live().await;
    // Both record.
    old.segment(1).await;
    assert_eq!(house.record_of(&path).await.epoch, 2);
    new.segment(0).await;
    old.finish().await;
    first.ends().await;
    assert_eq!(house.journal(&first).await.entries.len(), 4);
    assert_eq!(house.record_of(&path).await.phase, Phase::Recording);
    second.say(Room::Ended);
    new.finish().await;
    second.ends().await;
    assert_eq!(house.record_of(&path).await.phase, Phase::Ended);
    assert_eq!(epochs_stored(&house), [(1, false), (2, true)]);
}

#[tokio::test]
async fn a_worker_told_to_stop_that_nobody_relieves_stores_what_it_has_and_leaves_it_open() {
    let mut house = House::with("limits.hand_over_seconds = 0", false).await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    house.stop.cancel();
    child.finish().await;
    recording.ends().await;
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.owner.as_str()), (Phase::Recording, ""));
    assert_eq!(epochs_stored(&house), [(1, false)]);
    assert_eq!(record.offer(record.changed).map(drop), Ok::<_, Refused>(()));
}

/// The lecture ends before anybody has come: then it is over, and not for others to find out.
#[tokio::test]
async fn a_room_that_ends_while_nobody_has_taken_over_ends_the_recording() {
    let mut house = House::with("limits.hand_over_seconds = 60", false).await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    house.stop.cancel();
    soon("the offer", async {
        while !house.record_of(&recording.path).await.owner.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("room-ended")));
    assert_eq!(epochs_stored(&house), [(1, true)]);
}

/// As a host's word counts without a hand-over: nobody else is sent into the room.
#[tokio::test]
async fn a_recorder_that_is_kicked_while_nobody_has_taken_over_ends_the_recording() {
    let mut house = House::with("limits.hand_over_seconds = 60", false).await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    house.stop.cancel();
    soon("the offer", async {
        while !house.record_of(&recording.path).await.owner.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    child.see(Seen::Removed).await;
    child.finish().await;
    recording.ends().await;
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("removed")));
    assert_eq!(epochs_stored(&house), [(1, true)]);
}

#[tokio::test]
async fn a_worker_told_to_stop_in_the_lobby_offers_the_recording() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.expect(&["join"]).await;
    child.see(Seen::Joined { title: None }).await;
    house.told_of("recorder.joined").await;
    house.stop.cancel();
    child.expect(&["leave", "end"]).await;
    drop(child);
    recording.ends().await;
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.owner.as_str()), (Phase::Claimed, ""));
    assert_eq!(house.told(), ["recorder.joined"]);
}
