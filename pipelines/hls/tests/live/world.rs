//! Random histories: up to three workers at once push to one webinar, part by part in the order of time, each with its
//! clock a little off; they join, leave, die, lose pushes and repeat them, and the line may be silent for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::rules::{Book, WINDOW};
use crate::worker::{NOON, PART, Playlist, SEGMENT, Worker, read};
use hls::{PushError, Rules, State, Webinar};
use media::{Rendition, SegmentClosed, WallTime};
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Debug, Clone)]
enum Op {
    /// So many parts, of whoever is next. Of the first one, a rendition may be lost on the way.
    Run { parts: u32, lost: Option<bool>, audio_first: bool },
    /// Another worker joins so many milliseconds later, its clock off by so many.
    Join { after: u64, clock: i64 },
    /// One of the workers leaves: what it has open is closed short, and perhaps it says that this is the end.
    Leave { who: Index, end: bool },
    /// One of the workers is gone.
    Die { who: Index },
    /// Nothing comes through for so many seconds.
    Silence(u64),
    /// The newest worker says its last segment again.
    Repeat,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let run = (1..15_u32, prop::option::weighted(0.15, any::<bool>()), any::<bool>())
        .prop_map(|(parts, lost, audio_first)| Op::Run { parts, lost, audio_first });
    let join = (0..8000_u64, -300..300_i64).prop_map(|(after, clock)| Op::Join { after, clock });
    let op = prop_oneof![
        16 => run,
        4 => join,
        2 => (any::<Index>(), any::<bool>()).prop_map(|(who, end)| Op::Leave { who, end }),
        1 => any::<Index>().prop_map(|who| Op::Die { who }),
        1 => (1..40_u64).prop_map(Op::Silence),
        1 => Just(Op::Repeat),
    ];
    prop::collection::vec(op, 1..60)
}

struct Recorder {
    worker: Worker,
    /// How many parts of its segment it has made.
    parts: usize,
    next: Duration,
    /// Renditions of which the segment is not whole.
    lost: BTreeSet<Rendition>,
}

struct World {
    webinar: Webinar,
    book: Book,
    now: Duration,
    /// When the live epoch was last heard of.
    heard: Duration,
    recorders: Vec<Recorder>,
    epochs: u32,
}

impl World {
    fn new() -> Self {
        let webinar = Webinar::new(Rules { window: WINDOW, ..Rules::default() });
        let (book, now, heard, recorders) = <_>::default();
        let mut world = Self { webinar, book, now, heard, recorders, epochs: 0 };
        world.join(0);
        world
    }

    fn join(&mut self, clock: i64) {
        self.epochs += 1;
        let began = WallTime(NOON.plus(self.now).0 + clock * 1000);
        let worker = Worker::start(&mut self.webinar, self.epochs, began);
        let lost = BTreeSet::new();
        self.recorders.push(Recorder { worker, parts: 0, next: self.now + PART, lost });
        self.note(self.epochs, self.epochs);
    }

    fn note(&mut self, epoch: u32, before: u32) {
        if [before, self.webinar.epoch()].contains(&epoch) {
            self.heard = self.now;
        }
    }

    /// Whoever is next makes a part; `through` when it comes to the webinar.
    fn step(&mut self, through: bool, lost: Option<&Rendition>, audio_first: bool) {
        let next = (0..self.recorders.len()).min_by_key(|n| self.recorders[*n].next);
        let Some(n) = next else {
            self.now += PART;
            return self.ask();
        };
        let mut one = self.recorders.remove(n);
        self.now = self.now.max(one.next);
        one.next += PART;
        let mut order = [Rendition::video(), Rendition::audio()];
        if audio_first {
            order.reverse();
        }
        one.parts += 1;
        let told = order.iter().all(|rendition| {
            if !through || lost == Some(rendition) {
                one.lost.insert(rendition.clone());
            }
            let closes = through && one.parts == 6;
            let end = closes.then(|| one.worker.end_of(rendition, SEGMENT));
            self.push(&one, rendition, through && lost != Some(rendition), end)
        });
        if one.parts == 6 {
            one.worker.advance(SEGMENT);
            (one.parts, one.lost) = (0, BTreeSet::new());
        }
        if told {
            self.recorders.insert(n, one);
        }
        self.ask();
    }

    /// False when the worker is told to stop.
    fn push(&mut self, one: &Recorder, rendition: &Rendition, part: bool, end: Option<SegmentClosed>) -> bool {
        let epoch = one.worker.epoch;
        let before = self.webinar.epoch();
        if part {
            let part = one.worker.parts(rendition, SEGMENT).remove(one.parts - 1);
            match self.webinar.part(epoch, part) {
                Ok(()) => {}
                Err(PushError::PartsMissing { .. }) => assert!(one.lost.contains(rendition)),
                Err(why) => return self.stopped(epoch, why),
            }
        }
        if let Some(end) = end {
            if let Err(why) = self.webinar.closed(epoch, &end) {
                return self.stopped(epoch, why);
            }
            if !one.lost.contains(rendition) {
                self.book.arrived.insert((rendition.clone(), format!("{epoch}-{}.m4s", end.segment)));
            }
        }
        if part || one.parts == 6 {
            self.note(epoch, before);
        }
        self.book.check(&self.webinar);
        true
    }

    fn stopped(&self, epoch: u32, why: PushError) -> bool {
        let newest = self.webinar.epoch();
        assert_eq!(why, PushError::Fenced { epoch, newest });
        assert!(newest > epoch && newest <= self.epochs);
        false
    }

