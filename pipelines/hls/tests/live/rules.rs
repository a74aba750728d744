//! The rules for live media playlists, over random histories: losses, short ends, take-overs, repeats, late pushes.
//! Each assertion names its section of rfc8216bis (draft 22) or of Apple's HLS Authoring Specification (AHS).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::worker::{Listed, NOON, Playlist, SEGMENT, Worker, read};
use hls::{Rules, Webinar};
use media::{Rendition, WallTime};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    /// Whether the picture, the sound, or one part of the picture is lost on the way, and which rendition comes first.
    Segment { video: bool, audio: bool, part: bool, audio_first: bool },
    /// The worker dies; another begins so many seconds later, its clock off by so many. Perhaps the last is short.
    TakeOver { short: bool, after: u64, clock: i64 },
    /// The worker before pushes once more.
    Late,
    /// Everything of the last segment again.
    Repeat,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let lost = || prop::bool::weighted(0.07);
    let segment = (lost(), lost(), lost(), any::<bool>()).prop_map(|(video, audio, part, audio_first)| Op::Segment {
        video,
        audio,
        part,
        audio_first,
    });
    let take_over =
        (any::<bool>(), 1..20_u64, -30..30_i64).prop_map(|(short, after, clock)| Op::TakeOver { short, after, clock });
    let op = prop_oneof![20 => segment, 2 => take_over, 1 => Just(Op::Late), 1 => Just(Op::Repeat)];
    prop::collection::vec(op, 1..80)
}

const WINDOW: Duration = Duration::from_secs(40);

/// What the test knows besides the playlists: what really came, and what was ever said.
struct History {
    webinar: Webinar,
    worker: Worker,
    before: Option<Worker>,
    /// (rendition, uri) of all that arrived whole, with its true duration.
    whole: BTreeMap<(Rendition, String), Duration>,
    said: BTreeMap<Rendition, Playlist>,
    /// By MSN, whichever rendition said it first.
    dates: BTreeMap<u64, (Option<String>, u64)>,
    /// Off the list since so much media time.
    removed: BTreeMap<(Rendition, String), f64>,
}

impl History {
    fn new() -> Self {
        let mut webinar = Webinar::new(Rules { window: WINDOW, ..Rules::default() });
        let worker = Worker::start(&mut webinar, 1, NOON);
        let (whole, said, dates, removed) = <_>::default();
        Self { webinar, worker, before: None, whole, said, dates, removed }
    }

    fn push(&mut self, rendition: &Rendition, lasts: Duration, lose_part: bool) {
        let Worker { epoch, segment, .. } = self.worker;
        for (n, part) in self.worker.parts(rendition, lasts).into_iter().enumerate() {
            if lose_part && n == 2 {
                continue;
            }
            let refused = self.webinar.part(epoch, part).is_err();
            assert_eq!(refused, lose_part && n > 2);
        }
        let known = self.webinar.segment(rendition, epoch, segment).is_some();
        self.webinar.closed(epoch, &self.worker.end_of(rendition, lasts)).expect("a segment of the newest epoch");
        if !lose_part && !known {
            self.whole.insert((rendition.clone(), format!("{epoch}-{segment}.m4s")), lasts);
        }
    }

