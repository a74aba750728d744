//! Flash and beep once a second, per participant: how many were recorded, and how far apart.

use super::film::{Film, Frame, HEIGHT, NEAR, WIDTH};
use super::sound::Sound;
use crate::participants::Person;
use crate::participants::signal::{BEAT, Rgb};

/// A tile smaller than this many points of the small picture is not judged.
const TILE: usize = 60;

/// The beats of one participant in a recording; all times in seconds from its beginning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beats {
    pub flashes: Vec<f64>,
    pub beeps: Vec<f64>,
}

/// Finds `person`'s beats.
pub fn beats(film: &Film, sound: &Sound, person: &Person) -> Beats {
    Beats { flashes: flashes(film, person.colour), beeps: sound.beeps(person.pitch) }
}

impl Beats {
    /// Per flash that has a beep within half a second: beep minus flash, in milliseconds.
    pub fn skews(&self) -> Vec<f64> {
        let nearest = |flash: f64| {
            let apart = self.beeps.iter().map(|beep| beep - flash).filter(|d| d.abs() < 0.5);
            apart.min_by(|a, b| a.abs().total_cmp(&b.abs()))
        };
        self.flashes.iter().filter_map(|f| nearest(*f)).map(|d| d * 1000.0).collect()
    }

    /// This within `from..to`.
    #[must_use]
    pub fn between(&self, from: f64, to: f64) -> Self {
        let within = |times: &[f64]| times.iter().copied().filter(|t| (from..to).contains(t)).collect();
        Self { flashes: within(&self.flashes), beeps: within(&self.beeps) }
    }
}

/// Times at which the tile of `colour` turns white.
///
/// Where the tile is tell the pictures shortly before, or, when the layout changes in that very moment, those shortly
/// after the flash.
fn flashes(film: &Film, colour: Rgb) -> Vec<f64> {
    let worn: Vec<Points> = film.frames.iter().map(|f| Points::of(f, |c| c.distance(colour) < NEAR)).collect();
    let bright: Vec<Points> = film.frames.iter().map(|f| Points::of(f, white)).collect();
    let place = |from: f64, to: f64| {
        let first = film.frames.partition_point(|f| f.at < from);
        let last = film.frames.partition_point(|f| f.at < to);
        Points::common(worn.get(first..last).unwrap_or_default())
    };
    let mut found: Vec<f64> = Vec::new();
    for n in 1..film.frames.len() {
        let fresh = bright[n].without(&bright[n - 1]);
        let at = film.frames[n].at;
        if fresh.count() < TILE * 6 / 10 || found.last().is_some_and(|last| at - last < 0.3) {
            continue;
        }
        let tiles = [place(at - 0.35, at - 0.01), place(at + BEAT.as_secs_f64() + 0.1, at + 0.55)];
        if tiles.iter().any(|tile| tile.count() >= TILE && fresh.within(tile).count() * 10 > tile.count() * 6) {
            found.push(at);
        }
    }
    found
}

/// Bright and without colour.
fn white(Rgb(r, g, b): Rgb) -> bool {
    r.min(g).min(b) > 190
}

/// A set of points of a picture, a bit each.
#[derive(Debug, Clone)]
struct Points([u64; WORDS]);

const WORDS: usize = (WIDTH * HEIGHT).div_ceil(64);

impl Points {
    fn of(frame: &Frame, belongs: impl Fn(Rgb) -> bool) -> Self {
        let mut points = Self([0; WORDS]);
        for i in (0..WIDTH * HEIGHT).filter(|i| belongs(frame.index(*i))) {
            points.0[i / 64] |= 1 << (i % 64);
        }
        points
    }

    /// What is in all of them; nothing when there are none.
    fn common(all: &[Self]) -> Self {
        let mut rest = all.iter();
        let first = rest.next().cloned().unwrap_or(Self([0; WORDS]));
        rest.fold(first, |common, next| common.within(next))
    }

    fn within(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] & other.0[n]))
    }

    fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] & !other.0[n]))
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}
