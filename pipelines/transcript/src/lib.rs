//! Speech in, text out: 16 kHz mono sound is cut at pauses, heard by Whisper and kept as cues, which are rendered as
//! WebVTT, SRT, JSON and plain text. The only user of whisper-rs. Fetches nothing, stores nothing, spawns nothing.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use transcript::{Cutter, Model, Settings, Transcript};
//! let model = Model::load("ggml-model.bin".as_ref(), "39be…")?;
//! let mut ears = model.ears("en", &Settings::default())?;
//! let mut cutter = Cutter::new(Settings::default().longest);
//! let mut cues = Vec::new();
//! for block in [vec![0.0_f32; 16_000]] {
//!     for piece in cutter.push(&block) {
//!         cues.extend(ears.hear(&piece)?);
//!     }
//! }
//! for piece in cutter.finish() {
//!     cues.extend(ears.hear(&piece)?);
//! }
//! println!("{}", Transcript::new("en", &model, cues).vtt());
//! # Ok(()) }
//! ```
//!
//! # Design
//! Sound is pushed in blocks and comes back as [`Piece`]s, so that a lecture of any length needs the memory of one
//! piece. Whisper invents words where nobody speaks, so silence never reaches it ([`Cutter`]); each piece is heard
//! without the text before it, so a loop cannot outlive its piece; and what still looks invented is marked, not
//! erased ([`flag`]): the JSON keeps every cue, captions leave out those that nobody said.

mod cut;
mod doubt;
mod ggml;
mod hear;
mod model;
mod render;

use std::time::Duration;

use media::MediaTime;
use serde::{Deserialize, Serialize};

pub use cut::{Cutter, Piece, RATE};
pub use doubt::flag;
pub use hear::{Ears, HearError};
pub use model::{Model, ModelError, TEST_MODEL_SHA256};

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Threads for one model run.
    pub threads: u16,
    /// The longest piece that is heard in one go. Whisper's own window is 30 s; shorter windows lose fewer sentences
    /// and cost more.
    pub longest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threads: 2, longest: Duration::from_secs(12) }
    }
}

/// One timed line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cue {
    pub begins: MediaTime,
    pub lasts: Duration,
    pub text: String,
    /// Mean token probability, 0 to 1.
    pub confidence: f32,
    /// Why a reader should doubt it: words from [`flag`]. Kept in the JSON, never silently dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// What was heard, machine-made and labelled so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// [`Transcript::FORMAT`].
    pub format: String,
    /// BCP 47, as asked for.
    pub language: String,
    pub machine_made: bool,
    /// File name and SHA-256 of the model.
    pub model: String,
    pub cues: Vec<Cue>,
}

impl Transcript {
    pub const FORMAT: &str = "lectern-transcript-1";

    /// Puts cues in order of time, marks what repeats, and labels the whole as made by `model`.
    #[must_use]
    pub fn new(language: &str, model: &Model, cues: Vec<Cue>) -> Self {
        Self {
            format: Self::FORMAT.into(),
            language: language.into(),
            machine_made: true,
            model: model.label(),
            cues: doubt::review(cues),
        }
    }

    /// Reads what [`Transcript::json`] wrote.
    ///
    /// # Errors
    /// When `json` is not a transcript of this format.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let transcript: Self = serde_json::from_slice(json)?;
        if transcript.format == Self::FORMAT {
            Ok(transcript)
        } else {
            Err(serde::de::Error::custom(format_args!("this is not a {} document", Self::FORMAT)))
        }
    }
}

impl Cue {
    /// Where it ends.
    #[must_use]
    pub fn ends(&self) -> MediaTime {
        self.begins.plus(self.lasts)
    }

    /// Whether captions show it. What nobody said stays in the JSON alone.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        !self.flags.iter().any(|flag| flag == flag::NO_SPEECH || flag == flag::STOCK_PHRASE)
    }
}