    fn segment(&mut self, lasts: Duration, [video, audio, part, audio_first]: [bool; 4]) {
        let mut order = [(Rendition::video(), video, part), (Rendition::audio(), audio, false)];
        if audio_first {
            order.reverse();
        }
        for (rendition, lost, part) in order {
            if !lost {
                self.push(&rendition, lasts, part);
                self.check();
            }
        }
        self.worker.advance(lasts);
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Segment { video, audio, part, audio_first } => {
                self.segment(SEGMENT, [video, audio, part, audio_first]);
            }
            Op::TakeOver { short, after, clock } => {
                if short {
                    self.segment(Duration::from_millis(400), [false, false, false, true]);
                }
                let ended = self.worker.began.plus(Duration::from_nanos(self.worker.begins.0));
                let began = WallTime(ended.0 + (i64::try_from(after).unwrap() + clock) * 1_000_000);
                let next = Worker::start(&mut self.webinar, self.worker.epoch + 1, began);
                self.before = Some(std::mem::replace(&mut self.worker, next));
            }
            Op::Late => {
                if let Some(before) = &self.before {
                    assert!(before.push(&mut self.webinar, &Rendition::video(), SEGMENT).is_err());
                }
            }
            Op::Repeat => {
                let mut again = self.worker.clone();
                again.segment = again.segment.saturating_sub(1);
                let known = again.segment != self.worker.segment;
                let parts = again.parts(&Rendition::audio(), SEGMENT);
                if known
                    && self.whole.contains_key(&(Rendition::audio(), format!("{}-{}.m4s", again.epoch, again.segment)))
                {
                    parts.into_iter().for_each(|part| self.webinar.part(again.epoch, part).unwrap());
                }
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let mut now = BTreeMap::new();
        for rendition in [Rendition::video(), Rendition::audio()] {
            let Some(text) = self.webinar.playlist(&rendition) else { continue };
            let playlist = read(&text);
            self.check_alone(&rendition, &playlist);
            if let Some(before) = self.said.get(&rendition).cloned() {
                self.check_change(&rendition, &before, &playlist);
            }
            now.insert(rendition, playlist);
        }
        self.said = now;
    }

    fn check_alone(&mut self, rendition: &Rendition, playlist: &Playlist) {
        assert_eq!((playlist.version, playlist.target), (6, 3), "8; 6.2.1: the target never changes");
        assert!(playlist.independent);
        let mut last: Option<&Listed> = None;
        for listed in &playlist.segments {
            assert!(listed.lasts.round() <= 3.0, "4.4.3.1: {listed:?}");
            let came = self.whole.get(&(rendition.clone(), listed.uri.clone()));
            assert_eq!(listed.gap, came.is_none(), "6.2.1: absent media, and only that, is a GAP: {listed:?}");
            if let Some(lasts) = came {
                assert!((lasts.as_secs_f64() - listed.lasts).abs() < 1e-5, "AHS 8.1: {listed:?}");
            }
            let (number, epoch) = number(&listed.uri);
            assert_eq!(
                self.webinar.segment(rendition, epoch, number).is_none(),
                listed.gap,
                "6.2.1: listed is servable"
            );
            assert!(listed.date.is_some(), "AHS 8.4");
            let said = (listed.date.clone(), listed.turn);
            let first = self.dates.entry(listed.msn).or_insert_with(|| said.clone());
            assert_eq!(*first, said, "6.2.4: date and discontinuity number agree over renditions and time");
            let map = format!("{epoch}-init.mp4");
            let new_epoch = last.is_none_or(|last| self::number(&last.uri).1 != epoch);
            assert_eq!(listed.map.as_ref(), new_epoch.then_some(&map), "4.4.4.5: {listed:?}");
            if let Some(last) = last {
                assert_eq!(listed.breaks, new_epoch, "4.4.4.3: {listed:?}");
                assert!(last.date < listed.date, "6.2.1: dates go forward: {last:?} {listed:?}");
                let steps = number.checked_sub(self::number(&last.uri).0);
                assert!(new_epoch || steps == Some(1), "no number is left out or used twice");
            }
            last = Some(listed);
        }
        let uris: BTreeSet<&String> = playlist.segments.iter().map(|listed| &listed.uri).collect();
        assert_eq!(uris.len(), playlist.segments.len());
    }

    fn check_change(&mut self, rendition: &Rendition, before: &Playlist, now: &Playlist) {
        let gone = usize::try_from(now.msn.checked_sub(before.msn).expect("6.2.2: MSN never decreases")).unwrap();
        assert!(now.turn >= before.turn, "6.2.2: nor does the discontinuity sequence");
        let kept = before.segments.get(gone..).expect("what is removed was listed");
        assert!(now.segments.len() >= kept.len(), "6.2.1: only from the head");
        for (was, is) in kept.iter().zip(&now.segments) {
            // The map of the first listed segment must be said again; all else stays to the letter.
            let is = Listed { map: was.map.clone(), ..is.clone() };
            assert_eq!(*was, is, "6.2.1: nothing listed changes");
        }
        if gone > 0 {
            assert!(now.lasts() >= 9.0, "6.2.2: never below three target durations");
            assert!(now.segments.len() >= 6, "AHS 8.11");
            assert!(now.lasts() >= WINDOW.as_secs_f64(), "the window is kept");
        }
        for listed in before.segments.iter().take(gone).filter(|listed| !listed.gap) {
            self.removed.insert((rendition.clone(), listed.uri.clone()), 0.0);
        }
        let added: f64 = now.segments[kept.len()..].iter().map(|listed| listed.lasts).sum();
        let mut over = Vec::new();
        for ((which, uri), since) in self.removed.iter_mut().filter(|((which, _), _)| which == rendition) {
            let (number, epoch) = number(uri);
            if self.webinar.segment(which, epoch, number).is_none() {
                // Until then: its own duration and the longest playlist.
                assert!(*since + added >= WINDOW.as_secs_f64(), "6.2.2: {uri} is gone after {since} s");
                over.push((which.clone(), uri.clone()));
            }
            *since += added;
        }
        self.removed.retain(|key, _| !over.contains(key));
    }
}

/// Number and epoch of a segment's URI.
fn number(uri: &str) -> (u64, u32) {
    let (epoch, number) = uri.strip_suffix(".m4s").and_then(|name| name.split_once('-')).expect("{epoch}-{n}.m4s");
    (number.parse().unwrap(), epoch.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn playlists_keep_the_rules_whatever_happens(ops in ops()) {
        let mut history = History::new();
        for op in &ops {
            history.apply(op);
        }
        let epoch = history.webinar.epoch();
        history.webinar.end(epoch).unwrap();
        for (rendition, before) in &history.said {
            let now = read(&history.webinar.playlist(rendition).unwrap());
            prop_assert!(now.ended);
            prop_assert_eq!(Playlist { ended: false, ..now }, before.clone());
        }
    }
}

/// Memory is bounded by about twice the window (6.2.2), however long the webinar.
#[test]
fn a_long_webinar_needs_no_more_memory_than_a_short_one() {
    let mut webinar = Webinar::new(Rules { window: WINDOW, ..Rules::default() });
    let mut worker = Worker::start(&mut webinar, 1, NOON);
    worker.run(&mut webinar, 40);
    let after_40 = webinar.bytes();
    worker.run(&mut webinar, 1000);
    assert!(webinar.bytes() < after_40 * 3 / 2, "{} then, {after_40} before", webinar.bytes());
}
