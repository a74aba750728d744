//! Events that must go out, on disk until the broker has them. What [`Outbox::put`] has answered `Disk` for survives
//! kill -9 and a power cut, and is published by whoever opens the folder next, in order and under the same id. Decides
//! nothing about what is told, and makes no recording wait for a broker.
//!
//! A folder holds one file per event, named by a number that grows and by its kind, with the message as it will go out;
//! `tmp/` is what is being written, `torn/` what a disk spoiled or a broker would never take, kept for a person to look
//! at. Events hold ids only, so these files hold nobody's name.
//!
//! # Design
//! - **Bounded.** An outage of a day costs a file of less than a kilobyte for each event. Past [`MANY`] the oldest *news*
//!   makes room, with an alarm: what happened, which the record in the store tells too. What somebody acts on never does:
//!   commands, and `epoch.stored`, without which no file is made.
//! - **A disk that refuses costs no event.** It waits in memory, as all did before there was a disk, and an alarm says
//!   that this worker must not be restarted meanwhile.
//! - **One at a time.** An event is published, confirmed, and then its file removed; killed in between, it goes out
//!   twice, and whoever hears it drops the second by its id.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use events::{Event, Exchange, MAX_BYTES};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clerk::Herald;

/// A busy worker tells some hundred events a day. At this many a person is needed, and the disk holds 400 MB of them.
const MANY: usize = 100_000;
/// Between two tries, at first and at most; the broker's own reconnects are paced by itself.
const SOONEST: Duration = Duration::from_millis(200);
const LATEST: Duration = Duration::from_secs(30);

/// Where an event that was put waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// On disk: it goes out, whatever happens to this process.
    Disk,
    /// The disk refused: it goes out if this process lives.
    Memory,
}

/// A folder of events. Cheap to clone; one process at a time may use it, which the spool's lock sees to.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    many: usize,
    lane: Mutex<Lane>,
    /// Something was put, or taken.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Lane {
    next: u64,
    waiting: BTreeMap<u64, Item>,
    dropped: u64,
}

#[derive(Debug, Clone)]
enum Item {
    Disk { path: PathBuf, news: bool },
    Memory { event: Box<Event>, news: bool },
}

impl Item {
    fn is_news(&self) -> bool {
        match self {
            Self::Disk { news, .. } | Self::Memory { news, .. } => *news,
        }
    }
}

