//! The rules for live media playlists, to hold any history against.
//! Each assertion names its section of rfc8216bis (draft 22) or of Apple's HLS Authoring Specification (AHS).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::worker::{Listed, NOON, PART, Playlist, Worker, read};
use hls::{Rules, Webinar};
use media::{Rendition, WallTime};

pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// What was ever said, to hold what is said next against.
#[derive(Default)]
pub(crate) struct Book {
    /// All that came whole and was taken.
    pub(crate) arrived: BTreeSet<(Rendition, String)>,
    pub(crate) said: BTreeMap<Rendition, Playlist>,
    texts: BTreeMap<Rendition, String>,
    /// What a place was when it was first listed.
    seen: BTreeSet<(Rendition, u64)>,
    /// By MSN, whichever rendition said it first.
    dates: BTreeMap<u64, (Option<String>, u64)>,
    /// Off the list since so much media time.
    removed: BTreeMap<(Rendition, String), f64>,
}

impl Book {
    /// Asks for all playlists, and holds them against the rules.
    pub(crate) fn check(&mut self, webinar: &Webinar) {
        for rendition in [Rendition::video(), Rendition::audio()] {
            let Some(text) = webinar.playlist(&rendition) else { continue };
            if self.texts.get(&rendition) == Some(&text) {
                continue;
            }
            let playlist = read(&text);
            self.check_alone(webinar, &rendition, &playlist);
            if let Some(before) = self.said.get(&rendition).cloned() {
                self.check_change(webinar, &rendition, &before, &playlist);
            }
            self.texts.insert(rendition.clone(), text);
            self.said.insert(rendition, playlist);
        }
    }

    fn check_alone(&mut self, webinar: &Webinar, rendition: &Rendition, playlist: &Playlist) {
        assert_eq!((playlist.version, playlist.target), (6, 3), "8; 6.2.1: the target never changes");
        assert!(playlist.independent);
        let mut last: Option<&Listed> = None;
        for listed in &playlist.segments {
            assert!(listed.lasts.round() <= 3.0, "4.4.3.1: {listed:?}");
            let (number, epoch) = number(&listed.uri);
            let served = webinar.segment(rendition, epoch, number);
            assert_eq!(served.is_none(), listed.gap, "6.2.1: listed is servable: {listed:?}");
            if self.seen.insert((rendition.clone(), listed.msn)) && listed.gap {
                let came = self.arrived.contains(&(rendition.clone(), listed.uri.clone()));
                assert!(!came, "6.2.1: only absent media is a GAP: {listed:?}");
            }
            if let Some(parts) = served {
                let lasts = parts.len() as f64 * PART.as_secs_f64();
                assert!((lasts - listed.lasts).abs() < 1e-5, "AHS 8.1: {listed:?} has {} parts", parts.len());
                for (n, part) in parts.iter().enumerate() {
                    assert_eq!(*part, format!("{rendition} {epoch}-{number}.{n};"), "{listed:?}");
                }
            }
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
                let hole = hole(last, listed);
                let told = (-3.5..0.5).contains(&hole) || hole > WINDOW.as_secs_f64() / 3.0;
                assert!(told, "6.2.1: no GAP tells of {hole} s: {last:?} {listed:?}");
                let steps = number.checked_sub(self::number(&last.uri).0);
                assert!(new_epoch || steps == Some(1), "no number is left out or used twice");
            }
            last = Some(listed);
        }
        let uris: BTreeSet<&String> = playlist.segments.iter().map(|listed| &listed.uri).collect();
        assert_eq!(uris.len(), playlist.segments.len());
    }

    fn check_change(&mut self, webinar: &Webinar, rendition: &Rendition, before: &Playlist, now: &Playlist) {
        let gone = usize::try_from(now.msn.checked_sub(before.msn).expect("6.2.2: MSN never decreases")).unwrap();
        assert!(now.turn >= before.turn, "6.2.2: nor does the discontinuity sequence");
        // After a long hole all that was listed may be gone at once.
        let kept = before.segments.get(gone..).unwrap_or_default();
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
            if webinar.segment(which, epoch, number).is_none() {
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

/// Seconds of wall time between two places that stand beside each other; less than none when something is seen twice.
pub(crate) fn hole(last: &Listed, next: &Listed) -> f64 {
    let [last_date, next_date] = [last, next].map(|listed| WallTime::parse(listed.date.as_ref().unwrap()).unwrap().0);
    (next_date - last_date) as f64 / 1e6 - last.lasts
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
