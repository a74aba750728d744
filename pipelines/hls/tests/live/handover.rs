//! One worker takes over from another that still records: what viewers see of it.

use std::time::Duration;

use crate::rules::hole;
use crate::worker::{Listed, NOON, PART, Playlist, SEGMENT, Worker, init, read};
use hls::{PushError, Rules, State, Webinar};
use media::{Part, Rendition, WallTime};

const RENDITIONS: [fn() -> Rendition; 2] = [Rendition::video, Rendition::audio];

/// A worker that pushes part by part, each of them so long after it was made.
struct Pushes {
    worker: Worker,
    made: u64,
    began: Duration,
    delay: Duration,
    stopped: bool,
}

impl Pushes {
    fn start(to: &mut Webinar, epoch: u32, began: Duration, clock: i64, delay: Duration) -> Self {
        let worker = Worker::start(to, epoch, WallTime(NOON.plus(began).0 + clock * 1000));
        Self { worker, made: 0, began, delay, stopped: false }
    }

    fn due(&self) -> Duration {
        self.began + PART * u32::try_from(self.made + 1).unwrap() + self.delay
    }

    fn push(&mut self, to: &mut Webinar) {
        let index = usize::try_from(self.made % 6).unwrap();
        self.made += 1;
        let mut answers = Vec::new();
        for rendition in RENDITIONS.map(|name| name()) {
            answers.push(to.part(self.worker.epoch, self.worker.parts(&rendition, SEGMENT).remove(index)));
            if index == 5 {
                answers.push(to.closed(self.worker.epoch, &self.worker.end_of(&rendition, SEGMENT)));
            }
        }
        if index == 5 {
            self.worker.advance(SEGMENT);
        }
        let fenced = |answer: &Result<(), PushError>| matches!(answer, Err(PushError::Fenced { .. }));
        self.stopped |= answers.iter().any(fenced);
        assert!(answers.iter().all(|answer| answer.is_ok() || fenced(answer)), "{answers:?}");
    }
}

fn run(to: &mut Webinar, until: Duration, all: &mut [&mut Pushes]) {
    while let Some(next) = all.iter_mut().filter(|one| !one.stopped && one.due() <= until).min_by_key(|one| one.due()) {
        next.push(to);
    }
}

fn playlists(webinar: &Webinar) -> [Playlist; 2] {
    RENDITIONS.map(|name| read(&webinar.playlist(&name()).unwrap()))
}

/// Where the list goes from one epoch to the next.
fn seam(playlist: &Playlist) -> (&Listed, &Listed) {
    let at = playlist.segments.iter().position(|listed| listed.breaks).expect("a discontinuity");
    (&playlist.segments[at - 1], &playlist.segments[at])
}

/// Whatever the phase of the new worker, and however late its pushes: nothing is missing, and at most a part is seen twice.
#[test]
fn with_overlap_there_is_no_gap() {
    for phase in (0..3200).step_by(100) {
        for (old_delay, new_delay) in [(0, 0), (0, 400), (400, 0), (250, 300)] {
            let mut webinar = Webinar::new(Rules::default());
            let [old_delay, new_delay] = [old_delay, new_delay].map(Duration::from_millis);
            let mut old = Pushes::start(&mut webinar, 1, Duration::ZERO, 0, old_delay);
            let joined = Duration::from_millis(16_000 + phase);
            run(&mut webinar, joined, &mut [&mut old]);
            let mut new = Pushes::start(&mut webinar, 2, joined, 0, new_delay);
            run(&mut webinar, joined + SEGMENT * 4, &mut [&mut old, &mut new]);
            assert!(old.stopped && !new.stopped);
            for playlist in playlists(&webinar) {
                assert!(playlist.segments.iter().all(|listed| !listed.gap), "{phase}: {playlist:?}");
                let (last, next) = seam(&playlist);
                let hole = hole(last, next);
                assert!((-0.61..=0.011).contains(&hole), "{phase}, {old_delay:?}, {new_delay:?}: {hole} s");
                assert_eq!(next.uri, "2-1.m4s");
            }
            let [video, audio] = playlists(&webinar);
            assert_eq!(seam(&video), seam(&audio));
        }
    }
}

