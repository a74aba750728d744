//! The test signal as values: frames, samples and the slide's time code for a given wall time. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// 8-bit red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rgb(pub u8, pub u8, pub u8);

pub const WHITE: Rgb = Rgb(255, 255, 255);
const BLACK: Rgb = Rgb(0, 0, 0);
/// The paper of a slide: found by its colour, so nobody else may wear it, and well apart from a flash.
pub const PAPER: Rgb = Rgb(235, 215, 150);
/// The bar under a slide's title; nobody wears this either.
const BAR: Rgb = Rgb(90, 40, 120);
/// Flash and beep last this long from the beginning of each second.
pub const BEAT: Duration = Duration::from_millis(100);
/// Audio in all test signals, in Hz, mono.
pub const RATE: u32 = 48_000;
/// Fades a beep in and out so that it does not click, in samples (4 ms).
const FADE: f32 = 192.0;
/// Loud enough to be found below speech, soft enough that four together do not clip.
const BEEP: f32 = 0.12;

/// Bits of a slide's time code: sixteen of time, eight of check.
pub const CODE_BITS: u32 = 24;
/// Where the code stands on a slide, in fractions of its size: left, right, top, bottom.
pub const CODE_AT: [f64; 4] = [0.05, 0.95, 0.80, 0.94];

impl Rgb {
    /// Sum of the differences of the three channels.
    pub fn distance(self, other: Self) -> u32 {
        let apart = |a: u8, b: u8| u32::from(a.abs_diff(b));
        apart(self.0, other.0) + apart(self.1, other.1) + apart(self.2, other.2)
    }

    /// BT.601, limited range: what an SD camera sends.
    pub fn yuv(self) -> [u8; 3] {
        let [r, g, b] = [self.0, self.1, self.2].map(f32::from);
        let y = 16.0 + 0.256_788 * r + 0.504_129 * g + 0.097_906 * b;
        let u = 128.0 - 0.148_223 * r - 0.290_993 * g + 0.439_216 * b;
        let v = 128.0 + 0.439_216 * r - 0.367_788 * g - 0.071_427 * b;
        // In range by the coefficients.
        [y, u, v].map(|c| c.round() as u8)
    }
}

impl std::str::FromStr for Rgb {
    type Err = anyhow::Error;

    /// Six hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rgb = [0; 3];
        hex::decode_to_slice(text, &mut rgb)?;
        let [r, g, b] = rgb;
        Ok(Self(r, g, b))
    }
}

impl std::fmt::Display for Rgb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

/// Whether flash and beep are on, `wall` after the epoch.
pub fn on(wall: Duration) -> bool {
    wall.subsec_nanos() < BEAT.subsec_nanos()
}

/// Fills `samples` with beeps of `pitch` Hz; the first sample stands at `wall` after the epoch.
pub fn beeps(samples: &mut [i16], wall: Duration, pitch: u32) {
    let rate = u64::from(RATE);
    // Rounded, for buffers of whole samples begin at times that are not whole nanoseconds.
    let first = (u64::from(wall.subsec_nanos()) * rate + 500_000_000) / 1_000_000_000;
    let length = BEAT.as_secs_f32() * RATE as f32;
    for (n, sample) in (first..).zip(samples) {
        let at = (n % rate) as f32;
        let edge = at.min(length - at);
        let loud = (edge / FADE).clamp(0.0, 1.0) * BEEP;
        let turn = std::f32::consts::TAU * pitch as f32 * at / RATE as f32;
        *sample = (turn.sin() * loud * f32::from(i16::MAX)) as i16;
    }
}

