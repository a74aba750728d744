//! What a recording holds, found by decoding it: frames, flashes, beeps, colours, time codes, words.
//! Knows the test signal ([`crate::participants`]) and nothing about who recorded it.

pub mod beat;
pub mod film;
pub mod sound;
pub mod words;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

pub use beat::{Beats, beats};
pub use film::{Area, Film, Frame};
pub use sound::Sound;
pub use words::{error_rate, words};

/// The container's facts, by ffprobe.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub video: String,
    pub audio: String,
    pub width: u32,
    pub height: u32,
    /// Seconds.
    pub duration: f64,
    /// `moov` stands before `mdat`, so that a player can begin at once.
    pub progressive: bool,
}

#[derive(Debug, Deserialize)]
struct Told {
    streams: Vec<Stream>,
    format: Format,
}

#[derive(Debug, Deserialize)]
struct Stream {
    codec_type: String,
    codec_name: String,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
}

#[derive(Debug, Deserialize)]
struct Format {
    duration: String,
}

/// Reads the facts of the MP4 at `file`: one video and one audio stream.
///
/// # Errors
/// When ffprobe cannot read it, or a stream is missing.
pub fn probe(file: &Path) -> anyhow::Result<Probe> {
    let out = run("ffprobe", &["-v", "error", "-show_streams", "-show_format", "-of", "json"], file)?;
    let told: Told = serde_json::from_slice(&out)?;
    let one = |kind: &str| {
        let found = told.streams.iter().find(|s| s.codec_type == kind);
        found.with_context(|| format!("{file:?} has no {kind} stream"))
    };
    let (video, audio) = (one("video")?, one("audio")?);
    Ok(Probe {
        video: video.codec_name.clone(),
        audio: audio.codec_name.clone(),
        width: video.width,
        height: video.height,
        duration: told.format.duration.parse()?,
        progressive: boxes(file)?.iter().find(|b| *b == b"moov" || *b == b"mdat").is_some_and(|b| b == b"moov"),
    })
}

/// The names of the file's top-level boxes (ISO/IEC 14496-12, 4.2).
fn boxes(file: &Path) -> anyhow::Result<Vec<[u8; 4]>> {
    let bytes = std::fs::read(file)?;
    let (mut at, mut names) = (0_usize, Vec::new());
    while let Some([a, b, c, d, name @ ..]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        names.push(*name);
        let size = match u32::from_be_bytes([*a, *b, *c, *d]) {
            0 => break,
            1 => {
                let long = bytes.get(at + 8..).and_then(|rest| rest.first_chunk::<8>()).context("a box's long size")?;
                usize::try_from(u64::from_be_bytes(*long))?
            }
            size => usize::try_from(size)?,
        };
        ensure!(size >= 8, "a box of {size} bytes in {file:?}");
        at += size;
    }
    Ok(names)
}

/// Pictures whose distance from their predecessor is not one frame's: (time, distance), in seconds.
pub fn jumps(times: &[f64], fps: u32) -> Vec<(f64, f64)> {
    let one = 1.0 / f64::from(fps);
    let steps = times.windows(2).map(|w| (w[0], w[1] - w[0]));
    steps.filter(|(_, step)| (step - one).abs() > one / 2.0).collect()
}

/// The value below which `part` (0 to 1) of `values` lie; none of none.
pub fn percentile(mut values: Vec<f64>, part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((part * last as f64).ceil() as usize).copied()
}

/// Runs a tool on `file` and returns what it prints.
fn run(tool: &str, args: &[&str], file: &Path) -> anyhow::Result<Vec<u8>> {
    let out =
        Command::new(tool).args(args).arg(file).output().with_context(|| format!("run {tool} (Debian: ffmpeg)"))?;
    ensure!(out.status.success(), "{tool} on {file:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(out.stdout)
}
