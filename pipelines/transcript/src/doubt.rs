//! What a reader should doubt. Whisper loops, and invents where nobody speaks (Koenecke et al., arXiv 2402.08021);
//! both leave traces, and a cue that shows them is marked.

use crate::Cue;

/// The words in [`Cue::flags`].
pub mod flag {
    /// The model itself thought that nobody spoke. Left out of captions.
    pub const NO_SPEECH: &str = "no-speech";
    /// A subtitler's credit or a greeting that models learnt from films. Left out of captions.
    pub const STOCK_PHRASE: &str = "stock-phrase";
    /// The model was stuck; what it said many times is kept once.
    pub const REPEATS: &str = "repeats";
    /// The words are unlikely ones.
    pub const UNSURE: &str = "unsure";
}

/// The same words this often in a row are a loop, not a speaker.
const LOOP: usize = 5;
/// Cues alike this often in a row are a loop.
const LOOPED_CUES: usize = 4;
/// A loop is sought among phrases of up to this many words.
const PHRASE: usize = 12;
/// whisper.cpp's own bar for silence.
const NO_SPEECH: f32 = 0.6;
const UNSURE: f32 = 0.5;

/// How cues begin that stand in subtitle files of the training data, in the languages we serve. The rest of such a
/// cue is somebody's name.
const STOCK: [&str; 14] = [
    "undertekster av ",
    "undertekster af ",
    "undertexter av ",
    "undertexter från ",
    "textning av ",
    "textat av ",
    "teksting av ",
    "tekstet af ",
    "tekstet av ",
    "danske tekster af ",
    "tekstitys ",
    "subtitles by ",
    "subtitles made by ",
    "thanks for watching",
];

/// Marks one cue by itself.
pub(crate) fn mark(cue: &mut Cue, no_speech: f32) {
    if no_speech > NO_SPEECH && cue.confidence < UNSURE {
        add(cue, flag::NO_SPEECH);
    } else if cue.confidence < UNSURE {
        add(cue, flag::UNSURE);
    }
    let plain = cue.text.to_lowercase();
    if STOCK.iter().any(|phrase| plain.starts_with(phrase)) {
        add(cue, flag::STOCK_PHRASE);
    }
    if let Some(once) = unloop(&cue.text) {
        cue.text = once;
        add(cue, flag::REPEATS);
    }
}

/// Puts cues in order and joins a run of alike cues into its first, which then lasts as long as the run.
pub(crate) fn review(mut cues: Vec<Cue>) -> Vec<Cue> {
    cues.sort_by_key(|cue| cue.begins);
    let mut reviewed: Vec<Cue> = Vec::with_capacity(cues.len());
    for run in cues.chunk_by(|a, b| a.text.eq_ignore_ascii_case(&b.text)) {
        match run {
            [first, .., last] if run.len() >= LOOPED_CUES => {
                let lasts = std::time::Duration::from_nanos(last.ends().0.saturating_sub(first.begins.0));
                let mut joined = Cue { lasts, ..first.clone() };
                add(&mut joined, flag::REPEATS);
                reviewed.push(joined);
            }
            _ => reviewed.extend_from_slice(run),
        }
    }
    reviewed
}

fn add(cue: &mut Cue, flag: &str) {
    if !cue.flags.iter().any(|f| f == flag) {
        cue.flags.push(flag.into());
    }
}

/// `text` with every loop in it said once; none if there is no loop.
fn unloop(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let (mut kept, mut at, mut looped) = (Vec::new(), 0, false);
    while at < words.len() {
        let (length, times) = longest_loop(&plain[at..]);
        kept.extend_from_slice(&words[at..at + length]);
        looped |= times > 1;
        at += length * times;
    }
    looped.then(|| kept.join(" "))
}

/// The phrase that `words` begin with, and how often it is said; one word, once, if that is no loop.
fn longest_loop(words: &[String]) -> (usize, usize) {
    (1..=PHRASE.min(words.len()))
        .map(|length| {
            let phrase = &words[..length];
            (length, words.chunks_exact(length).take_while(|chunk| *chunk == phrase).count())
        })
        .find(|(_, times)| *times >= LOOP)
        .unwrap_or((1, 1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::MediaTime;
    use proptest::prelude::*;

    use super::*;

    fn said(second: u64, text: &str) -> Cue {
        let (begins, lasts) = (MediaTime(second * 1_000_000_000), Duration::from_secs(1));
        Cue { begins, lasts, text: text.into(), confidence: 0.9, flags: Vec::new() }
    }

    #[test]
    fn a_loop_inside_a_cue_is_said_once_and_marked() {
        let mut cue = said(0, "so we Go on go on go on go on go on and stop");
        mark(&mut cue, 0.0);
        assert_eq!((cue.text.as_str(), cue.flags), ("so we Go on and stop", vec!["repeats".to_owned()]));
    }

    #[test]
    fn counting_aloud_is_not_a_loop() {
        for text in ["one two one two one two", "no no no no", "ha ha", "testing testing one two three"] {
            let mut cue = said(0, text);
            mark(&mut cue, 0.0);
            assert_eq!((cue.text.as_str(), cue.flags.len()), (text, 0));
        }
    }

    #[test]
    fn ten_minutes_of_one_phrase_become_one_marked_cue() {
        let mut cues: Vec<Cue> = (0..600).map(|n| said(n, "thank you")).collect();
        cues.push(said(600, "welcome back"));
        let reviewed = review(cues);
        assert_eq!(reviewed.len(), 2);
        assert_eq!(
            (reviewed[0].lasts, reviewed[0].flags.as_slice()),
            (Duration::from_secs(600), &["repeats".to_owned()][..])
        );
        assert!(reviewed[1].flags.is_empty());
    }

    #[test]
    fn silence_and_subtitlers_are_kept_in_the_json_and_left_out_of_captions() {
        let mut invented = Cue { confidence: 0.2, ..said(0, "see you next time") };
        mark(&mut invented, 0.95);
        let mut credit = said(1, "Undertekster av Ai-Media");
        mark(&mut credit, 0.1);
        let mut unsure = Cue { confidence: 0.3, ..said(2, "eigenvalue") };
        mark(&mut unsure, 0.1);
        assert_eq!([invented.is_shown(), credit.is_shown(), unsure.is_shown()], [false, false, true]);
        assert_eq!(unsure.flags, ["unsure"]);
    }

    proptest! {
        #[test]
        fn what_was_said_once_is_never_changed(words in proptest::collection::hash_set("[a-zæøå]{1,8}", 0..40)) {
            let text = words.into_iter().collect::<Vec<_>>().join(" ");
            prop_assert_eq!(unloop(&text), None);
        }
    }
}
