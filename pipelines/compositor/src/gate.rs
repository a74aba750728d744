//! The way in for one track's frames. Runs on the meeting's streaming thread: it drops or forwards, and returns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer::prelude::*;
use gstreamer::{BufferFlags, ClockTime};
use gstreamer_app::AppSrc;
use media::{Codec, Frame, FrameSink};

/// A branch that is this far behind is given no more until the next key frame (5 s of a rich 6 Mbit/s screen).
const MOST_QUEUED_BYTES: u64 = 4 << 20;
/// As [`MOST_QUEUED_BYTES`], for streams with few bytes.
const MOST_QUEUED: Duration = Duration::from_secs(5);
/// The largest picture that is decoded: more than any meeting sends, less than a decoder would choke on. Whoever sends a
/// larger one is not asked for a lower layer: no simulcast is subscribed, so there is none to be had.
pub(crate) const LARGEST_PICTURE: (u32, u32) = (4096, 2304);
/// Silence up to this long between packets is taken for loss and concealed; longer is silence (RFC 6716 2.1.9).
const LONGEST_LOSS: u64 = 120_000_000;

/// Open while its track has a branch to feed. Shared by the sinks given out and by the stage.
#[derive(Debug)]
pub(crate) struct Gate {
    codec: Codec,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    branch: Option<AppSrc>,
    /// Nothing can be decoded before the next key frame.
    waits: bool,
    /// Where the next sound packet should begin.
    expected: Option<u64>,
}

impl Gate {
    pub(crate) fn new(codec: Codec) -> Arc<Self> {
        Arc::new(Self { codec, state: Mutex::default() })
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Another way into the same gate.
    pub(crate) fn sink(self: &Arc<Self>) -> FrameSink {
        let gate = Arc::clone(self);
        Box::new(move |frame| gate.push(frame))
    }

    /// From the next key frame on, frames go into `branch`.
    pub(crate) fn open(&self, branch: AppSrc) {
        *self.lock() = State { branch: Some(branch), waits: self.codec != Codec::Opus, expected: None };
    }

    /// Frames are dropped from now on.
    pub(crate) fn close(&self) {
        *self.lock() = State::default();
    }

    /// No more frames will come: what is queued is the end of the track.
    pub(crate) fn end(&self) {
        if let Some(branch) = self.lock().branch.take() {
            // An error means that the branch is already being taken down.
            let _ = branch.end_of_stream();
        }
    }

    fn push(&self, frame: Frame) {
        let mut state = self.lock();
        let State { branch: Some(branch), waits, expected } = &mut *state else { return };
        if *waits && !frame.keyframe {
            return;
        }
        let behind = branch.current_level_bytes() > MOST_QUEUED_BYTES
            || branch.current_level_time().is_some_and(|level| Duration::from(level) > MOST_QUEUED);
        if behind || self.codec == Codec::Vp8 && vp8_size(&frame.bytes).is_some_and(too_large) {
            *waits = self.codec != Codec::Opus;
            return;
        }
        let lasts = (self.codec == Codec::Opus).then(|| opus_nanos(&frame.bytes));
        if let (Some(lasts), Some(lost)) = (lasts, loss(*expected, frame.pts.0))
            && lost.1 >= lasts / 2
        {
            let (from, gap) = lost;
            let event = gstreamer::event::Gap::builder(ClockTime::from_nseconds(from));
            branch.send_event(event.duration(ClockTime::from_nseconds(gap)).build());
        }
        *expected = lasts.map(|lasts| frame.pts.0 + lasts);

        let pts = ClockTime::from_nseconds(frame.pts.0);
        let flags = if frame.keyframe { BufferFlags::empty() } else { BufferFlags::DELTA_UNIT };
        let mut buffer = gstreamer::Buffer::from_slice(frame.bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(pts);
            buffer.set_duration(lasts.map(ClockTime::from_nseconds));
            buffer.set_flags(flags);
        }
        *waits = branch.push_buffer(buffer).is_err() && self.codec != Codec::Opus;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every line that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begin and length of what was lost between the packet before and this one.
fn loss(expected: Option<u64>, pts: u64) -> Option<(u64, u64)> {
    let from = expected?;
    let gap = pts.checked_sub(from)?;
    (gap <= LONGEST_LOSS).then_some((from, gap))
}

pub(crate) fn too_large((width, height): (u32, u32)) -> bool {
    width > LARGEST_PICTURE.0 || height > LARGEST_PICTURE.1
}

/// Width and height that a VP8 key frame announces (RFC 6386 9.1).
fn vp8_size(frame: &[u8]) -> Option<(u32, u32)> {
    let [tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *frame else { return None };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    (tag & 1 == 0).then(|| (side(w0, w1), side(h0, h1)))
}

/// How long an Opus packet lasts (RFC 6716 3.1, 3.2): at most 120 ms, 0 for a packet that is none.
fn opus_nanos(packet: &[u8]) -> u64 {
    let Some(&toc) = packet.first() else { return 0 };
    let micros = match toc >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        config @ 12..16 => [10_000, 20_000][usize::from(config % 2)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1).copied().unwrap_or(0) & 0x3f),
    };
    (micros * frames).min(120_000) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_tell_their_length() {
        //  TOC byte, second byte            milliseconds
        #[rustfmt::skip]
        let table: [(&[u8], u64); 6] = [
            (&[0b1111_1000], 20),              // CELT fullband 20 ms, one frame
            (&[0b0000_1001], 40),              // SILK narrowband 20 ms, two frames
            (&[0b0001_1000], 60),              // SILK 60 ms
            (&[0b0001_1011, 2], 120),          // two of those
            (&[0b0001_1011, 63], 120),         // more than RFC 6716 allows
            (&[], 0),
        ];
        for (packet, millis) in table {
            assert_eq!(opus_nanos(packet), millis * 1_000_000, "{packet:?}");
        }
    }

    #[test]
    fn only_a_short_hole_is_concealed() {
        assert_eq!(loss(None, 5), None);
        assert_eq!(loss(Some(20_000_000), 60_000_000), Some((20_000_000, 40_000_000)));
        assert_eq!(loss(Some(20_000_000), 420_000_000), None);
        assert_eq!(loss(Some(20_000_000), 10_000_000), None);
    }

    #[test]
    fn a_vp8_key_frame_tells_its_size() {
        let key = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41, 0, 0];
        assert_eq!(vp8_size(&key), Some((640, 360)));
        assert!(too_large((8192, 16)) && !too_large((1920, 1080)));
        let delta = [0x11, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 0, 0];
        assert_eq!(vp8_size(&delta), None);
    }
}
