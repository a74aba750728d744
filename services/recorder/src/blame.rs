//! Which track kills the media process. Kept for one recording, across its epochs; told what was added and how processes
//! died, it says what the next epoch has to be careful with. Decides nothing else, and knows no clock.
//!
//! # Design
//! A crash does not say which track it was, so the rule is: **who had just come is suspected**; a picture comes when it
//! is first shown. Where several had, nobody
//! is blamed: in the next epoch they are on trial, added after all others and one by one, a [`TRIAL`] apart, so that the
//! next death points at one. Three such deaths within [`WITHIN`] and the track is shunned to the end of the recording: a
//! lecture without that track instead of no lecture.
//!
//! What protects the innocent:
//! * a death that is not media's (a kill from outside, memory that the kernel took) blames nobody: [`End::is_medias`];
//! * who lived through a trial is cleared, with all that was held against them;
//! * a death while a suspect was not there clears the suspect: somebody else kills;
//! * a suspect's second trial begins twice as late, the third three times, so that a killer who dies by the clock cannot
//!   pass for them.
//!
//! What kills later than a trial lasts is caught by making trials, and the time for three of them, longer: up to four
//! times, as long as deaths go on that point at nobody. What kills more seldom than that makes no three deaths in a
//! minute: each costs the gap of a restart, and nobody is shunned for it. Someone who knows all this and dies at chosen moments can frame another's track; they
//! could as well have talked over it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use layout::Scene;
use media::{Track, TrackId};
use session::{Caution, Suspect};

use crate::process::End;

/// Longer than a decoder needs to meet its first key frame.
const TRIAL: Duration = Duration::from_secs(5);

/// So many deaths, all of them just after the same track had come.
const STRIKES: usize = 3;

/// The time in which they must happen.
const WITHIN: Duration = Duration::from_secs(60);

/// By how much trials grow at most.
const MOST_PATIENCE: u32 = 4;

#[derive(Debug)]
pub(crate) struct Blame {
    /// What is in the media process, and since when, in the order in which it came.
    inside: Vec<(TrackId, Suspect, Instant)>,
    /// Pictures that have a tile.
    shown: BTreeSet<TrackId>,
    strikes: BTreeMap<Suspect, Vec<Instant>>,
    on_trial: Vec<Suspect>,
    shunned: BTreeSet<Suspect>,
    /// Trials last so many times [`TRIAL`].
    patience: u32,
    last_death: Option<Instant>,
}

impl Default for Blame {
    fn default() -> Self {
        let (inside, shown, strikes, on_trial, shunned) = Default::default();
        Self { inside, shown, strikes, on_trial, shunned, patience: 1, last_death: None }
    }
}

impl Blame {
    /// The session has `track` added to the media process.
    pub(crate) fn added(&mut self, track: &Track, now: Instant) {
        self.inside.push((track.id.clone(), Suspect::from(track), now));
    }

    /// The session shows `scene`. A picture is decoded while it has a tile, so it counts from then on.
    pub(crate) fn arranged(&mut self, scene: &Scene, now: Instant) {
        let shown: BTreeSet<TrackId> = scene.tiles.iter().filter_map(|tile| tile.track.clone()).collect();
        for (id, _, since) in &mut self.inside {
            if shown.contains(id) && !self.shown.contains(id) {
                *since = now;
            }
        }
        self.shown = shown;
    }

    /// The session has it dropped. What was there for less than a trial may still be what kills, and counts as if it were
    /// there; what was there for longer is cleared.
    pub(crate) fn dropped(&mut self, track: &TrackId, now: Instant) {
        let Some(at) = self.inside.iter().position(|(id, ..)| id == track) else { return };
        if now.duration_since(self.inside[at].2) >= self.trial() {
            let (_, suspect, _) = self.inside.remove(at);
            self.strikes.remove(&suspect);
            self.on_trial.retain(|s| *s != suspect);
        }
    }

    /// The media process was ended on purpose.
    pub(crate) fn ended(&mut self) {
        self.inside.clear();
        self.shown.clear();
    }

    /// The media process died. The track that is shunned from now on, if this was once too often.
    pub(crate) fn died(&mut self, how: End, now: Instant) -> Option<Suspect> {
        let inside = std::mem::take(&mut self.inside);
        self.shown.clear();
        if !how.is_medias() {
            return None;
        }
        let quiet = self.last_death.replace(now).is_none_or(|last| now.duration_since(last) > self.within());
        if quiet {
            self.patience = 1;
        }
        let (trial, within) = (self.trial(), self.within());
        let (fresh, settled): (Vec<_>, Vec<_>) =
            inside.into_iter().partition(|(_, _, since)| now.duration_since(*since) < trial);
        let fresh = distinct(fresh);
        // Whoever lived through it, or was not even there.
        self.on_trial.retain(|s| !settled.iter().any(|(_, old, _)| old == s));
        self.strikes.retain(|s, _| fresh.contains(s));
        match &fresh[..] {
            [] if quiet => {}
            // It goes on, and points at nobody: next time, look longer.
            [] => self.patience = (self.patience * 2).min(MOST_PATIENCE),
            [one] => {
                let strikes = self.strikes.entry(one.clone()).or_default();
                strikes.retain(|at| now.duration_since(*at) <= within);
                strikes.push(now);
                if strikes.len() >= STRIKES {
                    self.strikes.remove(one);
                    self.on_trial.retain(|s| s != one);
                    self.shunned.insert(one.clone());
                    return Some(one.clone());
                }
            }
            _ => {}
        }
        self.on_trial.retain(|s| !fresh.contains(s));
        self.on_trial.splice(0..0, fresh);
        None
    }

    /// What the next epoch's session has to know.
    pub(crate) fn caution(&self) -> Caution {
        let strikes = self.on_trial.first().and_then(|first| self.strikes.get(first)).map_or(0, Vec::len);
        Caution {
            shunned: self.shunned.iter().cloned().collect(),
            on_trial: self.on_trial.clone(),
            pause: (0..strikes).fold(self.trial(), |pause, _| pause + self.trial()),
        }
    }

    fn trial(&self) -> Duration {
        TRIAL * self.patience
    }

    fn within(&self) -> Duration {
        WITHIN * self.patience
    }
}

/// A person who left and came back within a trial is one suspect.
fn distinct(tracks: Vec<(TrackId, Suspect, Instant)>) -> Vec<Suspect> {
    let mut seen = BTreeSet::new();
    tracks.into_iter().map(|(_, suspect, _)| suspect).filter(|suspect| seen.insert(suspect.clone())).collect()
}

#[cfg(test)]
mod tests;
