//! A recording's pictures, small and in colour, with their times.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use crate::participants::signal::{self, CODE_BITS, PAPER, Rgb};

/// Pictures are looked at in this size: a participant's tile is still some hundred points.
pub const WIDTH: usize = 160;
pub const HEIGHT: usize = 90;
/// Encoding, chroma subsampling and scaling move a flat colour by less than this.
pub(super) const NEAR: u32 = 75;

/// One decoded picture.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Seconds from the file's beginning.
    pub at: f64,
    rgb: Vec<u8>,
}

/// All pictures of a recording.
#[derive(Debug, Clone)]
pub struct Film {
    pub frames: Vec<Frame>,
}

/// Points `x0..x1` and `y0..y1` of a picture of [`WIDTH`] by [`HEIGHT`], and how many of them count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub x0: usize,
    pub x1: usize,
    pub y0: usize,
    pub y1: usize,
    pub points: usize,
}

impl Area {
    /// How much of the picture it covers, 0 to 1.
    pub fn share(&self) -> f64 {
        self.points as f64 / (WIDTH * HEIGHT) as f64
    }
}

impl Frame {
    /// A picture of [`WIDTH`] by [`HEIGHT`], three bytes a point.
    pub fn new(at: f64, rgb: Vec<u8>) -> Self {
        Self { at, rgb }
    }

    pub fn point(&self, x: usize, y: usize) -> Rgb {
        let at = (y * WIDTH + x) * 3;
        match self.rgb.get(at..at + 3) {
            Some([r, g, b]) => Rgb(*r, *g, *b),
            _ => Rgb(0, 0, 0),
        }
    }

    pub(super) fn index(&self, i: usize) -> Rgb {
        self.point(i % WIDTH, i / WIDTH)
    }

    /// Where `colour` stands; none when fewer than 20 points bear it.
    pub fn find(&self, colour: Rgb) -> Option<Area> {
        let mut area = Area { x0: WIDTH, x1: 0, y0: HEIGHT, y1: 0, points: 0 };
        for i in (0..WIDTH * HEIGHT).filter(|i| self.index(*i).distance(colour) < NEAR) {
            let (x, y) = (i % WIDTH, i / WIDTH);
            area.x0 = area.x0.min(x);
            area.x1 = area.x1.max(x + 1);
            area.y0 = area.y0.min(y);
            area.y1 = area.y1.max(y + 1);
            area.points += 1;
        }
        (area.points >= 20).then_some(area)
    }

    /// The time code of a slide, in tenths of a second of wall time modulo 65536; none when there is no slide, or no
    /// code that fits its check byte.
    pub fn time_code(&self) -> Option<u32> {
        let slide = self.find(PAPER)?;
        let (wide, high) = ((slide.x1 - slide.x0) as f64, (slide.y1 - slide.y0) as f64);
        let bit = |n: u32| {
            let [left, right, top, bottom] = signal::cell(n);
            let x = slide.x0 as f64 + wide * f64::midpoint(left, right);
            let y = slide.y0 as f64 + high * f64::midpoint(top, bottom);
            let Rgb(r, g, b) = self.point(x as usize, y as usize);
            u32::from(u16::from(r) + u16::from(g) + u16::from(b) > 384)
        };
        signal::decode((0..CODE_BITS).fold(0, |code, n| code << 1 | bit(n)))
    }
}

impl Film {
    /// Decodes every picture of `file`.
    ///
    /// # Errors
    /// When ffmpeg cannot, or yields another number of pictures than the container has.
    pub fn decode(file: &Path) -> anyhow::Result<Self> {
        let times = times(file)?;
        let out = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(file)
            .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", &format!("scale={WIDTH}:{HEIGHT}:flags=area")])
            .args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
            .output()
            .context("run ffmpeg (Debian: ffmpeg)")?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success() && said.is_empty(), "ffmpeg on {file:?}: {said}");
        let pictures = out.stdout.chunks_exact(WIDTH * HEIGHT * 3);
        ensure!(pictures.len() == times.len(), "{} pictures decode of {} in {file:?}", pictures.len(), times.len());
        let frames = times.into_iter().zip(pictures).map(|(at, rgb)| Frame { at, rgb: rgb.to_vec() }).collect();
        Ok(Self { frames })
    }

    /// Wall time, in seconds since 1970, of the scene that the file begins with, by the slides' time codes; `about` tells
    /// which of the repeating codes is meant. Everything on the way from camera to file is counted as lateness.
    pub fn began(&self, about: SystemTime) -> Option<f64> {
        let round = 6_553.6;
        let about = about.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let began = |frame: &Frame| {
            let shown = f64::from(frame.time_code()?) / 10.0 - frame.at;
            Some(about + (shown - about + round / 2.0).rem_euclid(round) - round / 2.0)
        };
        // A code stays until the next slide: the freshest tell the time best, and a misread one is at neither end.
        super::percentile(self.frames.iter().filter_map(began).collect(), 0.9)
    }

    /// The pictures of `from..to` seconds.
    pub fn between(&self, from: f64, to: f64) -> &[Frame] {
        let first = self.frames.partition_point(|f| f.at < from);
        let last = self.frames.partition_point(|f| f.at < to);
        &self.frames[first..last.max(first)]
    }

    /// Each full second in which `colour` has a tile for at least half of the time, and where.
    pub fn seen(&self, colour: Rgb) -> Vec<(u32, Area)> {
        let seconds = self.frames.last().map_or(0, |f| f.at as u32 + 1);
        let area = |second: u32| {
            let frames = self.between(f64::from(second), f64::from(second + 1));
            let found: Vec<_> = frames.iter().filter_map(|f| f.find(colour)).collect();
            (found.len() * 2 >= frames.len().max(1)).then(|| found.get(found.len() / 2).copied()).flatten()
        };
        (0..seconds).filter_map(|s| Some((s, area(s)?))).collect()
    }
}

/// The presentation times of all video packets, in order, in seconds.
///
/// # Errors
/// When ffprobe cannot read `file`.
pub fn times(file: &Path) -> anyhow::Result<Vec<f64>> {
    let args = ["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0"];
    let out = String::from_utf8(super::run("ffprobe", &args, file)?)?;
    let mut times = Vec::new();
    for line in out.lines().filter(|l| !l.is_empty()) {
        times.push(line.trim_end_matches(',').parse().with_context(|| format!("the time {line:?}"))?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
