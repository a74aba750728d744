//! From a request to what lies in the store, and everything that can come between.

use std::time::Duration;

use claim::Phase;
use events::Body;
use media::Rendition;
use meeting::{Event as Seen, Loss};
use session::Room;
use storage::{Bucket, Description};

use super::house::{House, Player, content, request, soon};
use crate::wire::{Command, Report};

fn plain(_: &mut events::RecordingRequested) {}

fn failure(house: &House) -> (String, bool) {
    let events = house.events();
    let failed = events.iter().find_map(|event| match &event.body {
        Body::RecordingFailed(failed) => Some((failed.reason.clone(), failed.retryable)),
        _ => None,
    });
    failed.unwrap_or_else(|| panic!("nothing failed: {:?}", house.told()))
}

#[tokio::test]
async fn a_recording_lies_sealed_in_the_store_with_all_that_was_seen() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    for number in 0..3 {
        child.segment(number).await;
    }
    recording.say(Room::StopRequested);
    child.expect(&["leave", "drain"]).await;
    child.segment(3).await;
    child.say(Report::Drained).await;
    child.expect(&["end"]).await;
    drop(child);
    recording.ends().await;

    assert_eq!(house.told(), ["recorder.joined", "recording.started", "epoch.stored"]);
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.epoch, record.reason), (Phase::Ended, 1, None));
    let journal = house.journal(&recording).await;
    let order = journal.entries.iter().map(|e| (e.rendition.as_str().to_owned(), e.number)).collect::<Vec<_>>();
    let expected = ["audio", "video"].map(|r| (0..4).map(move |n| (r.to_owned(), n))).into_iter().flatten();
    assert_eq!(order, expected.collect::<Vec<_>>());
    for entry in &journal.entries {
        let whole: String = (0..2).map(|index| content(&entry.rendition, entry.number, index)).collect();
        assert_eq!(String::from_utf8(house.read(&recording, &entry.key).await).unwrap(), whole);
        let head = house.shop.desk.store.head(Bucket::Media, &entry.key).await.unwrap();
        assert_eq!(head.size, entry.size);
        assert_eq!((entry.begins.0, entry.lasts.as_millis()), (entry.number * 3_200_000_000, 3200));
    }
    assert_eq!(journal.renditions.len(), 2);
    let begun = storage::ledger::open(&house.shop.desk.store, None).await.unwrap();
    assert_eq!(
        begun.iter().map(|entry| (entry.path.recording, entry.epoch)).collect::<Vec<_>>(),
        [(journal.recording, 1)]
    );
    assert_eq!(journal.closed.values().sum::<u64>(), journal.entries.len() as u64);
    for rendition in &journal.renditions {
        let init = house.read(&recording, &rendition.init_key).await;
        let (init, stamp) = init.split_at(init.len() - 32);
        assert_eq!(String::from_utf8(init.to_vec()).unwrap(), format!("init of {}", rendition.rendition));
        assert_eq!(storage::clock::zero(stamp), Some(journal.began));
    }
    let told = house.read(&recording, &recording.path.description(1)).await;
    let told: Description = serde_json::from_slice(&told).unwrap();
    assert_eq!((told.title.as_deref(), told.participants[0].name.as_str()), (Some("Algebra I"), "Kari Nordmann"));
    assert_eq!((told.consent.sign.as_str(), told.consent.requested_by.as_str()), ("recording", "policy"));
    assert_eq!(house.shop.spool.waiting().unwrap(), (0, 0));

    let log = house.read(&recording, &format!("{}meta/0001/inputs.jsonl.age", recording.path.prefix())).await;
    let mut replayed = Vec::new();
    crate::replay(&log[..], &mut replayed).unwrap();
    let replayed = String::from_utf8(replayed).unwrap();
    for went in ["joining -> lobby", "lobby -> starting", "starting -> live", "live -> draining", "draining -> storing"]
    {
        assert!(replayed.contains(went), "{went} is not in\n{replayed}");
    }
    for secret in ["Kari Nordmann", "Algebra I", "<video 0.0>", "AGE-SECRET-KEY"] {
        assert_eq!(house.lies_about(secret), Vec::<std::path::PathBuf>::new(), "{secret} lies about");
    }
}