    fn ask(&mut self) {
        self.webinar.silent(self.now.saturating_sub(self.heard));
        self.book.check(&self.webinar);
    }

    fn leave(&mut self, who: usize, says_end: bool) {
        let one = self.recorders.remove(who);
        let (epoch, lasts) = (one.worker.epoch, PART * u32::try_from(one.parts).unwrap());
        for rendition in [Rendition::video(), Rendition::audio()] {
            let end = (one.parts > 0).then(|| one.worker.end_of(&rendition, lasts));
            if !self.push(&one, &rendition, false, end) {
                return;
            }
        }
        if says_end {
            self.end(epoch);
        }
        self.book.check(&self.webinar);
    }

    /// One epoch says that there is no more: that is its own end, not that of others that may still push.
    fn end(&mut self, epoch: u32) {
        let of = |webinar: &Webinar| [Rendition::video(), Rendition::audio()].map(|name| webinar.playlist(&name));
        let (live, state, listed) = (self.webinar.epoch(), self.webinar.state(), of(&self.webinar));
        let answer = self.webinar.end(epoch);
        assert_eq!(answer.is_err(), live > epoch, "{answer:?}");
        let another = self.recorders.iter().any(|other| other.worker.epoch >= live);
        let ended = state != State::Ended && self.webinar.state() == State::Ended;
        assert!(!another || !ended, "epoch {epoch} ended what others go on with");
        if another && epoch != live {
            assert_eq!((self.webinar.epoch(), self.webinar.state(), of(&self.webinar)), (live, state, listed));
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Run { parts, lost, audio_first } => {
                let lost = lost.map(|video| if video { Rendition::video() } else { Rendition::audio() });
                for n in 0..parts {
                    self.step(true, lost.as_ref().filter(|_| n == 0), audio_first);
                }
            }
            Op::Join { after, clock } if self.recorders.len() < 3 => {
                let until = self.now + Duration::from_millis(after);
                self.run_until(until, true);
                self.join(clock);
            }
            Op::Join { .. } => {}
            Op::Leave { .. } | Op::Die { .. } if self.recorders.is_empty() => {}
            Op::Leave { who, end } => self.leave(who.index(self.recorders.len()), end),
            Op::Die { who } => _ = self.recorders.remove(who.index(self.recorders.len())),
            Op::Silence(seconds) => self.run_until(self.now + Duration::from_secs(seconds), false),
            Op::Repeat => self.repeat(),
        }
        self.book.check(&self.webinar);
    }

    fn run_until(&mut self, until: Duration, through: bool) {
        while self.recorders.iter().map(|one| one.next).min().unwrap_or(self.now + PART) <= until {
            self.step(through, None, false);
        }
        self.now = self.now.max(until);
        self.ask();
    }

    fn repeat(&mut self) {
        let fenced = self.webinar.epoch();
        let Some(one) = self.recorders.last().filter(|one| one.worker.epoch >= fenced) else { return };
        let mut again = one.worker.clone();
        let Some(segment) = again.segment.checked_sub(1) else { return };
        again.segment = segment;
        for rendition in [Rendition::audio(), Rendition::video()] {
            if self.book.arrived.contains(&(rendition.clone(), format!("{}-{segment}.m4s", again.epoch))) {
                again
                    .parts(&rendition, SEGMENT)
                    .into_iter()
                    .for_each(|part| self.webinar.part(again.epoch, part).unwrap());
            }
        }
    }
}

/// Two join what has ended, and one of them leaves before it has a segment: it ended nothing, and the other one is seen.
/// The property once took the end that was there before for that one's.
#[test]
fn one_of_two_that_join_after_the_end_leaves() {
    let mut world = World::new();
    world.run_until(SEGMENT * 4, true);
    world.leave(0, true);
    assert_eq!(world.webinar.state(), State::Ended);
    world.join(0);
    world.join(0);
    world.leave(0, true);
    assert_eq!(world.webinar.state(), State::Ended);
    world.run_until(SEGMENT * 6, true);
    assert_eq!((world.webinar.epoch(), world.webinar.state()), (3, State::Live));
}

/// As many histories as PROPTEST_CASES says, or some.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 96 };
    ProptestConfig { cases, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn playlists_keep_the_rules_whatever_happens(ops in ops(), lowest_first in any::<bool>()) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.recorders.clear();
        let mut epochs: Vec<u32> = (1..=world.epochs).collect();
        if !lowest_first {
            epochs.reverse();
        }
        epochs.into_iter().for_each(|epoch| world.end(epoch));
        world.book.check(&world.webinar);
        for rendition in [Rendition::video(), Rendition::audio()] {
            let Some(text) = world.webinar.playlist(&rendition) else { continue };
            prop_assert!(read(&text).ended);
        }
        prop_assert_eq!(world.webinar.state(), State::Ended);
    }

    /// However late a worker joins, and whoever else does: as long as one records, its second segment is seen.
    #[test]
    fn a_worker_that_records_is_seen_after_two_segments(ops in ops(), phase in 0..3200_u64) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.run_until(world.now + Duration::from_millis(phase), true);
        world.join(0);
        world.run_until(world.now + SEGMENT * 2, true);
        world.run_until(world.now + SEGMENT, true);
        prop_assert_eq!(world.webinar.epoch(), world.epochs);
        let playlists: Vec<&Playlist> = world.book.said.values().collect();
        prop_assert_eq!(playlists.len(), 2);
        for playlist in playlists {
            let last = playlist.segments.last().unwrap();
            prop_assert!(!last.gap && last.uri.starts_with(&format!("{}-", world.epochs)), "{:?}", last);
        }
    }
}
