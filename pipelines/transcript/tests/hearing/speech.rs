//! The true path on real synthetic speech: cut, hear, keep. Needs espeak-ng and ffmpeg.

use std::f32::consts::TAU;

use crate::common::{fixture, read_wav, speak, transcribe, wer, words};

/// A lecture of the fixture's words: seven sentences with pauses as a reader makes them.
const LECTURE: &str = "Welcome to the physics lecture. Today we record the lecture in the university library. \
    Please open the next slide. The computer is secure and the file is encrypted. \
    The question is on page seven. Thank you and welcome to the biology lesson tomorrow.";

#[test]
fn the_samples_are_heard_without_an_error() {
    for n in 1..=6 {
        let said = std::fs::read_to_string(fixture(&format!("samples/sample{n}.txt"))).unwrap();
        let transcript = transcribe(&read_wav(&fixture(&format!("samples/sample{n}.wav"))));
        assert_eq!(words(&transcript), said.split_whitespace().collect::<Vec<_>>().join(" "), "sample {n}");
        assert!(transcript.machine_made && transcript.cues.iter().all(|cue| cue.flags.is_empty()), "{transcript:?}");
    }
}

#[test]
fn cues_begin_and_end_with_their_sentences() {
    let reference = std::fs::read_to_string(fixture("samples/reference.tsv")).unwrap();
    for n in 1..=6 {
        let name = format!("sample{n}.wav");
        let cues = transcribe(&read_wav(&fixture(&format!("samples/{name}")))).cues;
        let said: Vec<Vec<&str>> =
            reference.lines().map(|l| l.split('\t').collect()).filter(|l: &Vec<&str>| l[0] == name).collect();
        assert_eq!(cues.len(), said.len(), "{name}");
        for (cue, said) in cues.iter().zip(said) {
            let (begins, ends): (f64, f64) = (said[1].parse().unwrap(), said[2].parse().unwrap());
            let off = (cue.begins.as_secs_f64() - begins, cue.ends().as_secs_f64() - ends);
            assert!(off.0.abs() < 0.3 && off.1.abs() < 0.3, "{name} {:?}: off by {off:?}", cue.text);
            assert!(cue.confidence > 0.5 && cue.confidence <= 1.0, "{cue:?}");
        }
    }
}

#[test]
fn a_spoken_lecture_is_written_down() {
    let mut sum = 0.0;
    for voice in ["en-us", "en-gb"] {
        let heard = words(&transcribe(&speak(voice, LECTURE)));
        let rate = wer(LECTURE, &heard);
        println!("{voice}: WER {:.1} %: {heard}", rate * 100.0);
        sum += rate;
    }
    assert!(sum / 2.0 < 0.15, "mean WER {:.1} %", sum * 50.0);
}

#[test]
fn pauses_keep_their_place_in_time() {
    let one = speak("en-us", "Please open the next slide.");
    let two = speak("en-us", "Thank you and welcome.");
    let gap = vec![0.0; 16_000 * 40];
    let begins = (one.len() + gap.len()) as f64 / 16_000.0;
    let transcript = transcribe(&[one, gap, two].concat());
    let last = transcript.cues.last().expect("cues");
    assert!((last.begins.as_secs_f64() - begins).abs() < 0.4, "{last:?} is not near {begins}");
    assert!(wer("please open the next slide thank you and welcome", &words(&transcript)) < 0.25, "{transcript:?}");
}

#[test]
fn quiet_beeps_under_the_speech_do_no_harm() {
    // A participant's test tone of 9 kHz leaves a faint alias at most; 7 kHz is inside the band.
    let mut sound = speak("en-us", LECTURE);
    for (n, sample) in sound.iter_mut().enumerate() {
        let t = n as f32 / 16_000.0;
        if t.fract() < 0.1 {
            *sample += 0.01 * (t * 7000.0 * TAU).sin();
        }
    }
    let heard = words(&transcribe(&sound));
    assert!(wer(LECTURE, &heard) < 0.15, "{heard}");
}

#[test]
fn silence_tones_and_noise_are_not_given_words() {
    let tone = |hz: f32, on: f32| -> Vec<f32> {
        (0..16_000 * 8)
            .map(|n| n as f32 / 16_000.0)
            .map(|t| if t.fract() < on { 0.2 * (t * hz * TAU).sin() } else { 0.0 })
            .collect()
    };
    for (what, sound) in [("silence", vec![0.0; 160_000]), ("a tone", tone(440.0, 1.0)), ("beeps", tone(1000.0, 0.1))] {
        let transcript = transcribe(&sound);
        let shown: Vec<_> = transcript.cues.iter().filter(|cue| cue.is_shown()).collect();
        assert!(shown.is_empty(), "{what} became {shown:?}");
    }
}