/// A planar 4:2:0 picture.
#[derive(Debug, Clone)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// Y, then U, then V, rows without padding.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// All of one colour. Width and height are multiples of four, so that planes need no padding.
    pub fn of(colour: Rgb, width: usize, height: usize) -> Self {
        let [y, u, v] = colour.yuv();
        let (luma, chroma) = (width * height, width * height / 4);
        let mut bytes = vec![y; luma];
        bytes.resize(luma + chroma, u);
        bytes.resize(luma + 2 * chroma, v);
        Self { width, height, bytes }
    }

    /// Paints a rectangle given in fractions of the size: left, right, top, bottom.
    pub fn paint(&mut self, [left, right, top, bottom]: [f64; 4], colour: Rgb) {
        let even = |part: f64, of: usize| ((part * of as f64 / 2.0).round() as usize * 2).min(of);
        let (x0, x1) = (even(left, self.width), even(right, self.width));
        let (y0, y1) = (even(top, self.height), even(bottom, self.height));
        let [y, u, v] = colour.yuv();
        let (luma, chroma) = (self.width * self.height, self.width * self.height / 4);
        for row in y0..y1 {
            self.bytes[row * self.width + x0..row * self.width + x1].fill(y);
        }
        for (plane, value) in [(luma, u), (luma + chroma, v)] {
            for row in y0 / 2..y1 / 2 {
                let at = plane + row * self.width / 2;
                self.bytes[at + x0 / 2..at + x1 / 2].fill(value);
            }
        }
    }

    /// A slide: paper, a bar at its top, and the time code of `wall` near its foot.
    pub fn slide(wall: Duration, width: usize, height: usize) -> Self {
        let mut slide = Self::of(PAPER, width, height);
        slide.paint([0.05, 0.95, 0.06, 0.22], BAR);
        let code = encode(wall);
        for bit in 0..CODE_BITS {
            let colour = if code >> (CODE_BITS - 1 - bit) & 1 == 1 { WHITE } else { BLACK };
            slide.paint(cell(bit), colour);
        }
        slide
    }
}

/// The place of one bit of the code, in fractions of the slide.
pub fn cell(bit: u32) -> [f64; 4] {
    let [left, right, top, bottom] = CODE_AT;
    let wide = (right - left) / f64::from(CODE_BITS);
    [left + wide * f64::from(bit), left + wide * f64::from(bit + 1), top, bottom]
}

/// Tenths of a second of wall time, modulo 2^16, and a check byte.
pub fn encode(wall: Duration) -> u32 {
    let tenths = (wall.as_millis() / 100 % 65_536) as u32;
    tenths << 8 | check(tenths)
}

/// The tenths of a second that `code` tells, when its check byte fits.
pub fn decode(code: u32) -> Option<u32> {
    let tenths = code >> 8;
    (code & 0xff == check(tenths)).then_some(tenths)
}

/// Differs for any two neighbouring times and for all-black and all-white.
fn check(tenths: u32) -> u32 {
    (tenths.wrapping_mul(0x9d) ^ tenths >> 8 ^ 0x5a) & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_code_reads_back_and_a_flat_picture_does_not() {
        for tenths in [0, 1, 255, 256, 40_000, 65_535] {
            assert_eq!(decode(encode(Duration::from_millis(tenths * 100))), Some(tenths as u32));
        }
        assert_eq!(decode(0), None);
        assert_eq!(decode((1 << CODE_BITS) - 1), None);
    }

    #[test]
    fn beeps_sound_in_the_first_tenth_of_each_second_alone() {
        let mut second = [0_i16; RATE as usize];
        beeps(&mut second, Duration::from_secs(7), 10_000);
        assert!(second[..4800].iter().any(|s| *s > 3_000));
        assert!(second[4800..].iter().all(|s| *s == 0));
        let mut late = [1_i16; 480];
        beeps(&mut late, Duration::from_millis(7_990), 10_000);
        assert!(late.iter().all(|s| *s == 0));
    }

    #[test]
    fn colours_survive_their_text() {
        assert_eq!("be2828".parse::<Rgb>().unwrap().to_string(), "be2828");
        assert!("be282".parse::<Rgb>().is_err());
    }
}
