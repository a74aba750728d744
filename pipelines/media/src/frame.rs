//! What a track carries: encoded frames on their way in, PCM on its way to speech recognition.

use bytes::Bytes;

use crate::RunningTime;

/// One encoded access unit.
///
/// H.264 is Annex B, a whole access unit, parameter sets in band before every key frame; VP8 is one frame; Opus is
/// one packet (RFC 6716). An empty `bytes` never occurs.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When it is to be shown or heard, in the process' shared running time.
    pub pts: RunningTime,
    pub keyframe: bool,
    pub bytes: Bytes,
}

/// Where frames go. Called on a streaming thread: it must forward, copy or count, and return at once.
pub type FrameSink = Box<dyn FnMut(Frame) + Send>;

/// Mono samples, -1.0 to 1.0.
#[derive(Debug, Clone, Default)]
pub struct Pcm {
    pub rate: u32,
    pub samples: Vec<f32>,
}