#[tokio::test]
async fn the_title_of_a_live_recording_is_known_before_its_end() {
    let mut house = House::open().await;
    let recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    let key = recording.path.description(1);
    soon("the early description", async {
        while house.shop.desk.store.head(Bucket::Media, &key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let told: Description = serde_json::from_slice(&house.read(&recording, &key).await).unwrap();
    assert_eq!(told.title.as_deref(), Some("Algebra I"));
}

#[tokio::test]
async fn a_recorder_that_is_kicked_keeps_what_it_has_and_does_not_come_back() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    child.see(Seen::Removed).await;
    child.finish().await;
    recording.ends().await;
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("removed")));
    assert_eq!(house.journal(&recording).await.entries.len(), 2);
    assert_eq!(house.told().last(), Some(&"epoch.stored"));
    assert!(house.players.try_recv().is_err(), "it came back");
}

#[tokio::test]
async fn a_room_that_refuses_fails_its_recording_and_no_other() {
    let mut house = House::open().await;
    let mut refused = house.begin(&request("run-1", plain)).await;
    let mut first = house.player().await;
    let mut other = house.begin(&request("run-2", plain)).await;
    let mut second = house.player().await;
    second.go_live().await;
    first.expect(&["join"]).await;
    first.see(Seen::Lost(Loss::Refused("there is no such room".into()))).await;
    first.expect(&["leave", "end"]).await;
    drop(first);
    refused.ends().await;
    assert_eq!(failure(&house), ("refused".into(), false));
    let record = house.record_of(&refused.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Failed, Some("refused")));

    second.segment(0).await;
    other.say(Room::Ended);
    second.finish().await;
    other.ends().await;
    assert_eq!(house.record_of(&other.path).await.phase, Phase::Ended);
}

#[tokio::test]
async fn a_room_where_nobody_sends_ends_empty() {
    let mut house = House::with("limits.lobby_seconds = 0", false).await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.expect(&["join"]).await;
    child.see(Seen::Joined { title: None }).await;
    child.expect(&["leave", "end"]).await;
    drop(child);
    recording.ends().await;
    assert_eq!(failure(&house), ("empty".into(), false));
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Empty);
}

#[tokio::test]
async fn an_unknown_meeting_server_fails_the_recording() {
    let house = House::open().await;
    let mut event = request("run-1", plain);
    event.meta.instance = "elsewhere".into();
    let mut recording = house.begin(&event).await;
    recording.ends().await;
    assert_eq!(failure(&house), ("unknown-instance".into(), true));
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Failed);
}

#[tokio::test]
async fn a_media_process_that_dies_on_the_way_in_is_replaced() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.expect(&["join"]).await;
    drop(child);
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
}

#[tokio::test]
async fn a_lost_room_is_joined_again_and_the_gap_is_noted() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    child.see(Seen::Lost(Loss::Unreachable("the connection broke".into()))).await;
    child.expect(&["drop", "arrange", "join"]).await;
    child.arrive().await;
    child.expect(&["add", "arrange"]).await;
    child.segment(1).await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;
    let journal = house.journal(&recording).await;
    assert_eq!((journal.entries.len(), journal.gaps.len()), (4, 1));
    let told = house.read(&recording, &recording.path.description(1)).await;
    let told: Description = serde_json::from_slice(&told).unwrap();
    assert_eq!(told.participants.len(), 2, "here before and after");
}

/// A server that was restarted has its room again a moment later.
#[tokio::test]
async fn a_room_that_its_server_does_not_know_yet_is_asked_for_again() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    child.see(Seen::Lost(Loss::Unreachable("the connection broke".into()))).await;
    child.expect(&["drop", "arrange", "join"]).await;
    child.see(Seen::Lost(Loss::Refused("there is no such room".into()))).await;
    child.expect(&["join"]).await;
    child.arrive().await;
    child.expect(&["add", "arrange"]).await;
    child.segment(1).await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;
    let journal = house.journal(&recording).await;
    assert_eq!((journal.entries.len(), journal.gaps.len()), (4, 1));
    assert_eq!(house.record_of(&recording.path).await.reason, None);
}

