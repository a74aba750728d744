//! Whisper: PCM in, Transcript out, rendered as WebVTT, SRT, JSON and text. The only user of whisper-rs.

use std::time::Duration;

use media::MediaTime;
use serde::{Deserialize, Serialize};

/// One timed line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cue {
    pub begins: MediaTime,
    pub lasts: Duration,
    pub text: String,
    /// Mean token probability, 0 to 1.
    pub confidence: f32,
    /// Why a reader should doubt it, such as `repeats`; shown, never silently dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// What was heard, machine-made and labelled so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    pub format: String,
    pub language: String,
    pub machine_made: bool,
    /// File name and SHA-256 of the model.
    pub model: String,
    pub cues: Vec<Cue>,
}
