//! Cuts sound at its pauses. Decides where somebody may be speaking from energy alone; what is said is not its matter.
//!
//! A frame counts as speech when it rises above a noise floor that follows the last half minute, so a fan or a hum ends
//! up below the bar. A lone click is too short, a beep is too pure, and a short pause does not cut.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use media::MediaTime;

/// Samples per second that everything here, and Whisper, works at.
pub const RATE: u32 = 16_000;

/// 20 ms: shorter than a phoneme.
const FRAME: usize = 320;
/// Three frames above the bar open a span; a click is shorter.
const OPENS: usize = 3;
/// 0.3 s below the bar close a span: longer than the stop of a consonant, shorter than the pause after a sentence.
const CLOSES: usize = 15;
/// A voice rises and falls by tens of dB within a word; a hum or a fan that has just been switched on does not.
const STEADY: f32 = 6.0;
/// 0.5 s: a single vowel may be steady for less.
const STEADY_FROM: usize = 25;
/// Spans shorter than 0.1 s are knocks and clicks.
const SHORTEST: usize = 5;
/// 0.2 s around speech, for soft beginnings and endings.
const PAD: usize = 10;
/// Pauses up to 1 s stay inside a piece: the words around them belong together.
const JOINS: usize = 50;

/// A stretch with speech in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Where its first sample lies in the whole.
    pub begins: MediaTime,
    /// At [`RATE`].
    pub samples: Vec<f32>,
    /// Where the speech lies inside the piece, in samples.
    pub speech: Vec<Range<usize>>,
}

/// Takes sound in blocks of any size, gives pieces as soon as they are complete.
#[derive(Debug)]
pub struct Cutter {
    /// In frames.
    longest: usize,
    floor: Floor,
    pass: HighPass,
    /// Samples that may still be needed; the first is sample `first_frame * FRAME` of the whole.
    kept: Vec<f32>,
    first_frame: usize,
    /// The kept frames.
    frames: VecDeque<Frame>,
    /// Frames judged so far.
    now: usize,
    above: usize,
    below: usize,
    /// Where the span in progress began.
    open: Option<usize>,
    /// Closed spans of the piece in progress, in frames.
    spans: Vec<Range<usize>>,
    /// Where the last piece ended: nothing is heard twice.
    given: usize,
    out: Vec<Piece>,
}