/// The same with clocks that differ: what dates say is off by as much, and never runs backwards.
#[test]
fn clocks_that_differ_a_little_make_no_gap() {
    for clock in [-400, -100, 100, 400] {
        for phase in (0..3200).step_by(400) {
            let mut webinar = Webinar::new(Rules::default());
            let mut old = Pushes::start(&mut webinar, 1, Duration::ZERO, 0, Duration::ZERO);
            let joined = Duration::from_millis(16_000 + phase);
            run(&mut webinar, joined, &mut [&mut old]);
            let mut new = Pushes::start(&mut webinar, 2, joined, clock, Duration::from_millis(100));
            run(&mut webinar, joined + SEGMENT * 4, &mut [&mut old, &mut new]);
            for playlist in playlists(&webinar) {
                let (last, next) = seam(&playlist);
                assert!(!last.gap && last.date < next.date, "{clock} {phase}: {last:?} {next:?}");
                assert!((-0.61..=0.011).contains(&hole(last, next)), "{clock} {phase}: {last:?} {next:?}");
            }
        }
    }
}

/// A worker that has left the room ends in the middle of a part, and its sound some milliseconds before its picture. Viewers
/// go on with the new one before all of that is said.
#[test]
fn the_frayed_end_of_the_old_one_is_shown() {
    for closed in [None, Some(Rendition::audio()), Some(Rendition::video())] {
        let mut webinar = Webinar::new(Rules::default());
        let mut old = Worker::start(&mut webinar, 1, NOON);
        old.run(&mut webinar, 5);
        let last = |rendition: &Rendition| match *rendition == Rendition::video() {
            true => Duration::from_millis(467),
            false => Duration::from_millis(444),
        };
        let reach = SEGMENT * 5 + PART * 5 + last(&Rendition::audio());
        let mut new = Worker::start(&mut webinar, 2, NOON.plus(reach - SEGMENT));
        new.run(&mut webinar, 1);
        let mut order = RENDITIONS.map(|name| name());
        order.sort_by_key(|rendition| Some(rendition) != closed.as_ref());
        for rendition in order {
            for part in old.parts(&rendition, SEGMENT) {
                let lasts = if part.index == 5 { last(&rendition) } else { part.lasts };
                webinar.part(1, Part { lasts, ..part }).unwrap();
            }
            if closed.as_ref() == Some(&rendition) {
                webinar.closed(1, &old.end_of(&rendition, PART * 5 + last(&rendition))).unwrap();
            }
        }
        new.run(&mut webinar, 1);
        for playlist in playlists(&webinar) {
            assert!(playlist.segments.iter().all(|listed| !listed.gap), "{closed:?}: {playlist:?}");
            let (last, next) = seam(&playlist);
            assert_eq!((last.uri.as_str(), next.uri.as_str()), ("1-5.m4s", "2-1.m4s"));
            assert!(hole(last, next).abs() < 0.03, "{closed:?}: {last:?} {next:?}");
        }
    }
}

/// The new one says again what viewers saw of the old one.
#[test]
fn repeats_from_before_the_seam_have_no_place() {
    let mut webinar = Webinar::new(Rules::default());
    let mut old = Pushes::start(&mut webinar, 1, Duration::ZERO, 0, Duration::ZERO);
    let joined = Duration::from_millis(16_700);
    run(&mut webinar, joined, &mut [&mut old]);
    let mut new = Pushes::start(&mut webinar, 2, joined, 0, Duration::ZERO);
    let first = new.worker.clone();
    run(&mut webinar, joined + SEGMENT + PART * 2, &mut [&mut old, &mut new]);
    let before = playlists(&webinar);
    assert!(old.stopped && before[0].segments.iter().all(|listed| listed.uri.starts_with("1-")));
    for rendition in RENDITIONS.map(|name| name()) {
        first.push(&mut webinar, &rendition, SEGMENT).unwrap();
    }
    assert_eq!(playlists(&webinar), before);
    run(&mut webinar, joined + SEGMENT * 2, &mut [&mut new]);
    assert!(playlists(&webinar).iter().all(|playlist| seam(playlist).1.uri == "2-1.m4s"));
}

