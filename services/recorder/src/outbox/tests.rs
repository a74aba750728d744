//! Events that wait: over kills, full folders, spoilt files and brokers that refuse.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use broker::Error;
use events::{
    Body, EpochStored, Meta, PolicyId, RecorderJoined, RecordingId, RecordingStarted, RoomId, SessionId, TenantId,
};
use futures_util::future::BoxFuture;

use super::*;

fn event(n: u64, body: fn(RecordingId) -> Body) -> Event {
    let (tenant, session) = (TenantId::new("uni").unwrap(), SessionId::new("s1").unwrap());
    let recording = RecordingId::derive(&tenant, &session, &PolicyId::new("lectures").unwrap());
    let meta = Meta {
        id: format!("e{n}"),
        platform: events::Platform::Janus,
        instance: "hall".into(),
        tenant,
        room: RoomId::new("1234").unwrap(),
        session,
        time: "2026-11-22T09:15:00Z".into(),
    };
    Event { meta, body: body(recording) }
}

fn news(recording: RecordingId) -> Body {
    Body::RecordingStarted(RecordingStarted { recording, epoch: 1 })
}

fn stored(recording: RecordingId) -> Body {
    Body::EpochStored(EpochStored { recording, epoch: 1, last: true, language: "nb".into() })
}

fn back(recording: RecordingId) -> Body {
    Body::RecorderJoined(RecorderJoined { recording, epoch: 1, attempt: 1 })
}

/// A broker that is away for so many tries, and remembers what it took. With `lossy`, it takes every other event and
/// loses its answer.
#[derive(Default)]
struct Post {
    away: Mutex<u32>,
    lossy: bool,
    told: Mutex<Vec<Event>>,
}

impl Herald for Post {
    fn tell<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut away = self.away.lock().unwrap();
            if *away > 0 {
                *away -= 1;
                return Err(Error::Unreachable { at: "nowhere".into(), source: None });
            }
            let mut told = self.told.lock().unwrap();
            let again = told.iter().any(|known| known.meta.id == event.meta.id);
            told.push(event.clone());
            match self.lossy && !again {
                true => Err(Error::Unconfirmed { kind: "an event" }),
                false => Ok(()),
            }
        })
    }
}

impl Post {
    fn ids(&self) -> Vec<String> {
        self.told.lock().unwrap().iter().map(|event| event.meta.id.clone()).collect()
    }
}

async fn drained(outbox: &Outbox, post: &Post) {
    let stop = CancellationToken::new();
    let drain = outbox.drain(post, &stop);
    let empty = tokio::time::timeout(Duration::from_secs(60), outbox.empty());
    tokio::select! {
        () = drain => panic!("it ended by itself"),
        empty = empty => empty.expect("it did not drain"),
    }
}

fn ids(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("e{n}")).collect()
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
}

#[tokio::test]
async fn what_was_put_and_not_told_goes_out_after_a_restart_in_order_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    for n in 0..12 {
        assert_eq!(outbox.put(&event(n, news)), Ticket::Disk);
    }
    drop(outbox);
    let outbox = Outbox::open(folder.path()).unwrap();
    assert_eq!(outbox.pending(), 12);
    for n in 12..15 {
        outbox.put(&event(n, stored));
    }
    let post = Post::default();
    drained(&outbox, &post).await;
    let wanted = (0..12).map(|n| event(n, news)).chain((12..15).map(|n| event(n, stored)));
    assert_eq!(*post.told.lock().unwrap(), wanted.collect::<Vec<_>>());
    assert_eq!((outbox.pending(), files(folder.path())), (0, 0));
}