impl Cutter {
    /// No piece will be longer than `longest` and its padding.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        let frames = longest.as_millis() / 20;
        Self {
            // Whisper's window is 30 s, and half of the longest piece must hold a word.
            longest: usize::try_from(frames).unwrap_or(usize::MAX).clamp(100, 1480),
            floor: Floor::new(),
            pass: HighPass::default(),
            kept: Vec::new(),
            first_frame: 0,
            frames: VecDeque::new(),
            now: 0,
            above: 0,
            below: 0,
            open: None,
            spans: Vec::new(),
            given: 0,
            out: Vec::new(),
        }
    }

    /// Takes mono samples at [`RATE`], -1 to 1. What is not a number counts as silence.
    pub fn push(&mut self, samples: &[f32]) -> Vec<Piece> {
        self.kept.extend(samples.iter().map(|s| if s.is_finite() { s.clamp(-1.0, 1.0) } else { 0.0 }));
        while self.kept.len() >= (self.now + 1 - self.first_frame) * FRAME {
            let at = (self.now - self.first_frame) * FRAME;
            let frame = self.pass.look(&self.kept[at..at + FRAME]);
            self.judge(frame);
        }
        self.forget();
        std::mem::take(&mut self.out)
    }

    /// There is no more sound: closes what is open.
    #[must_use]
    pub fn finish(mut self) -> Vec<Piece> {
        let missing = self.kept.len().next_multiple_of(FRAME) - self.kept.len();
        let mut pieces = self.push(&vec![0.0; missing]);
        if let Some(open) = self.open.take() {
            self.close(open..self.now - self.below);
        }
        self.give_out(PAD);
        pieces.append(&mut self.out);
        pieces
    }

    fn judge(&mut self, frame: Frame) {
        let speech = frame.level > self.floor.bar();
        self.floor.note(frame.level);
        self.frames.push_back(frame);
        self.now += 1;
        (self.above, self.below) = if speech { (self.above + 1, 0) } else { (0, self.below + 1) };
        match self.open {
            None if self.above >= OPENS => self.open = Some(self.now - OPENS),
            None => {
                if self.spans.last().is_some_and(|last| self.now - last.end > JOINS) {
                    self.give_out(PAD);
                }
            }
            Some(open) if self.below >= CLOSES => {
                self.open = None;
                self.close(open..self.now - CLOSES);
            }
            Some(open) if self.now - open >= self.longest => {
                // Nobody breathes: cut where it is quietest in the second half.
                let half = open + self.longest / 2;
                let quietest = (half..self.now).min_by(|a, b| self.level(*a).total_cmp(&self.level(*b)));
                let at = quietest.unwrap_or(self.now);
                self.close(open..at);
                self.give_out(0);
                self.open = Some(at);
            }
            Some(_) => {}
        }
    }

    fn level(&self, frame: usize) -> f32 {
        self.frames.get(frame - self.first_frame).map_or(f32::MAX, |frame| frame.level)
    }

    fn close(&mut self, span: Range<usize>) {
        if span.len() < SHORTEST || self.is_steady(&span) || self.is_beep(&span) {
            return;
        }
        if self.spans.first().is_some_and(|first| span.end - first.start > self.longest) {
            self.give_out(PAD);
        }
        self.spans.push(span);
    }

    fn is_steady(&self, span: &Range<usize>) -> bool {
        let mut levels: Vec<f32> = span.clone().map(|frame| self.level(frame)).collect();
        levels.sort_by(f32::total_cmp);
        let share = levels.len() / 10;
        levels.len() >= STEADY_FROM && levels[levels.len() - 1 - share] - levels[share] < STEADY
    }

    fn is_beep(&self, span: &Range<usize>) -> bool {
        let frames = self.frames.range(span.start - self.first_frame..span.end - self.first_frame);
        let (pure, loud) = frames.fold((0, 0), |(pure, loud), frame| {
            (pure + usize::from(frame.loud && frame.pure), loud + usize::from(frame.loud))
        });
        pure * 2 >= loud
    }

    fn give_out(&mut self, pad: usize) {
        let spans = std::mem::take(&mut self.spans);
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return };
        let from = first.start.saturating_sub(PAD).max(self.given);
        let to = (last.end + pad).min(self.now);
        self.given = to;
        let inside = |frame: usize| (frame.clamp(from, to) - from) * FRAME;
        let samples = self.kept[(from - self.first_frame) * FRAME..(to - self.first_frame) * FRAME].to_vec();
        let nanos = from as u64 * FRAME as u64 * 1_000_000_000 / u64::from(RATE);
        self.out.push(Piece {
            begins: MediaTime(nanos),
            samples,
            speech: spans.iter().map(|s| inside(s.start)..inside(s.end)).collect(),
        });
    }

    /// Lets go of samples that no piece can reach any more.
    fn forget(&mut self) {
        let needed = self.spans.first().map(|s| s.start).or(self.open).unwrap_or(self.now - self.above.min(OPENS));
        let upto = needed.saturating_sub(PAD).max(self.first_frame);
        self.kept.drain(..(upto - self.first_frame) * FRAME);
        self.frames.drain(..upto - self.first_frame);
        self.first_frame = upto;
    }
}

/// The level of the background: low and high percentiles of the last half minute, in 1 dB steps.
#[derive(Debug)]
struct Floor {
    recent: VecDeque<u8>,
    counts: [u32; 101],
}

impl Floor {
    const WINDOW: usize = 1500;
    /// Speech below -55 dBFS is not heard by people either.
    const LOWEST_BAR: f32 = -55.0;

    fn new() -> Self {
        let mut floor = Self { recent: VecDeque::with_capacity(Self::WINDOW + 1), counts: [0; 101] };
        // Until something is known, the room is taken for quiet, so that a recording may begin with a word.
        for _ in 0..50 {
            floor.note(-60.0);
        }
        floor
    }