/// A new worker that never closes a segment takes nothing from viewers, and no memory without end.
#[test]
fn a_staged_epoch_without_a_segment_blocks_nothing() {
    let mut webinar = Webinar::new(Rules::default());
    let mut old = Worker::start(&mut webinar, 1, NOON);
    old.run(&mut webinar, 4);
    let mut stuck = Worker::start(&mut webinar, 2, NOON.plus(Duration::from_secs(13)));
    let before = webinar.bytes();
    for _ in 0..50 {
        for rendition in RENDITIONS.map(|name| name()) {
            stuck.parts(&rendition, SEGMENT).into_iter().for_each(|part| webinar.part(2, part).unwrap());
        }
        stuck.advance(SEGMENT);
    }
    assert!(webinar.bytes() - before < before, "{} held", webinar.bytes());
    old.run(&mut webinar, 4);
    // A third comes, and goes on instead of both.
    let mut third = Worker::start(&mut webinar, 3, NOON.plus(SEGMENT * 8));
    third.run(&mut webinar, 2);
    assert_eq!(webinar.epoch(), 3);
    for epoch in [1, 2] {
        assert_eq!(webinar.init(epoch, init(epoch, Rendition::video())), Err(PushError::Fenced { epoch, newest: 3 }));
    }
    let [video, audio] = playlists(&webinar);
    assert!(video.segments.iter().all(|listed| !listed.gap && !listed.uri.starts_with("2-")));
    assert_eq!(video, audio);
}

/// What an old worker says at its end is its own end.
#[test]
fn an_end_of_the_old_one_is_not_the_end() {
    let mut webinar = Webinar::new(Rules::default());
    let mut old = Worker::start(&mut webinar, 1, NOON);
    old.run(&mut webinar, 4);
    let mut new = Worker::start(&mut webinar, 2, NOON.plus(Duration::from_secs(12)));
    webinar.end(1).unwrap();
    webinar.end(1).unwrap();
    assert_eq!(webinar.state(), State::Live);
    assert_eq!(old.push(&mut webinar, &Rendition::video(), SEGMENT), Err(PushError::Ended));
    new.run(&mut webinar, 1);
    assert_eq!((webinar.epoch(), webinar.state()), (2, State::Live));
    assert_eq!(webinar.end(1), Err(PushError::Fenced { epoch: 1, newest: 2 }));
    assert_eq!(webinar.state(), State::Live);
    webinar.end(2).unwrap();
    assert_eq!(webinar.state(), State::Ended);
}

/// The old one dies with half a segment pushed, and the new one comes too late for it.
#[test]
fn what_the_old_one_had_is_seen_and_the_hole_is_told() {
    let mut webinar = Webinar::new(Rules::default());
    let mut old = Pushes::start(&mut webinar, 1, Duration::ZERO, 0, Duration::ZERO);
    run(&mut webinar, Duration::from_millis(11_300), &mut [&mut old]);
    let mut new = Pushes::start(&mut webinar, 2, Duration::from_millis(19_300), 0, Duration::ZERO);
    run(&mut webinar, Duration::from_millis(22_510), &mut [&mut new]);
    for playlist in playlists(&webinar) {
        let said: Vec<(&str, bool)> =
            playlist.segments.iter().skip(2).map(|listed| (listed.uri.as_str(), listed.gap)).collect();
        let gaps = [("1-4.m4s", true), ("1-5.m4s", true), ("1-6.m4s", true)];
        assert_eq!(said[..2], [("1-2.m4s", false), ("1-3.m4s", false)]);
        assert_eq!(said[2..5], gaps);
        assert_eq!(said[5..], [("2-0.m4s", false)]);
        let half = &playlist.segments[3];
        // Three parts of 0.533 s.
        assert!((half.lasts - 1.6).abs() < 0.001, "{half:?}");
        let (last, next) = seam(&playlist);
        assert!(hole(last, next).abs() < 0.002, "{last:?} {next:?}");
        assert!(next.date.as_ref().unwrap().contains("12:00:19.3"), "{next:?}");
    }
}

