//! Speech for tests: the fixture model, its samples, espeak-ng, and the word error rate.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use transcript::{Cue, Cutter, Model, RATE, Settings, TEST_MODEL_SHA256, Transcript};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/speech-model").join(name)
}

pub(crate) fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| Model::load(&fixture("ggml-lecture-test.bin"), TEST_MODEL_SHA256).expect("the test model"))
}

/// Everything that this crate does between sound and transcript.
pub(crate) fn transcribe(sound: &[f32]) -> Transcript {
    let settings = Settings::default();
    let mut ears = model().ears("en", &settings).expect("ears");
    let mut cutter = Cutter::new(settings.longest);
    let mut cues: Vec<Cue> = Vec::new();
    let mut pieces = Vec::new();
    for block in sound.chunks(5000) {
        pieces.extend(cutter.push(block));
    }
    pieces.extend(cutter.finish());
    for piece in pieces {
        cues.extend(ears.hear(&piece).expect("hear"));
    }
    Transcript::new("en", model(), cues)
}

pub(crate) fn words(transcript: &Transcript) -> String {
    transcript.cues.iter().map(|cue| cue.text.as_str()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn read_wav(path: &Path) -> Vec<f32> {
    let mut wav = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!((wav.spec().sample_rate, wav.spec().channels), (RATE, 1));
    wav.samples::<i16>().map(|s| f32::from(s.expect("sample")) / 32768.0).collect()
}

/// Speaks `text` with espeak-ng and brings it to 16 kHz mono with ffmpeg.
pub(crate) fn speak(voice: &str, text: &str) -> Vec<f32> {
    let mut espeak = Command::new("espeak-ng")
        .args(["-v", voice, "--stdout", text])
        .stdout(Stdio::piped())
        .spawn()
        .expect("espeak-ng must be installed");
    let raw = Command::new("ffmpeg")
        .args(["-v", "error", "-i", "-", "-f", "s16le", "-ar", "16000", "-ac", "1", "-"])
        .stdin(espeak.stdout.take().expect("its sound"))
        .output()
        .expect("ffmpeg must be installed");
    assert!(espeak.wait().expect("espeak-ng").success() && raw.status.success());
    raw.stdout.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0).collect()
}

/// Word error rate: edits between `heard` and `said`, per word said.
pub(crate) fn wer(said: &str, heard: &str) -> f64 {
    let plain = |text: &str| -> Vec<String> {
        let kept: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
        kept.split_whitespace().map(str::to_owned).collect()
    };
    let (said, heard) = (plain(said), plain(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let change = corner + usize::from(word != other);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[heard.len()] as f64 / said.len() as f64
}