    fn note(&mut self, level: f32) {
        let bin = (-level).clamp(0.0, 100.0) as u8;
        self.recent.push_back(bin);
        self.counts[usize::from(bin)] += 1;
        if self.recent.len() > Self::WINDOW
            && let Some(old) = self.recent.pop_front()
        {
            self.counts[usize::from(old)] -= 1;
        }
    }

    /// The level that `share` of the recent frames are louder than.
    fn louder(&self, share: f32) -> f32 {
        let wanted = share * self.recent.len() as f32;
        let mut seen = 0.0;
        let bin = self.counts.iter().position(|n| {
            seen += *n as f32;
            seen >= wanted
        });
        -(bin.unwrap_or(100) as f32)
    }

    fn bar(&self) -> f32 {
        let (quiet, loud) = (self.louder(0.9), self.louder(0.05));
        (quiet + (0.3 * (loud - quiet)).clamp(6.0, 12.0)).max(Self::LOWEST_BAR)
    }
}

/// What is known of 20 ms of sound.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Mean power in dB below full scale.
    level: f32,
    /// Can be heard at all.
    loud: bool,
    /// One tone and next to nothing else.
    pure: bool,
}

/// Takes away what lies below the voice (mains hum, rumble, an offset): one pole at about 100 Hz.
#[derive(Debug, Default)]
struct HighPass {
    before: f32,
    /// The last three samples that came out, the newest first.
    out: [f32; 3],
}

/// Two samples of a pure tone foretell the third to this share of its power; of a voice, hardly any frame's do
/// (measured on synthetic voices: 5 % of frames, against 80 % of a beep's after AAC).
const FORETOLD: f32 = 0.001;

