//! Runs Whisper on one piece at a time and turns its segments into cues. Blocks for as long as the model computes.

use std::ffi::c_int;
use std::ops::Range;
use std::time::Duration;

use whisper_rs::{FullParams, SamplingStrategy, WhisperError, WhisperSegment, WhisperState};

use crate::{Cue, Model, Piece, RATE, Settings, doubt};

#[derive(Debug, thiserror::Error)]
pub enum HearError {
    #[error("the model {model} does not know the language {language}; configure a model that does")]
    Language { model: String, language: String },
    #[error("no memory for the state of {model}; use a smaller model or a larger machine")]
    State { model: String, source: WhisperError },
    #[error("whisper.cpp failed on the piece that begins at {begins:.1} s")]
    Run { begins: f64, source: WhisperError },
}

/// Whisper's working state for one recording.
#[derive(Debug)]
pub struct Ears {
    state: WhisperState,
    language: &'static str,
    threads: c_int,
}

impl Ears {
    pub(crate) fn new(model: &Model, language: &str, settings: &Settings) -> Result<Self, HearError> {
        let code = model.hears(language).ok_or_else(|| HearError::Language {
            model: model.label(),
            language: language.chars().take(16).collect(),
        })?;
        let state = model.context.create_state().map_err(|source| HearError::State { model: model.label(), source })?;
        Ok(Self { state, language: code, threads: c_int::from(settings.threads.clamp(1, 64) as i16) })
    }

    /// What is said in `piece`, timed on the recording's own clock. Blocks.
    ///
    /// # Errors
    /// When whisper.cpp fails.
    pub fn hear(&mut self, piece: &Piece) -> Result<Vec<Cue>, HearError> {
        let mut how = FullParams::new(SamplingStrategy::Greedy { best_of: 5 });
        how.set_n_threads(self.threads);
        how.set_language(Some(self.language));
        // A piece stands alone: a loop or an invention is not carried into the next one.
        how.set_no_context(true);
        how.set_print_special(false);
        how.set_print_progress(false);
        how.set_print_realtime(false);
        how.set_print_timestamps(false);
        let mut sound = std::borrow::Cow::Borrowed(&piece.samples);
        if sound.len() < SHORTEST {
            sound.to_mut().resize(SHORTEST, 0.0);
        }
        self.state.full(how, &sound).map_err(|source| HearError::Run { begins: piece.begins.as_secs_f64(), source })?;
        Ok(self.state.as_iter().filter_map(|segment| cue(&segment, piece)).collect())
    }
}

/// whisper.cpp answers nothing to very short sound; 1.1 s is enough for any version of it.
const SHORTEST: usize = RATE as usize * 11 / 10;

fn cue(segment: &WhisperSegment<'_>, piece: &Piece) -> Option<Cue> {
    let text = segment.to_str_lossy().ok()?;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return None;
    }
    let told = sample(segment.start_timestamp())..sample(segment.end_timestamp());
    let heard = snap(told, &piece.speech, piece.samples.len());
    let at = |sample: usize| Duration::from_nanos(sample as u64 * 1_000_000_000 / u64::from(RATE));
    let mut cue = Cue {
        begins: piece.begins.plus(at(heard.start)),
        lasts: at(heard.len()),
        text,
        confidence: confidence(segment),
        flags: Vec::new(),
    };
    doubt::mark(&mut cue, segment.no_speech_probability());
    Some(cue)
}

/// Mean probability of the segment's words. Special and timestamp tokens say nothing about them.
fn confidence(segment: &WhisperSegment<'_>) -> f32 {
    let words: Vec<f32> = (0..segment.n_tokens())
        .filter_map(|n| segment.get_token(n))
        .filter(|token| !token.to_str_lossy().is_ok_and(|text| text.starts_with("[_")))
        .map(|token| token.token_probability())
        .collect();
    if words.is_empty() { 0.0 } else { (words.iter().sum::<f32>() / words.len() as f32).clamp(0.0, 1.0) }
}

/// Whisper counts in hundredths of a second.
fn sample(hundredths: i64) -> usize {
    usize::try_from(hundredths.max(0)).unwrap_or(usize::MAX).saturating_mul(RATE as usize / 100)
}

/// whisper.cpp lets a segment begin where the one before it ended, so a pause would be shown as speech: the beginning
/// moves to where the speech begins, and the end stays inside the piece.
fn snap(told: Range<usize>, speech: &[Range<usize>], len: usize) -> Range<usize> {
    let slack = RATE as usize / 20;
    let end = told.end.clamp(1, len.max(1));
    let onset = speech.iter().find(|span| span.end > told.start + slack).map_or(told.start, |span| span.start);
    let start = told.start.max(onset).min(end - 1);
    start..end
}

#[cfg(test)]
mod tests {
    use super::snap;

    #[test]
    fn a_cue_begins_with_its_speech_and_ends_inside_its_piece() {
        let speech = [3200..16_000, 32_000..48_000];
        //           told              becomes
        let table = [
            (0..16_000, 3200..16_000),
            (16_000..48_000, 32_000..48_000),
            (3600..9000, 3600..9000),
            (16_000..900_000, 32_000..50_000),
            (60_000..70_000, 49_999..50_000),
            (0..0, 0..1),
        ];
        for (told, becomes) in table {
            assert_eq!(snap(told.clone(), &speech, 50_000), becomes, "{told:?}");
        }
    }
}
