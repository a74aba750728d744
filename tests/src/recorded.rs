//! A finished recording, opened with stock tools and decoded, with its own zero of time found in it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use crate::analysis::{Beats, Film, Probe, Sound, beats, percentile, probe};
use crate::participants::{Person, Rgb};
use crate::stage::{Ready, Stage};

/// Time a newcomer or a change may need until it is in the film: subscription, key frame, layout.
pub const SETTLES: Duration = Duration::from_secs(3);

/// What came out.
#[derive(Debug)]
pub struct Recorded {
    pub ready: Ready,
    pub facts: Probe,
    pub film: Film,
    pub sound: Sound,
    /// Seconds since 1970 of the film's beginning.
    began: f64,
}

impl Recorded {
    /// Opens the recording. `clock` is someone who flashed in it, and `started` about when it started, half a second off
    /// at most: flashes stand on whole seconds of wall time and so tell the rest.
    ///
    /// # Errors
    /// When it does not open or decode, or `clock` never flashed in it.
    pub fn open(stage: &Stage, ready: Ready, started: SystemTime, clock: &Person) -> anyhow::Result<Self> {
        Self::of(&stage.open(ready.recording)?, ready, started, clock)
    }

    /// As [`Recorded::open`], of a film that lies open.
    ///
    /// # Errors
    /// When it does not decode, or `clock` never flashed in it.
    pub fn of(file: &Path, ready: Ready, started: SystemTime, clock: &Person) -> anyhow::Result<Self> {
        let (facts, film, sound) = (probe(file)?, Film::decode(file)?, Sound::decode(file)?);
        let about = seconds(started);
        let flashes = beats(&film, &sound, clock).flashes;
        // About the first one, so that a phase near zero does not wrap.
        let first = flashes.first().copied().context("nobody flashes in the film")?;
        let phases = flashes.iter().map(|f| (f - first + 0.5).rem_euclid(1.0) - 0.5).collect();
        let phase = first + percentile(phases, 0.5).unwrap_or(0.0);
        let began = (about + phase).round() - phase;
        Ok(Self { ready, facts, film, sound, began })
    }

    /// Where in the film `wall` is, in seconds.
    pub fn at(&self, wall: SystemTime) -> f64 {
        seconds(wall) - self.began
    }

    /// Checks that `person` flashed and beeped, in step, once in each second of the time between the two moments, after
    /// they have settled in.
    ///
    /// # Errors
    /// When a beat is missing or out of step; the error says where.
    pub fn present(&self, person: &Person, from: SystemTime, to: SystemTime) -> anyhow::Result<()> {
        let (from, to) = (self.at(from + SETTLES), self.at(to) - 0.5);
        let all = beats(&self.film, &self.sound, person);
        let Beats { flashes, beeps } = all.between(from, to);
        steady(&flashes, from, to).with_context(|| format!("flashes of {}: {:.2?}", person.colour, all.flashes))?;
        steady(&beeps, from, to).with_context(|| format!("beeps of {} Hz: {:.2?}", person.pitch, all.beeps))
    }

    /// Checks that `person` was neither seen nor heard between the two moments, once a change has settled.
    ///
    /// # Errors
    /// When they were; the error says where.
    pub fn absent(&self, person: &Person, from: SystemTime, to: SystemTime) -> anyhow::Result<()> {
        let (from, to) = (self.at(from + SETTLES), self.at(to));
        let found = beats(&self.film, &self.sound, person).between(from, to);
        ensure!(found == Beats::default(), "{} in {from:.1} to {to:.1} s: {found:.2?}", person.colour);
        let seen = self.share(person.colour, from, to);
        ensure!(seen < 0.01, "{} fills {seen:.3} of the picture in {from:.1} to {to:.1} s", person.colour);
        Ok(())
    }

    /// The beats of `person` between two moments.
    pub fn beats(&self, person: &Person, from: SystemTime, to: SystemTime) -> Beats {
        beats(&self.film, &self.sound, person).between(self.at(from), self.at(to))
    }

    /// The 95th percentile of how far picture and sound of `person` lie apart, in milliseconds.
    pub fn skew(&self, person: &Person) -> Option<f64> {
        let skews = beats(&self.film, &self.sound, person).skews();
        percentile(skews.into_iter().map(f64::abs).collect(), 0.95)
    }

    /// The share of the picture that `colour` fills, 0 to 1: the median over the film's seconds `from..to`.
    pub fn share(&self, colour: Rgb, from: f64, to: f64) -> f64 {
        let frames = self.film.between(from, to).iter();
        percentile(frames.map(|f| f.find(colour).map_or(0.0, |area| area.share())).collect(), 0.5).unwrap_or(0.0)
    }
}

fn seconds(wall: SystemTime) -> f64 {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// One beat in each second of `from..to`: never two that are further apart than a beat and a half, nor a missing first
/// or last.
fn steady(times: &[f64], from: f64, to: f64) -> anyhow::Result<()> {
    ensure!(to - from >= 2.0, "from {from:.1} to {to:.1} s is too short to judge");
    let all = [&[from - 0.5][..], times, &[to + 0.5]].concat();
    for pair in all.windows(2) {
        ensure!(pair[1] - pair[0] < 1.6, "none between {:.2} and {:.2} s", pair[0], pair[1]);
    }
    let expected = (to - from).round();
    ensure!((times.len() as f64 - expected).abs() <= 1.0, "{} instead of {expected}", times.len());
    Ok(())
}
