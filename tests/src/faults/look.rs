//! What a film shows, measured by the wall time that was burnt into what was filmed, and by nothing that we say.
//!
//! A slide tells tenths of a second ([`crate::participants::signal`]). The last code at or before a moment and the first
//! one after it bound what was lost around it; everything on the way from the sender to the file counts as lost.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use crate::analysis::film::{Frame, HEIGHT, WIDTH};

/// The codes repeat after this many seconds.
const ROUND: f64 = 6_553.6;
/// A code further from where it should be is a misread one, or the film is wrong in a way that other checks see.
const BELIEVED: f64 = 20.0;

/// One picture with a code that reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// Seconds from the film's beginning.
    pub at: f64,
    /// Seconds since 1970 of what is shown.
    pub wall: f64,
}

/// Two neighbouring codes that are too far apart: what was between them is not in the film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Missing {
    pub from: Shown,
    pub to: Shown,
}

impl Missing {
    pub fn seconds(&self) -> f64 {
        self.to.wall - self.from.wall
    }
}

/// All codes of a film, in the order of the film.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Codes {
    pub shown: Vec<Shown>,
    /// Pictures in the film, with a code or without.
    pub pictures: usize,
}

impl Codes {
    /// Decodes `file`, one picture at a time. `about`: within half an hour, when it begins.
    ///
    /// # Errors
    /// When ffmpeg or ffprobe cannot read it.
    pub fn read(file: &Path, about: SystemTime) -> anyhow::Result<Self> {
        let times = crate::analysis::film::times(file)?;
        let mut decoder = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(file)
            .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", &format!("scale={WIDTH}:{HEIGHT}:flags=area")])
            .args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("run ffmpeg (Debian: ffmpeg)")?;
        let mut out = decoder.stdout.take().context("ffmpeg's output")?;
        let about = seconds(about);
        let mut codes = Self::default();
        for at in times {
            let mut rgb = vec![0; WIDTH * HEIGHT * 3];
            if out.read_exact(&mut rgb).is_err() {
                break;
            }
            codes.pictures += 1;
            if let Some(tenths) = Frame::new(at, rgb).time_code() {
                let (shown, expected) = (f64::from(tenths) / 10.0, about + at);
                let wall = expected + (shown - expected + ROUND / 2.0).rem_euclid(ROUND) - ROUND / 2.0;
                codes.shown.push(Shown { at, wall });
            }
        }
        drop(out);
        let ended = decoder.wait()?;
        ensure!(ended.success() || codes.pictures > 0, "ffmpeg on {file:?}: {ended}");
        codes.doubt();
        Ok(codes)
    }

    /// Leaves out what the film as a whole contradicts.
    fn doubt(&mut self) {
        let offsets: Vec<f64> = self.shown.iter().map(|shown| shown.wall - shown.at).collect();
        let Some(middle) = crate::analysis::percentile(offsets, 0.5) else { return };
        self.shown.retain(|shown| (shown.wall - shown.at - middle).abs() < BELIEVED);
        // A code that its neighbours on both sides contradict was misread.
        let all = self.shown.clone();
        let mut n = 0_usize;
        self.shown.retain(|shown| {
            let around = all.get(n.wrapping_sub(1)).into_iter().chain(all.get(n + 1));
            n += 1;
            let odd: Vec<bool> =
                around.map(|other| ((other.wall - other.at) - (shown.wall - shown.at)).abs() > 3.0).collect();
            odd.is_empty() || odd.contains(&false)
        });
    }

    /// The latest thing seen that was shown at or before `moment`, and the earliest after it.
    pub fn around(&self, moment: SystemTime) -> (Option<f64>, Option<f64>) {
        let moment = seconds(moment);
        let walls = || self.shown.iter().map(|shown| shown.wall);
        let before = walls().filter(|wall| *wall <= moment).max_by(f64::total_cmp);
        let after = walls().filter(|wall| *wall > moment).min_by(f64::total_cmp);
        (before, after)
    }

    /// Stretches of wall time longer than `least` seconds of which nothing is shown, in the order of time.
    pub fn missing(&self, least: f64) -> Vec<Missing> {
        let mut all = self.shown.clone();
        all.sort_by(|a, b| a.wall.total_cmp(&b.wall));
        let pairs = all.windows(2).map(|pair| Missing { from: pair[0], to: pair[1] });
        pairs.filter(|missing| missing.seconds() > least).collect()
    }

    /// The longest stretch of which nothing is shown between two moments, in seconds; the ends count.
    pub fn longest_missing(&self, from: SystemTime, to: SystemTime) -> f64 {
        let (from, to) = (seconds(from), seconds(to));
        let mut walls: Vec<f64> = self.shown.iter().map(|s| s.wall).filter(|w| (from..to).contains(w)).collect();
        walls.extend([from, to]);
        walls.sort_by(f64::total_cmp);
        walls.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    }

    /// Pictures that show what was before something already shown: a film never goes back.
    pub fn backward(&self) -> usize {
        self.shown.windows(2).filter(|pair| pair[1].wall < pair[0].wall - 0.05).count()
    }
}

/// Seconds since 1970.
pub fn seconds(wall: SystemTime) -> f64 {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(wall: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(wall)
    }

    /// A film of tenths from 1000 s on, without those `lost`.
    fn film(lost: std::ops::Range<u32>) -> Codes {
        let tenth = |n: u32| Shown { at: f64::from(n) / 10.0, wall: 1000.0 + f64::from(n) / 10.0 };
        Codes { shown: (0..100).filter(|n| !lost.contains(n)).map(tenth).collect(), pictures: 100 }
    }

    #[test]
    fn what_is_lost_is_bounded_by_what_is_shown() {
        let film = film(40..65);
        let (before, after) = film.around(at(1005.0));
        assert!((before.unwrap() - 1003.9).abs() < 1e-6 && (after.unwrap() - 1006.5).abs() < 1e-6);
        let missing = film.missing(0.7);
        assert_eq!(missing.len(), 1);
        assert!((missing[0].seconds() - 2.6).abs() < 1e-6);
        assert!((film.longest_missing(at(1001.0), at(1009.0)) - 2.6).abs() < 1e-6);
        assert!((film.longest_missing(at(1001.0), at(1012.0)) - 2.6).abs() < 0.6);
    }

    #[test]
    fn a_whole_film_misses_nothing_and_the_end_counts() {
        let film = film(0..0);
        assert_eq!(film.missing(0.2), []);
        assert!(film.longest_missing(at(1000.0), at(1013.0)) > 3.0);
        assert_eq!(film.backward(), 0);
    }

    #[test]
    fn misread_codes_are_left_out_and_a_film_that_goes_back_is_seen() {
        let mut codes = film(0..0);
        codes.shown[50].wall += 9.0;
        codes.doubt();
        assert_eq!(codes.shown.len(), 99);
        codes.shown[30..].iter_mut().for_each(|shown| shown.wall -= 1.0);
        assert_eq!(codes.backward(), 1);
    }
}
