//! A spool that fills, and a disk that fails: what is kept, what is said, and how a recording ends then.

use std::time::Duration;

use claim::Phase;
use media::{MediaTime, Rendition};
use session::Room;
use storage::spool::{Bound, Level};
use storage::{Bucket, SealKey, Writer};

use super::house::{House, Recording, request, soon};

/// What the spool may hold in these tests; the segments here are a few hundred bytes.
const ROOM: u64 = 1 << 20;

/// A live recording in a house whose spool is `hundredths` full with what another recording left.
async fn filled(hundredths: u64) -> (House, Recording, super::house::Player) {
    let bound = Bound { own: Some(ROOM), reserve: 0 };
    let mut house = House::within("", false, bound).await;
    let recording = house.begin(&request("run-1", |_| {})).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    stored(&house, &recording, 0).await;
    emptied(&house, 0).await;
    let (store, to) = (&house.shop.desk.store, &house.shop.desk.recipients);
    let key = SealKey::create(store, &recording.path, &Writer::Epoch(99), to).await.unwrap();
    let sealed = key.seal(vec![7_u8; usize::try_from(ROOM * hundredths / 100).unwrap()]);
    house.shop.spool.add("v1/another/recording.age", &sealed).unwrap();
    (house, recording, child)
}

/// Both renditions of a segment, init sections and all, lie in the store.
async fn stored(house: &House, recording: &Recording, segment: u64) {
    let renditions = [Rendition::video(), Rendition::audio()];
    let keys = renditions.iter().flat_map(|r| [recording.path.init(1, r), recording.path.segment(1, r, segment)]);
    soon("storing", async {
        for key in keys {
            while house.shop.desk.store.head(Bucket::Media, &key).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    })
    .await;
}

async fn emptied(house: &House, files: usize) {
    waiting(house, files, |found, wanted| found <= wanted).await;
}

async fn waiting(house: &House, files: usize, enough: impl Fn(usize, usize) -> bool) {
    soon("the spool", async {
        while !enough(house.shop.spool.waiting().unwrap().0, files) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn spooled(house: &House, word: &str) -> usize {
    let ready = std::fs::read_dir(house.folder.path().join("spool/ready")).unwrap();
    ready.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains(word)).count()
}

fn numbers(journal: &storage::Journal, rendition: &Rendition) -> Vec<u64> {
    journal.entries.iter().filter(|entry| entry.rendition == *rendition).map(|entry| entry.number).collect()
}

#[tokio::test]
async fn a_spool_that_is_low_takes_no_new_recordings_and_keeps_all_of_the_old() {
    let (house, mut recording, mut child) = filled(82).await;
    assert_eq!(house.shop.spool.level(), Level::Low);
    assert!(!house.shop.spool.level().takes_new());
    child.segment(1).await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;
    let journal = house.journal(&recording).await;
    assert_eq!((journal.entries.len(), journal.gaps.len()), (4, 0));
}

/// With the store away, pictures become a gap that is named; with the store there, they pass the spool by.
#[tokio::test]
async fn a_spool_that_is_nearly_full_keeps_sound_and_gives_each_picture_one_chance() {
    let (mut house, mut recording, mut child) = filled(96).await;
    house.close_store().await;
    child.segment(1).await;
    waiting(&house, 2, |found, wanted| found >= wanted).await;
    child.segment(2).await;
    waiting(&house, 3, |found, wanted| found >= wanted).await;
    assert_eq!((spooled(&house, "audio"), spooled(&house, "video")), (2, 0));
    house.open_store().await;
    emptied(&house, 1).await;
    child.segment(3).await;
    stored(&house, &recording, 3).await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;

    let journal = house.journal(&recording).await;
    assert_eq!(numbers(&journal, &Rendition::audio()), [0, 1, 2, 3]);
    assert_eq!(numbers(&journal, &Rendition::video()), [0, 3]);
    let mut gaps: Vec<_> = journal.gaps.iter().map(|gap| (gap.from, gap.to, gap.why.as_str())).collect();
    gaps.sort_unstable();
    let at = |segment: u64| MediaTime(segment * 3_200_000_000);
    let why = "no room in the spool: audio alone was kept";
    assert_eq!(gaps, [(at(1), at(2), why), (at(2), at(3), why)]);
    assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
    assert_eq!(spooled(&house, "another"), 1, "what is not uploaded was removed");
}

/// The store is away all the while: what was recorded to the last is in the spool, and in the store once that is back.
#[tokio::test]
async fn a_full_spool_ends_the_recording_while_there_is_room_for_its_end() {
    let (mut house, mut recording, mut child) = filled(98).await;
    house.close_store().await;
    child.segment(1).await;
    child.expect(&["leave", "drain"]).await;
    // The pipeline closes what it has begun.
    child.segment(2).await;
    child.say(crate::wire::Report::Drained).await;
    waiting(&house, 3, |found, wanted| found >= wanted).await;
    house.open_store().await;
    child.expect(&["end"]).await;
    drop(child);
    recording.ends().await;

    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.reason.as_deref()), (Phase::Ended, Some("disk-full")));
    assert_eq!(house.told().last(), Some(&"epoch.stored"));
    let journal = house.journal(&recording).await;
    assert_eq!(numbers(&journal, &Rendition::audio()), [0, 1, 2]);
    // Each picture has its receipt or its gap, and the end says that it is none.
    let (cut, pictures): (Vec<_>, Vec<_>) = journal.gaps.iter().partition(|gap| gap.from == gap.to);
    assert_eq!(numbers(&journal, &Rendition::video()).len() + pictures.len(), 3);
    let end = MediaTime(3 * 3_200_000_000);
    assert!(matches!(&cut[..], [gap] if gap.from == end && gap.why.contains("recorded no further")), "{cut:?}");
    assert_eq!(house.shop.spool.waiting().unwrap().0, 1);
}

/// Both of its folders are gone: nothing can be written, and nothing is lost.
#[tokio::test]
async fn a_disk_that_takes_nothing_costs_nothing_while_the_store_is_there() {
    let mut house = House::open().await;
    let mut recording = house.begin(&request("run-1", |_| {})).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    stored(&house, &recording, 0).await;
    emptied(&house, 0).await;
    for folder in ["tmp", "ready"] {
        let folder = house.folder.path().join("spool").join(folder);
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, b"no folder").unwrap();
    }
    child.segment(1).await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;
    let journal = house.journal(&recording).await;
    assert_eq!((journal.entries.len(), journal.gaps.len()), (4, 0));
}

/// An outage heaps up hundreds of objects. All of them asking all the time would be a second outage.
#[tokio::test]
async fn a_store_that_is_away_is_asked_now_and_then_however_much_waits() {
    let mut house = House::open().await;
    let recording = house.begin(&request("run-1", |_| {})).await;
    let mut child = house.player().await;
    child.go_live().await;
    emptied(&house, 0).await;
    house.close_store().await;
    let listener = tokio::net::TcpListener::bind(house.address).await.unwrap();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    let refusing = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    for number in 0..60 {
        child.segment(number).await;
    }
    waiting(&house, 120, |found, wanted| found >= wanted).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let asked = asked.load(std::sync::atomic::Ordering::SeqCst);
    // Four at once, each a put and a look whether it happened, in a few rounds of growing pauses.
    assert!((1..=80).contains(&asked), "asked {asked} times");
    refusing.abort();
    drop(recording);
}