impl Outbox {
    /// Opens a folder, making it if need be, with what an earlier process left in it.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Self::with_room_for(dir, MANY)
    }

    fn with_room_for(dir: &Path, many: usize) -> io::Result<Self> {
        for folder in [dir.to_owned(), dir.join("tmp"), dir.join("torn")] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // Nobody was promised what was still being written.
        for entry in fs::read_dir(dir.join("tmp"))? {
            fs::remove_file(entry?.path())?;
        }
        let mut lane = Lane::default();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some((number, kind)) = path.file_name().and_then(|name| read_name(name.to_str()?)) else { continue };
            let news = is_news(&kind);
            lane.next = lane.next.max(number + 1);
            lane.waiting.insert(number, Item::Disk { path, news });
        }
        File::open(dir)?.sync_all()?;
        if !lane.waiting.is_empty() {
            info!(events = lane.waiting.len(), "an earlier run left events that were not brought out");
        }
        let inner = Inner { dir: dir.to_owned(), many, lane: Mutex::new(lane), changed: Notify::new() };
        Ok(Self(Arc::new(inner)))
    }

    /// Takes an event to be brought out after all that were put before it. Blocks on the disk for some milliseconds.
    pub(crate) fn put(&self, event: &Event) -> Ticket {
        let news = is_news(event.body.kind());
        let number = {
            let mut lane = self.lane();
            lane.next += 1;
            lane.next - 1
        };
        let (item, ticket) = match self.write(number, event) {
            Ok(path) => (Item::Disk { path, news }, Ticket::Disk),
            Err(error) => {
                let kind = event.body.kind();
                error!(%error, kind, "an event cannot be written down; it waits in memory, so do not restart this worker");
                (Item::Memory { event: Box::new(event.clone()), news }, Ticket::Memory)
            }
        };
        let spare = {
            let mut lane = self.lane();
            lane.waiting.insert(number, item);
            lane.spare(self.0.many)
        };
        if let Some(Item::Disk { path, .. }) = spare {
            self.remove(&path);
        }
        self.0.changed.notify_waiters();
        ticket
    }

    /// How many events wait.
    pub(crate) fn pending(&self) -> usize {
        self.lane().waiting.len()
    }

    /// Returns when no event waits, which while the broker is away is never.
    pub(crate) async fn empty(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.pending() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Brings events out, one after the other, until `stop`; the one under way then is still tried to its end. What is
    /// left lies in the folder for the next start.
    pub(crate) async fn drain(&self, herald: &dyn Herald, stop: &CancellationToken) {
        let mut tries = 0;
        while !stop.is_cancelled() {
            let changed = self.0.changed.notified();
            let first = self.lane().waiting.first_key_value().map(|(number, item)| (*number, item.clone()));
            let Some((number, item)) = first else {
                if stop.run_until_cancelled(changed).await.is_none() {
                    return;
                }
                continue;
            };
            let event = match &item {
                Item::Memory { event, .. } => Some((**event).clone()),
                Item::Disk { path, .. } => match self.read(path).await {
                    Ok(event) => event,
                    Err(error) => {
                        error!(%error, "an event cannot be read back; trying again");
                        tries += 1;
                        let _ = stop.run_until_cancelled(tokio::time::sleep(pause(tries))).await;
                        continue;
                    }
                },
            };
            let Some(event) = event else {
                error!("an event is torn; set aside in torn/ of the outbox");
                self.done(number, &item, Done::Torn);
                continue;
            };
            let kind = event.body.kind();
            match herald.tell(&event).await {
                Ok(()) => {
                    tries = 0;
                    self.done(number, &item, Done::Told);
                }
                Err(why) if why.is_passing() => {
                    tries += 1;
                    let waiting = self.pending();
                    warn!(error = &why as &dyn std::error::Error, kind, waiting, "event not brought out; trying again");
                    let _ = stop.run_until_cancelled(tokio::time::sleep(pause(tries))).await;
                }
                Err(why) => {
                    error!(error = &why as &dyn std::error::Error, kind, "event cannot be brought out; set aside");
                    self.done(number, &item, Done::Torn);
                }
            }
        }
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        // Nothing in it can be left half done.
        self.0.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, number: u64, event: &Event) -> io::Result<PathBuf> {
        let name = name_of(number, event.body.kind());
        let (tmp, path) = (self.0.dir.join("tmp").join(&name), self.0.dir.join(&name));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
            file.write_all(&event.to_json())?;
            file.sync_data()?;
            fs::rename(&tmp, &path)?;
            // A rename is durable once its folder is.
            File::open(&self.0.dir)?.sync_all()
        })();
        if written.is_err() {
            // A full disk must not stay full of what could not be written, nor may it go out twice.
            let _ = fs::remove_file(&tmp);
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }

    /// None when the file is not what was written.
    async fn read(&self, path: &Path) -> io::Result<Option<Event>> {
        let read = tokio::fs::symlink_metadata(path).await.map(|meta| meta.is_file() && meta.len() <= MAX_BYTES as u64);
        let bytes = match read {
            Ok(true) => tokio::fs::read(path).await?,
            Ok(false) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Event::parse(&bytes).ok())
    }

    fn done(&self, number: u64, item: &Item, done: Done) {
        if let Item::Disk { path, .. } = item {
            match done {
                Done::Told => self.remove(path),
                Done::Torn => {
                    let aside = self.0.dir.join("torn").join(path.file_name().unwrap_or_default());
                    if let Err(error) = fs::rename(path, aside) {
                        warn!(%error, "a torn event stays where it is");
                    }
                }
            }
        }
        self.lane().waiting.remove(&number);
        self.0.changed.notify_waiters();
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(%error, "an event that was told is still in the outbox; the next start tells it again");
        }
    }
}

#[derive(Clone, Copy)]
enum Done {
    Told,
    Torn,
}

impl Lane {
    /// What must make room for the newest.
    fn spare(&mut self, many: usize) -> Option<Item> {
        if self.waiting.len() <= many {
            return None;
        }
        let oldest = self.waiting.iter().find(|(_, item)| item.is_news()).map(|(number, _)| *number)?;
        // The first, and then a line for every thousand.
        if self.dropped.is_multiple_of(1000) {
            error!(
                waiting = self.waiting.len(),
                dropped = self.dropped + 1,
                "too many events wait for the broker; the oldest news is dropped"
            );
        }
        self.dropped += 1;
        self.waiting.remove(&oldest)
    }
}

/// What only tells what the record in the store tells too.
fn is_news(kind: &str) -> bool {
    kind != "epoch.stored" && exchange_of(kind) != Some(Exchange::Commands)
}

fn exchange_of(kind: &str) -> Option<Exchange> {
    match kind.split_once('.') {
        Some(("recording", "wanted" | "requested" | "stopped")) => Some(Exchange::Commands),
        Some(_) => Some(Exchange::Events),
        None => None,
    }
}

/// Numbers of one length, so that names are in order too.
fn name_of(number: u64, kind: &str) -> String {
    format!("{number:020}~{kind}.json")
}

fn read_name(name: &str) -> Option<(u64, String)> {
    let (number, kind) = name.strip_suffix(".json")?.split_once('~')?;
    Some((number.parse().ok()?, kind.to_owned()))
}

/// Doubling, and shortened by up to a half at random so that workers do not come back as one.
fn pause(tries: u32) -> Duration {
    let full = SOONEST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LATEST);
    let [byte, ..] = *uuid::Uuid::new_v4().as_bytes();
    full.mul_f64(0.5 + f64::from(byte) / 512.0)
}

#[cfg(test)]
mod tests {
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
        let mut paths: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect();
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
}
