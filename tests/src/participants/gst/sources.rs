//! Frames and samples for a wall time, pushed when that time has come. Each runs on a thread of its own until told.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::Options;
use crate::participants::signal::{self, Picture, RATE, WHITE};

/// What the source threads share with the loop.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) camera_off: AtomicBool,
    pub(super) mic_off: AtomicBool,
    pub(super) end: AtomicBool,
    speech: Mutex<VecDeque<(PathBuf, VecDeque<i16>)>>,
}

impl Shared {
    /// Queues what the file `path` holds; the microphone tells when it has been said.
    pub(super) fn say(&self, path: PathBuf, words: VecDeque<i16>) {
        self.speech.lock().unwrap_or_else(PoisonError::into_inner).push_back((path, words));
    }
}

/// The pipeline's time and the wall's.
#[derive(Debug, Clone)]
pub(super) struct Time {
    clock: gst::Clock,
    base: gst::ClockTime,
    /// Wall time at running time zero, since the epoch.
    zero: Duration,
}

impl Time {
    pub(super) fn of(pipeline: &gst::Pipeline) -> anyhow::Result<Self> {
        let clock = pipeline.clock().context("a playing pipeline has a clock")?;
        let base = pipeline.base_time().context("a playing pipeline has a base time")?;
        let running = clock.time() - base;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH)?;
        Ok(Self { clock, base, zero: wall - Duration::from(running) })
    }

    fn now(&self) -> Duration {
        (self.clock.time() - self.base).into()
    }

    /// Sleeps until running time `at`.
    fn until(&self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.now()));
    }
}

/// Frames on the grid of wall time: one of them begins exactly with each second.
pub(super) fn camera(options: &Options, shared: &Shared, time: &Time, source: &gst_app::AppSrc) {
    let (width, height) = (options.width as usize, options.height as usize);
    let (dark, bright) = (Picture::of(options.colour, width, height), Picture::of(WHITE, width, height));
    let (second, fps) = (1_000_000_000_u128, u128::from(options.fps));
    // In exact numbers: a frame's length rounded to nanoseconds is off by seconds when counted from 1970.
    let mut count = ((time.zero + time.now()).as_nanos() * fps).div_ceil(second);
    while !shared.end.load(Ordering::Relaxed) {
        let wall = Duration::from_nanos(u64::try_from(count * second / fps).unwrap_or(u64::MAX));
        let at = wall.saturating_sub(time.zero);
        count += 1;
        time.until(at);
        if shared.camera_off.load(Ordering::Relaxed) {
            continue;
        }
        let bytes = match &options.slides {
            Some(_) => Picture::slide(wall, width, height).bytes,
            None if signal::on(wall) => bright.bytes.clone(),
            None => dark.bytes.clone(),
        };
        if push(source, bytes, at, Duration::from_secs(1) / options.fps).is_err() {
            return;
        }
    }
}

/// Opus' own frame length.
pub(super) const PERIOD: Duration = Duration::from_millis(20);
/// Speech is brought down to leave room for the beeps of four people.
const SPEECH: f32 = 0.5;

/// Samples without a gap from now on, 20 ms at a time.
pub(super) fn microphone(pitch: u32, shared: &Shared, time: &Time, source: &gst_app::AppSrc) {
    let mut at = time.now();
    while !shared.end.load(Ordering::Relaxed) {
        let mut samples = [0_i16; (RATE / 50) as usize];
        signal::beeps(&mut samples, time.zero + at, pitch);
        speak(&mut samples, shared);
        if shared.mic_off.load(Ordering::Relaxed) {
            samples.fill(0);
        }
        time.until(at + PERIOD);
        if push(source, samples.iter().flat_map(|s| s.to_le_bytes()).collect(), at, PERIOD).is_err() {
            return;
        }
        at += PERIOD;
    }
}

/// Adds what is to be said, and tells when it has been.
fn speak(samples: &mut [i16], shared: &Shared) {
    let mut speech = shared.speech.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((path, words)) = speech.front_mut() else { return };
    for (sample, word) in samples.iter_mut().zip(words.drain(..words.len().min(RATE as usize / 50))) {
        *sample = sample.saturating_add((f32::from(word) * SPEECH) as i16);
    }
    if words.is_empty() {
        println!("spoken {}", path.display());
        speech.pop_front();
    }
}

fn push(source: &gst_app::AppSrc, bytes: Vec<u8>, at: Duration, lasts: Duration) -> Result<(), gst::FlowError> {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(at).ok());
        buffer.set_duration(gst::ClockTime::try_from(lasts).ok());
    }
    source.push_buffer(buffer).map(drop)
}