impl HighPass {
    fn look(&mut self, frame: &[f32]) -> Frame {
        // Sums for the best foretelling of a sample from the two before it, by least squares.
        let ([mut c00, mut c01, mut c02], [mut c11, mut c12, mut c22]) = ([0.0; 3], [0.0; 3]);
        for sample in frame {
            let [last, older, _] = self.out;
            let now = 0.96 * (last + sample - self.before);
            (self.before, self.out) = (*sample, [now, last, older]);
            (c00, c01, c02) = (c00 + now * now, c01 + now * last, c02 + now * older);
            (c11, c12, c22) = (c11 + last * last, c12 + last * older, c22 + older * older);
        }
        let level = 10.0 * (c00 / frame.len() as f32 + 1e-10).log10();
        let determinant = c11 * c22 - c12 * c12;
        let (a, b) = (c01 * c22 - c02 * c12, c02 * c11 - c01 * c12);
        let surprise = c00 * determinant - a * c01 - b * c02;
        Frame { level, loud: level > Floor::LOWEST_BAR, pure: surprise <= FORETOLD * c00 * determinant }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A voice-like buzz: 150 Hz with harmonics, swelling four times a second like syllables.
    fn voice(seconds: f32, loud: f32) -> Vec<f32> {
        (0..(seconds * 16_000.0) as usize)
            .map(|n| {
                let t = n as f32 / 16_000.0;
                let tone: f32 = (2..9).map(|k| (t * 150.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
                loud * tone * (0.6 - 0.4 * (t * 4.0 * std::f32::consts::TAU).cos())
            })
            .collect()
    }

    fn silence(seconds: f32) -> Vec<f32> {
        vec![0.0; (seconds * 16_000.0) as usize]
    }

    fn noise(seconds: f32, loud: f32) -> Vec<f32> {
        let mut seed = 1_u32;
        (0..(seconds * 16_000.0) as usize)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                loud * (seed as f32 / u32::MAX as f32 * 2.0 - 1.0)
            })
            .collect()
    }

    fn cut(sound: &[f32]) -> Vec<Piece> {
        let mut cutter = Cutter::new(Duration::from_secs(12));
        let mut pieces = cutter.push(sound);
        pieces.extend(cutter.finish());
        pieces
    }

    /// Beginning and end of each piece, in tenths of a second.
    fn tenths(pieces: &[Piece]) -> Vec<(u64, u64)> {
        let tenth = |n: u64| (n + 800) / 1600;
        pieces
            .iter()
            .map(|p| (p.begins.0 / 62_500, p.samples.len() as u64))
            .map(|(begins, lasts)| (tenth(begins), tenth(begins + lasts)))
            .collect()
    }

    #[test]
    fn a_long_pause_cuts_and_a_short_one_does_not() {
        let sound =
            [silence(1.0), voice(2.0, 0.2), silence(0.6), voice(1.0, 0.2), silence(3.0), voice(1.5, 0.2)].concat();
        let pieces = cut(&sound);
        assert_eq!(tenths(&pieces), [(8, 48), (74, 91)]);
        assert_eq!(pieces[0].speech.len(), 2, "the short pause is still known");
    }

    #[test]
    fn silence_noise_and_hum_give_nothing() {
        let hum: Vec<f32> =
            (0..320_000).map(|n| 0.1 * (n as f32 / 16_000.0 * 50.0 * std::f32::consts::TAU).sin()).collect();
        assert_eq!(cut(&silence(20.0)), []);
        assert_eq!(cut(&noise(20.0, 0.001)), []);
        assert_eq!(cut(&hum), []);
        assert_eq!(cut(&[f32::NAN; 32_000]), []);
        assert_eq!(cut(&[]), []);
    }

    #[test]
    fn steady_noise_is_learnt_and_speech_above_it_still_found() {
        let mut sound = noise(40.0, 0.02);
        for (n, s) in voice(2.0, 0.3).into_iter().enumerate() {
            sound[30 * 16_000 + n] += s;
        }
        assert_eq!(tenths(&cut(&sound)), [(298, 322)]);
    }

    #[test]
    fn a_talker_without_breath_is_cut_into_pieces_that_miss_nothing() {
        let pieces = cut(&[silence(1.0), voice(40.0, 0.2), silence(1.0)].concat());
        assert!(pieces.iter().all(|p| p.samples.len() <= 16_000 * 13), "{:?}", tenths(&pieces));
        let spoken: usize = pieces.iter().flat_map(|p| &p.speech).map(ExactSizeIterator::len).sum();
        assert!(spoken.abs_diff(40 * 16_000) < 1600, "{spoken}");
    }

    #[test]
    fn a_click_is_not_speech() {
        let mut sound = silence(5.0);
        sound[40_000..40_100].fill(0.9);
        assert_eq!(cut(&sound), []);
    }

    #[test]
    fn beeps_are_not_speech_and_speech_between_them_is_found() {
        let beeps = |hz: f64| -> Vec<f32> {
            let at = |n: u32| f64::from(n) / 16_000.0;
            let tone = |t: f64| if t.fract() < 0.1 { 0.3 * (t * hz * std::f64::consts::TAU).sin() } else { 0.0 };
            (0..16_000 * 12).map(|n| tone(at(n)) as f32).collect()
        };
        for hz in [440.0, 1000.0, 3100.0, 7000.0] {
            assert_eq!(cut(&beeps(hz)), [], "{hz} Hz");
            let mut sound = beeps(hz);
            for (n, s) in voice(0.5, 0.2).into_iter().enumerate() {
                sound[16_000 * 5 + 4800 + n] += s;
            }
            assert_eq!(tenths(&cut(&sound)), [(48, 63)], "{hz} Hz");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn blocks_of_any_size_give_the_same_pieces(sizes in proptest::collection::vec(1_usize..9000, 1..20)) {
            let sound = [voice(1.0, 0.2), silence(1.5), voice(3.0, 0.1), silence(0.5), voice(9.0, 0.3)].concat();
            let mut cutter = Cutter::new(Duration::from_secs(4));
            let (mut pieces, mut at) = (Vec::new(), 0);
            for size in sizes.iter().cycle() {
                let to = (at + size).min(sound.len());
                pieces.extend(cutter.push(&sound[at..to]));
                at = to;
                if at == sound.len() { break }
            }
            pieces.extend(cutter.finish());
            let mut whole = Cutter::new(Duration::from_secs(4));
            let mut expected = whole.push(&sound);
            expected.extend(whole.finish());
            prop_assert_eq!(pieces, expected);
        }
    }
}
