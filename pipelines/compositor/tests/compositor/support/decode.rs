//! Another implementation's view of the output: ffmpeg decodes it, and simple arithmetic looks and listens.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use layout::Rect;
use media::Canvas;

use super::rig::Taken;

fn ffmpeg(file: Vec<u8>, arguments: &[&str]) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-i", "pipe:0"])
        .args(arguments)
        .arg("pipe:1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg is not installed");
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || input.write_all(&file));
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    feeder.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    out
}

/// Decoded pictures, I420.
pub(crate) struct Pictures {
    canvas: Canvas,
    bytes: Vec<u8>,
}

impl Pictures {
    pub(crate) fn of(taken: &Taken) -> Self {
        let canvas = taken.init.as_ref().unwrap().picture.unwrap();
        // -vsync 0: as many pictures as there are, none made up, none left out.
        let bytes = ffmpeg(taken.file(), &["-vsync", "0", "-f", "rawvideo", "-pix_fmt", "yuv420p"]);
        Self { canvas, bytes }
    }

    fn size(&self) -> usize {
        (self.canvas.width * self.canvas.height * 3 / 2) as usize
    }

    pub(crate) fn count(&self) -> usize {
        self.bytes.len() / self.size()
    }

    /// Number of the picture that is shown at `position`.
    pub(crate) fn at(&self, position: Duration) -> usize {
        (position.as_secs_f64() * f64::from(self.canvas.fps)) as usize
    }

    /// Luma of `place` in picture `n`, row by row.
    pub(crate) fn luma(&self, n: usize, place: Rect) -> Vec<u8> {
        let frame = &self.bytes[n * self.size()..(n + 1) * self.size()];
        let row = |y: u32| (y * self.canvas.width + place.x) as usize;
        (place.y..place.y + place.height).flat_map(|y| &frame[row(y)..row(y) + place.width as usize]).copied().collect()
    }

    /// Y, U and V at a point of picture `n`.
    pub(crate) fn yuv(&self, n: usize, x: u32, y: u32) -> [u8; 3] {
        let frame = &self.bytes[n * self.size()..(n + 1) * self.size()];
        let (width, height) = (self.canvas.width as usize, self.canvas.height as usize);
        let (x, y) = (x as usize, y as usize);
        let chroma = width * height + (y / 2) * (width / 2) + x / 2;
        [frame[y * width + x], frame[chroma], frame[chroma + width * height / 4]]
    }

    /// The named colour at a point of picture `n`.
    pub(crate) fn colour(&self, n: usize, x: u32, y: u32) -> Colour {
        Colour::nearest(self.yuv(n, x, y))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Black,
    Card,
    White,
    Red,
    Green,
    Blue,
}

impl Colour {
    /// By distance in BT.601, limited range.
    fn nearest(yuv: [u8; 3]) -> Self {
        #[rustfmt::skip]
        let known = [
            (Self::Black, [ 16, 128, 128]),
            (Self::Card,  [ 46, 130, 126]),
            (Self::White, [235, 128, 128]),
            (Self::Red,   [ 81,  90, 240]),
            (Self::Green, [145,  54,  34]),
            (Self::Blue,  [ 41, 240, 110]),
        ];
        let distance =
            |to: [u8; 3]| yuv.iter().zip(to).map(|(&a, b)| (i32::from(a) - i32::from(b)).pow(2)).sum::<i32>();
        let (colour, nearest) = known.into_iter().min_by_key(|(_, to)| distance(*to)).unwrap();
        assert!(distance(nearest) < 30 * 30, "{yuv:?} is no colour of ours; nearest is {colour:?}");
        colour
    }
}

pub(crate) const RATE: f64 = 48_000.0;

/// Decoded sound, the left channel, -1 to 1.
pub(crate) struct Sound(pub(crate) Vec<f32>);

impl Sound {
    pub(crate) fn of(taken: &Taken) -> Self {
        let bytes = ffmpeg(taken.file(), &["-f", "f32le", "-ac", "2", "-ar", "48000"]);
        Self(bytes.chunks_exact(8).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    pub(crate) fn between(&self, from: Duration, to: Duration) -> &[f32] {
        let at = |t: Duration| ((t.as_secs_f64() * RATE) as usize).min(self.0.len());
        &self.0[at(from)..at(to)]
    }

    /// Amplitude of the tone of `hertz`, by Goertzel's algorithm.
    pub(crate) fn tone(&self, hertz: f64, from: Duration, to: Duration) -> f64 {
        let samples = self.between(from, to);
        let turn = 2.0 * (std::f64::consts::TAU * hertz / RATE).cos();
        let (mut one, mut two) = (0.0, 0.0);
        for &sample in samples {
            (one, two) = (f64::from(sample) + turn * one - two, one);
        }
        let power = one * one + two * two - turn * one * two;
        2.0 * power.max(0.0).sqrt() / samples.len() as f64
    }

    /// Where the sound first gets louder than `level` at or after `from`.
    pub(crate) fn onset(&self, level: f32, from: Duration) -> Option<Duration> {
        let first = (from.as_secs_f64() * RATE) as usize;
        let found = self.0.iter().skip(first).position(|sample| sample.abs() > level)?;
        Some(Duration::from_secs_f64((first + found) as f64 / RATE))
    }
}
