//! Flash and beep once a second, per participant: how many were recorded, and how far apart.

use super::film::{Film, Frame};
use super::sound::Sound;
use crate::participants::Person;
use crate::participants::signal::Rgb;

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

/// Times at which the tile of `colour` turns white. The tile is found anew for each second, so a layout may change.
fn flashes(film: &Film, colour: Rgb) -> Vec<f64> {
    let end = film.frames.last().map_or(0.0, |f| f.at);
    let mut found: Vec<f64> = Vec::new();
    let mut second = 0.0;
    while second <= end {
        // The picture before the first tells whether a flash was already on.
        let frames = film.between(second - 0.05, second + 1.0);
        let tile = tile(film.between(second, second + 1.0), colour);
        if tile.len() >= TILE {
            for pair in frames.windows(2) {
                let fresh = found.last().is_none_or(|last| pair[1].at - last > 0.3);
                if fresh && !white(&pair[0], &tile) && white(&pair[1], &tile) {
                    found.push(pair[1].at);
                }
            }
        }
        second += 1.0;
    }
    found
}

/// The points that bear `colour` in at least two fifths of `frames`.
fn tile(frames: &[Frame], colour: Rgb) -> Vec<usize> {
    let mut counts = vec![0_usize; super::film::WIDTH * super::film::HEIGHT];
    for frame in frames {
        frame.near(colour).for_each(|i| counts[i] += 1);
    }
    let enough = (frames.len() * 2).div_ceil(5).max(1);
    (0..counts.len()).filter(|i| counts[*i] >= enough).collect()
}

/// Whether most of the tile is bright and without colour.
fn white(frame: &Frame, tile: &[usize]) -> bool {
    let white = |i: &&usize| {
        let Rgb(r, g, b) = frame.index(**i);
        r.min(g).min(b) > 190
    };
    tile.iter().filter(white).count() * 10 > tile.len() * 6
}