/// Plays both roles: started anew with a folder, it is the process that is killed.
#[tokio::test]
async fn what_put_has_answered_for_survives_kill_9() {
    const FOLDER: &str = "LECTERN_TEST_OUTBOX";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let outbox = Outbox::open(Path::new(&folder)).unwrap();
        for n in 0.. {
            assert_eq!(outbox.put(&event(n, stored)), Ticket::Disk);
            println!("\nput {n}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "outbox::tests::what_put_has_answered_for_survives_kill_9", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut promised = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while promised < 50 {
        let line = lines.next().expect("it goes on until it is killed").unwrap();
        if let Some(n) = line.strip_prefix("put ") {
            promised = n.parse::<u64>().unwrap() + 1;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        if let Some(n) = line.strip_prefix("put ").and_then(|n| n.parse::<u64>().ok()) {
            promised = n + 1;
        }
    }
    let outbox = Outbox::open(folder.path()).unwrap();
    let post = Post::default();
    drained(&outbox, &post).await;
    let told = post.ids();
    assert!(u64::try_from(told.len()).unwrap() >= promised, "{} of {promised}", told.len());
    assert_eq!(told, ids(0..u64::try_from(told.len()).unwrap()));
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for_and_then_gets_all_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    for n in 0..30 {
        outbox.put(&event(n, back));
    }
    let post = Post { away: Mutex::new(4), ..Post::default() };
    let since = Instant::now();
    drained(&outbox, &post).await;
    assert_eq!(post.ids(), ids(0..30));
    // 0.2, 0.4, 0.8 and 1.6 s, or half of it.
    assert!(since.elapsed() >= Duration::from_millis(1500), "{:?}", since.elapsed());
}

#[test]
fn pauses_double_to_a_limit_and_are_never_nothing() {
    let pauses: Vec<_> = (1..40).map(pause).collect();
    assert!(pauses[0] >= SOONEST / 2 && pauses[0] <= SOONEST, "{:?}", pauses[0]);
    assert!(pauses[3] >= SOONEST * 4 && pauses[3] <= SOONEST * 8, "{:?}", pauses[3]);
    assert!(pauses[20..].iter().all(|pause| (LATEST / 2..=LATEST).contains(pause)));
    assert!(pauses[20..].iter().any(|pause| *pause != pauses[20]), "they are not all alike");
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_a_repeat_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    for n in 0..4 {
        outbox.put(&event(n, news));
    }
    let post = Post { lossy: true, ..Post::default() };
    drained(&outbox, &post).await;
    assert_eq!(post.ids(), ["e0", "e0", "e1", "e1", "e2", "e2", "e3", "e3"]);
}

#[tokio::test]
async fn a_torn_file_is_set_aside_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    for n in 0..5 {
        outbox.put(&event(n, news));
    }
    drop(outbox);
    let mut paths: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let text = fs::read(&paths[0]).unwrap();
    fs::write(&paths[0], &text[..text.len() / 2]).unwrap();
    fs::write(&paths[2], "").unwrap();
    fs::remove_file(&paths[3]).unwrap();
    std::os::unix::fs::symlink(&paths[1], &paths[3]).unwrap();
    fs::write(folder.path().join("tmp").join(name_of(9, "epoch.stored")), &text[..9]).unwrap();
    fs::write(folder.path().join("notes.txt"), "somebody's").unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    assert_eq!(outbox.pending(), 5);
    let post = Post::default();
    drained(&outbox, &post).await;
    assert_eq!(post.ids(), ["e1", "e4"]);
    assert_eq!(fs::read_dir(folder.path().join("torn")).unwrap().count(), 3);
    assert_eq!(files(&folder.path().join("tmp")), 0);
}

#[tokio::test]
async fn past_the_bound_the_oldest_news_makes_room_and_what_is_acted_on_never_does() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::with_room_for(folder.path(), 6).unwrap();
    for n in 0..20 {
        outbox.put(&event(n, if n % 4 == 0 { stored } else { news }));
    }
    assert_eq!((outbox.pending(), files(folder.path())), (6, 6));
    drop(outbox);
    let outbox = Outbox::with_room_for(folder.path(), 6).unwrap();
    let post = Post::default();
    drained(&outbox, &post).await;
    assert_eq!(post.ids(), ["e0", "e4", "e8", "e12", "e16", "e19"]);
}

/// As a full disk or a dead one does.
#[tokio::test]
async fn what_the_disk_refuses_waits_in_memory_and_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    let tmp = folder.path().join("tmp");
    let refuse = |refuses: bool| {
        if refuses {
            fs::remove_dir(&tmp).unwrap();
            fs::write(&tmp, "").unwrap();
        } else {
            fs::remove_file(&tmp).unwrap();
            fs::create_dir(&tmp).unwrap();
        }
    };
    assert_eq!(outbox.put(&event(0, news)), Ticket::Disk);
    refuse(true);
    assert_eq!(outbox.put(&event(1, stored)), Ticket::Memory);
    assert_eq!(outbox.put(&event(2, news)), Ticket::Memory);
    refuse(false);
    assert_eq!(outbox.put(&event(3, news)), Ticket::Disk);
    let post = Post::default();
    drained(&outbox, &post).await;
    assert_eq!(post.ids(), ids(0..4));
}

#[tokio::test]
async fn stop_leaves_what_is_left_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    let (post, stop) = (Post { away: Mutex::new(u32::MAX), ..Post::default() }, CancellationToken::new());
    outbox.put(&event(0, stored));
    let since = Instant::now();
    tokio::join!(outbox.drain(&post, &stop), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert!(since.elapsed() < Duration::from_secs(10), "a stop is not kept waiting");
    assert_eq!(Outbox::open(folder.path()).unwrap().pending(), 1);
}

/// The kinds that hold somebody's id are told apart from those that are acted on by what the contract says.
#[test]
fn the_names_of_files_say_nothing_personal_and_commands_are_known_by_them() {
    for kind in Body::KINDS {
        let name = name_of(7, kind);
        assert_eq!(read_name(&name), Some((7, (*kind).to_owned())));
    }
    assert!(!is_news("epoch.stored") && !is_news("recording.requested") && !is_news("recording.stopped"));
    assert!(is_news("recording.ready") && is_news("recorder.joined") && is_news("recording.started"));
}

#[test]
fn what_lies_on_disk_is_the_message_and_nobody_else_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    outbox.put(&event(0, back));
    let path = folder.path().join(name_of(0, "recorder.joined"));
    assert_eq!(fs::read(&path).unwrap(), event(0, back).to_json());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// `OUTBOX=100000 cargo test -p recorder a_day_without` for a figure.
#[tokio::test]
async fn a_day_without_a_broker_costs_little_and_drains_quickly() {
    let count: u64 = std::env::var("OUTBOX").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    let since = Instant::now();
    for n in 0..count {
        outbox.put(&event(n, news));
    }
    let put = since.elapsed();
    drop(outbox);
    let since = Instant::now();
    let outbox = Outbox::open(folder.path()).unwrap();
    let opened = since.elapsed();
    let post = Post::default();
    let since = Instant::now();
    drained(&outbox, &post).await;
    println!("{count} events: put in {put:?}, opened in {opened:?}, drained in {:?}", since.elapsed());
    assert_eq!(post.ids(), ids(0..count));
}