/// The playlist clock: while nothing comes, GAPs do, some way behind the time of day; then not for ever.
#[test]
fn silence_is_told_as_gaps_until_somebody_comes() {
    let mut webinar = Webinar::new(Rules::default());
    Worker::start(&mut webinar, 1, NOON).run(&mut webinar, 4);
    let count = |webinar: &Webinar| playlists(webinar).map(|playlist| playlist.segments.len());
    for (seconds, listed, state) in [
        (0, 4, State::Live),
        (7, 4, State::Live),
        (8, 5, State::Interrupted),
        (10, 5, State::Interrupted),
        (11, 6, State::Interrupted),
        (60, 21, State::Interrupted),
    ] {
        webinar.silent(Duration::from_secs(seconds));
        assert_eq!((count(&webinar), webinar.state()), ([listed; 2], state), "after {seconds} s");
    }
    let [video, _] = playlists(&webinar);
    assert!(video.segments[4..].iter().all(|listed| listed.gap && (listed.lasts - 3.2).abs() < 1e-6));
    webinar.silent(Duration::from_secs(3000));
    let most = count(&webinar)[0];
    assert!((90..98).contains(&most), "{most} after 50 minutes");
    assert_eq!(webinar.state(), State::Interrupted);

    let after = NOON.plus(Duration::from_secs(3100));
    Worker::start(&mut webinar, 2, after).run(&mut webinar, 1);
    let [video, audio] = playlists(&webinar);
    assert_eq!(video, audio);
    assert_eq!((video.segments.len(), webinar.state()), (most + 1, State::Live));
    let (_, next) = seam(&video);
    assert_eq!(WallTime::parse(next.date.as_ref().unwrap()).unwrap(), after, "dates are true after any hole");
}

/// After an interruption the first segment counts, even of a worker whose clock is far behind.
#[test]
fn nobody_waits_longer_than_for_the_first_segment_after_silence() {
    for behind in [0, 30] {
        let mut webinar = Webinar::new(Rules::default());
        Worker::start(&mut webinar, 1, NOON).run(&mut webinar, 4);
        webinar.silent(Duration::from_secs(40));
        let began = WallTime(NOON.plus(SEGMENT * 4 + Duration::from_secs(37)).0 - behind * 1_000_000);
        Worker::start(&mut webinar, 2, began).run(&mut webinar, 1);
        assert_eq!(webinar.state(), State::Live);
        for playlist in playlists(&webinar) {
            let (last, next) = seam(&playlist);
            assert!(next.uri == "2-0.m4s" && last.date < next.date, "{behind}: {last:?} {next:?}");
            assert!(hole(last, next).abs() < 0.5, "{behind}: {last:?} {next:?}");
        }
    }
}

/// The line was cut; the worker goes on where its numbers say, without a break.
#[test]
fn the_same_worker_may_come_back() {
    let mut webinar = Webinar::new(Rules::default());
    let mut worker = Worker::start(&mut webinar, 1, NOON);
    worker.run(&mut webinar, 4);
    webinar.silent(Duration::from_secs(20));
    (0..6).for_each(|_| worker.advance(SEGMENT));
    worker.run(&mut webinar, 1);
    for playlist in playlists(&webinar) {
        let last = playlist.segments.last().unwrap();
        assert_eq!((last.uri.as_str(), last.gap, last.breaks), ("1-10.m4s", false, false));
        assert_eq!(playlist.segments.iter().filter(|listed| listed.gap).count(), 6);
        assert!(playlist.segments.windows(2).all(|two| hole(&two[0], &two[1]).abs() < 0.002));
    }
    assert_eq!(webinar.state(), State::Live);
}

/// After a restart in the middle of a hand-over nothing is known; whole segments are taken from whoever begins again.
#[test]
fn half_a_segment_begins_no_epoch() {
    let mut webinar = Webinar::new(Rules::default());
    let mut worker = Worker::start(&mut webinar, 2, NOON);
    worker.segment = 7;
    webinar.closed(2, &worker.end_of(&Rendition::video(), SEGMENT)).unwrap();
    assert_eq!(webinar.playlist(&Rendition::video()), None);
    worker.advance(SEGMENT);
    worker.run(&mut webinar, 1);
    assert_eq!(read(&webinar.playlist(&Rendition::video()).unwrap()).segments[0].uri, "2-8.m4s");
}
