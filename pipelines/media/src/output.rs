//! What a compositor makes: per rendition one init section, then parts, and word of each closed segment.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{MediaTime, WallTime};

/// The name of one output stream within a recording: `video`, `audio`, later a rung of a ladder. It appears in
/// object keys and URLs, so it is `[a-z0-9-]{1,32}` by construction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rendition(String);

impl Rendition {
    #[must_use]
    pub fn video() -> Self {
        Self("video".into())
    }

    #[must_use]
    pub fn audio() -> Self {
        Self("audio".into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A rendition's name held something other than `[a-z0-9-]{1,32}`.
#[derive(Debug, thiserror::Error)]
#[error("a rendition is named with 1 to 32 of a-z, 0-9 and '-'")]
pub struct BadRendition;

impl TryFrom<String> for Rendition {
    type Error = BadRendition;

    fn try_from(name: String) -> Result<Self, BadRendition> {
        let fits = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(name)) } else { Err(BadRendition) }
    }
}

impl From<Rendition> for String {
    fn from(rendition: Rendition) -> Self {
        rendition.0
    }
}

impl std::fmt::Display for Rendition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The picture that everything is composed onto. Width and height are even.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canvas {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
}

impl Default for Canvas {
    fn default() -> Self {
        Self { width: 1280, height: 720, fps: 30 }
    }
}

/// All that a compositor must know before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineSpec {
    pub canvas: Canvas,
    /// x264's `speed-preset`, such as `veryfast`.
    pub preset: String,
    pub video_kbps: u32,
    pub audio_kbps: u32,
}

impl Default for PipelineSpec {
    fn default() -> Self {
        Self { canvas: Canvas::default(), preset: "veryfast".into(), video_kbps: 1200, audio_kbps: 128 }
    }
}

/// `ftyp` and `moov` of one rendition, with what a multivariant playlist must say about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Init {
    pub rendition: Rendition,
    /// RFC 6381, such as `avc1.64001f` or `mp4a.40.2`.
    pub codec: String,
    /// Width, height and frames per second; none for audio.
    pub picture: Option<Canvas>,
    /// Not in JSON: travels beside the header.
    #[serde(skip)]
    pub bytes: Bytes,
}

/// One CMAF chunk (`moof` + `mdat`). The parts of a segment, one after the other, are the segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub rendition: Rendition,
    /// The segment it belongs to, counted from 0 within the epoch, the same in every rendition.
    pub segment: u64,
    /// From 0 within the segment.
    pub index: u32,
    pub lasts: Duration,
    /// Begins with a key frame. Always true for audio.
    pub independent: bool,
    #[serde(skip)]
    pub bytes: Bytes,
}

/// The last part of `segment` has been given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentClosed {
    pub rendition: Rendition,
    pub segment: u64,
    /// Position of its first sample within the epoch (its `tfdt`).
    pub begins: MediaTime,
    /// The exact sum of its samples' durations.
    pub lasts: Duration,
    /// When its first sample was captured.
    pub wall: WallTime,
}

/// What comes out of a compositor, in this order per rendition: `Init`, then for each segment its `Part`s and `Closed`.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Init(Init),
    Part(Part),
    Closed(SegmentClosed),
}