/// What an earlier attempt saw must not be taken for what the next one sees: the sign of the next is not set yet.
#[tokio::test]
async fn nothing_of_an_earlier_attempt_is_believed() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.expect(&["join"]).await;
    child.see(Seen::Lost(Loss::Unreachable("no answer".into()))).await;
    let Some(Command::Join { number, .. }) = child.next().await else { panic!("not joined again") };
    assert_eq!(number, 2);
    child.arrive().await; // Still as the first attempt.
    child.join = number;
    child.see(Seen::Lost(Loss::Refused("there is no such room".into()))).await;
    // No "start" in between: nobody was heard of.
    child.expect(&["leave", "end"]).await;
    drop(child);
    recording.ends().await;
    assert_eq!(house.told(), ["recording.failed"]);
}

#[tokio::test]
async fn a_store_that_is_away_costs_nothing_but_time() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    house.close_store().await;
    child.segment(1).await;
    child.segment(2).await;
    recording.say(Room::Ended);
    child.expect(&["leave", "drain"]).await;
    child.say(Report::Drained).await;
    soon("spooling", async {
        while house.shop.spool.waiting().unwrap().0 < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(house.lies_about("<video"), Vec::<std::path::PathBuf>::new());
    house.open_store().await;
    child.expect(&["end"]).await;
    drop(child);
    recording.ends().await;
    assert_eq!(house.journal(&recording).await.entries.len(), 6);
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
    assert_eq!(house.shop.spool.waiting().unwrap().0, 0);
}

/// Three spooled files go bad while the store is away: the recording ends all the same, and says what is not in it.
#[tokio::test]
async fn what_the_disk_spoils_is_a_gap_that_holds_up_nothing() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", plain)).await;
    let mut child = house.player().await;
    child.go_live().await;
    house.close_store().await;
    child.segment(0).await;
    child.segment(1).await;
    let ready = house.folder.path().join("spool/ready");
    let mut spoilt = std::collections::BTreeSet::new();
    soon("spooling", async {
        while spoilt.is_empty() {
            let segments: Vec<_> = std::fs::read_dir(&ready).unwrap().map(|entry| entry.unwrap().path()).collect();
            if segments.len() >= 4 {
                // Two may be init sections.
                spoilt.extend(segments.into_iter().take(3));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    std::fs::remove_file(spoilt.pop_first().unwrap()).unwrap();
    for cut in spoilt {
        let bytes = std::fs::read(&cut).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    }
    recording.say(Room::Ended);
    child.expect(&["leave", "drain"]).await;
    child.say(Report::Drained).await;
    house.open_store().await;
    child.expect(&["end"]).await;
    drop(child);
    recording.ends().await;
    let journal = house.journal(&recording).await;
    let kept = journal.entries.len() + journal.renditions.len();
    // An init section is made anew, a segment cannot be.
    assert_eq!(journal.renditions.len(), 2);
    assert_eq!(kept + journal.gaps.len(), 6);
    assert!(!journal.gaps.is_empty());
    assert!(journal.gaps.iter().all(|gap| gap.why == "lost in the spool"));
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
}

#[tokio::test]
async fn a_media_process_that_talks_nonsense_is_ended_and_its_segments_kept() {
    let nonsense: [fn(&mut Player) -> Report; 2] = [
        |_| {
            Report::Closed(media::SegmentClosed {
                rendition: Rendition::video(),
                segment: 9,
                begins: media::MediaTime(0),
                lasts: Duration::ZERO,
                wall: media::WallTime(0),
            })
        },
        |_| {
            Report::Init(media::Init {
                rendition: Rendition::video(),
                codec: String::new(),
                picture: None,
                bytes: bytes::Bytes::new(),
            })
        },
    ];
    for (run, odd) in nonsense.into_iter().enumerate() {
        let mut house = House::open().await;
        let mut recording = house.begin(&request(&format!("run-{run}"), plain)).await;
        let mut child = house.player().await;
        child.go_live().await;
        child.segment(0).await;
        let report = odd(&mut child);
        child.say(report).await;
        child.expect(&["end"]).await;
        drop(child);
        // The next one may be sane.
        let mut child = house.player().await;
        child.expect(&["join"]).await;
        recording.say(Room::Ended);
        child.expect(&["leave", "end"]).await;
        drop(child);
        recording.ends().await;
        assert_eq!(house.journal(&recording).await.entries.len(), 2);
    }
}
