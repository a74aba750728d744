//! A transcript as WebVTT, SRT, JSON and plain text. Values in, text out; no renderer can fail or be broken out of by
//! what was said.

use std::fmt::Write;
use std::time::Duration;

use media::MediaTime;

use crate::{Cue, Transcript};

/// Two lines of about 42 characters: what a caption holds (BBC and Netflix guidelines agree on 37 to 42).
const LINE: usize = 42;
/// A cue is never shown for longer: it is Whisper's window, so a longer one is a mistake.
const LONGEST: Duration = Duration::from_secs(30);
/// Long enough to be a cue at all: WebVTT asks for an end after the beginning, and players count in milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);
/// A pause that begins a new paragraph of plain text.
const PARAGRAPH: Duration = Duration::from_secs(2);

/// One caption: at most two lines.
struct Caption {
    begins: MediaTime,
    ends: MediaTime,
    lines: Vec<String>,
}

impl Transcript {
    /// WebVTT (W3C, section 4): captions with a note that a machine made them.
    #[must_use]
    pub fn vtt(&self) -> String {
        let mut text = String::from("WEBVTT\n\n");
        let _ = write!(text, "NOTE\nMachine-made; may be wrong.\nModel: {}\n\n", vtt_text(&clean(&self.model)));
        for caption in self.captions() {
            let lines: Vec<String> = caption.lines.iter().map(|line| vtt_text(line)).collect();
            let (from, to) = (stamp(caption.begins, '.'), stamp(caption.ends, '.'));
            let _ = write!(text, "{from} --> {to}\n{}\n\n", lines.join("\n"));
        }
        text
    }

    /// SubRip, as players read it. It has no place for a note.
    #[must_use]
    pub fn srt(&self) -> String {
        let mut text = String::new();
        for (n, caption) in self.captions().iter().enumerate() {
            let (from, to) = (stamp(caption.begins, ','), stamp(caption.ends, ','));
            // SubRip has no escapes; an arrow in the text would read as a time line.
            let lines = caption.lines.join("\n").replace("-->", "→");
            let _ = write!(text, "{}\n{from} --> {to}\n{lines}\n\n", n + 1);
        }
        text
    }

    /// Plain text in paragraphs, each with its time.
    #[must_use]
    pub fn txt(&self) -> String {
        let mut text = format!("Machine-made transcript; may be wrong.\nModel: {}\n", clean(&self.model));
        let mut last: Option<&Cue> = None;
        for cue in self.cues.iter().filter(|cue| cue.is_shown()) {
            let pause = last.map(|last| Duration::from_nanos(cue.begins.0.saturating_sub(last.ends().0)));
            if pause.is_none_or(|pause| pause >= PARAGRAPH) {
                let _ = write!(text, "\n\n[{}]", clock(cue.begins));
            }
            let _ = write!(text, " {}", clean(&cue.text));
            last = Some(cue);
        }
        text.push('\n');
        text
    }

    /// Everything, for machines and the portal. [`Transcript::parse`] reads it.
    #[must_use]
    pub fn json(&self) -> String {
        // Strings, numbers and lists have no way to fail; confidence is never NaN after its clamp, and would be null.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn captions(&self) -> Vec<Caption> {
        let mut captions: Vec<Caption> = self.cues.iter().filter(|cue| cue.is_shown()).flat_map(split).collect();
        captions.sort_by_key(|caption| caption.begins);
        // One at a time: the next caption ends the one before it.
        for n in 1..captions.len() {
            let next = captions[n].begins;
            let before = &mut captions[n - 1];
            before.ends = before.ends.min(next).max(before.begins.plus(SHORTEST));
        }
        captions
    }
}

/// Cuts a cue into captions of two lines and shares its time by length.
fn split(cue: &Cue) -> Vec<Caption> {
    let lines = wrap(&clean(&cue.text));
    let total: usize = lines.iter().map(|line| line.chars().count()).sum();
    let lasts = cue.lasts.clamp(SHORTEST, LONGEST);
    let at = |chars: usize| {
        let share = lasts.as_nanos() * chars as u128 / total.max(1) as u128;
        cue.begins.plus(Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX)))
    };
    let (mut captions, mut said) = (Vec::new(), 0);
    for pair in lines.chunks(2) {
        let begins = at(said);
        said += pair.iter().map(|line| line.chars().count()).sum::<usize>();
        captions.push(Caption { begins, ends: at(said).max(begins.plus(SHORTEST)), lines: pair.to_vec() });
    }
    captions
}

/// Lines of at most [`LINE`] characters; a longer word is cut.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let letters: Vec<char> = word.chars().collect();
        for part in letters.chunks(LINE) {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + part.len() <= LINE => {
                    line.push(' ');
                    line.extend(part);
                }
                _ => lines.push(part.iter().collect()),
            }
        }
    }
    lines
}

/// One line of text: controls (NUL, line ends) and the marks that turn text around become spaces.
fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let spaced: String = text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// W3C WebVTT 4.2.2: cue text holds no bare `&` or `<`, and no `-->`.
fn vtt_text(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Hours (two digits or more), minutes, seconds, milliseconds.
fn stamp(at: MediaTime, point: char) -> String {
    let ms = at.0 / 1_000_000;
    format!("{}{point}{:03}", clock(at), ms % 1000)
}

fn clock(at: MediaTime) -> String {
    let seconds = at.0 / 1_000_000_000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;
