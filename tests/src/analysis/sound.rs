//! A recording's sound, and where in it a pitch is heard.

use std::path::Path;

use crate::participants::signal::RATE;

/// Long enough to tell pitches 100 Hz apart, short enough to place an onset within half of it.
const WINDOW: usize = RATE as usize / 100;
const HOP: usize = WINDOW / 2;
/// Half of a beep, in hops.
const LASTS: usize = 10;
/// Softer than this is silence, of full scale.
const FLOOR: f32 = 0.004;

/// Mono, at [`RATE`].
#[derive(Debug, Clone)]
pub struct Sound {
    pub samples: Vec<f32>,
}

impl Sound {
    /// Decodes the first audio stream of `file`, placed in time as a player would.
    ///
    /// # Errors
    /// When ffmpeg cannot.
    pub fn decode(file: &Path) -> anyhow::Result<Self> {
        let rate = RATE.to_string();
        let out = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(file)
            // Silence where the file has none, so that a sample's index is its time.
            .args([
                "-map",
                "0:a:0",
                "-af",
                "aresample=async=1:first_pts=0",
                "-ac",
                "1",
                "-ar",
                &rate,
                "-f",
                "f32le",
                "-",
            ])
            .output()?;
        let said = String::from_utf8_lossy(&out.stderr);
        anyhow::ensure!(out.status.success() && said.is_empty(), "ffmpeg on {file:?}: {said}");
        let samples = out.stdout.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok(Self { samples })
    }

    /// Seconds.
    pub fn lasts(&self) -> f64 {
        self.samples.len() as f64 / f64::from(RATE)
    }

    /// Times at which a beep of `pitch` Hz begins, in seconds: where its loudness crosses half of what beeps have here.
    /// A click has every pitch but does not last, and is none.
    pub fn beeps(&self, pitch: u32) -> Vec<f64> {
        let loud = self.loudness(pitch);
        let mut sorted = loud.clone();
        sorted.sort_by(f32::total_cmp);
        // Beeps sound for a tenth of each second, so the loudest twentieth is beeps, when there are any.
        let plateau = sorted.get(sorted.len() * 19 / 20).copied().unwrap_or(0.0);
        let half = (plateau / 2.0).max(FLOOR);
        let mut onsets: Vec<f64> = Vec::new();
        for n in 1..loud.len() {
            let (before, after) = (loud[n - 1], loud[n]);
            let lasts = || loud[n..].iter().take(LASTS).filter(|l| **l >= half).count() * 10 >= LASTS * 8;
            if before < half && after >= half && lasts() {
                // Between the two windows, where a straight line crosses.
                let part = f64::from((half - before) / (after - before).max(f32::MIN_POSITIVE));
                onsets.push(((n as f64 - 1.0 + part) * HOP as f64 + WINDOW as f64 / 2.0) / f64::from(RATE));
            }
        }
        // A beep that flutters is still one.
        onsets.dedup_by(|next, last| *next - *last < 0.3);
        onsets
    }

    /// The amplitude of `pitch` in each window (Goertzel's algorithm, Hann-weighted against loud neighbours).
    fn loudness(&self, pitch: u32) -> Vec<f32> {
        let turn = std::f32::consts::TAU * pitch as f32 / RATE as f32;
        let hann: Vec<f32> =
            (0..WINDOW).map(|n| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / WINDOW as f32).cos()).collect();
        let amplitude = |window: &[f32]| {
            let (mut one, mut two) = (0.0_f32, 0.0_f32);
            for (sample, weight) in window.iter().zip(&hann) {
                let next = sample * weight + 2.0 * turn.cos() * one - two;
                (two, one) = (one, next);
            }
            let power = one * one + two * two - 2.0 * turn.cos() * one * two;
            // A Hann window's mean is one half.
            power.max(0.0).sqrt() * 4.0 / WINDOW as f32
        };
        (0..self.samples.len().saturating_sub(WINDOW) / HOP)
            .map(|n| amplitude(&self.samples[n * HOP..n * HOP + WINDOW]))
            .collect()
    }
}
