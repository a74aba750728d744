//! What participants say: the sentences of `samples/media/lecture.txt`, spoken by espeak-ng, each with its text.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::participants::Publisher;

/// A breath between two sentences: long enough to end a cue.
const BREATH: Duration = Duration::from_millis(700);

#[derive(Debug, Clone)]
pub struct Sentence {
    pub wav: PathBuf,
    pub text: String,
    pub lasts: Duration,
}

/// Makes the lecture's sentences in `folder`.
///
/// # Errors
/// When espeak-ng or ffmpeg fails.
pub fn lecture(folder: &Path) -> anyhow::Result<Vec<Sentence>> {
    crate::media_script("speech", &[folder.as_os_str()])?;
    let mut texts: Vec<_> = fs::read_dir(folder)?.flatten().map(|e| e.path()).collect();
    texts.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    texts.sort();
    let sentence = |path: PathBuf| {
        let wav = path.with_extension("wav");
        let reader = hound::WavReader::open(&wav)?;
        let lasts = Duration::from_secs_f64(f64::from(reader.duration()) / f64::from(reader.spec().sample_rate));
        Ok(Sentence { text: fs::read_to_string(path)?.trim().to_owned(), wav, lasts })
    };
    texts.into_iter().map(sentence).collect()
}

/// Lets `speaker` say one sentence after the other, as many as are over before `until`. Returns what was said.
///
/// # Errors
/// When the speaker is thrown out.
pub async fn speak(speaker: &Publisher, sentences: &[Sentence], until: Instant) -> anyhow::Result<String> {
    let mut said = Vec::new();
    for sentence in sentences.iter().cycle() {
        if Instant::now() + sentence.lasts + BREATH > until {
            break;
        }
        speaker.speak(&sentence.wav).await?;
        said.push(sentence.text.as_str());
        tokio::time::sleep(BREATH).await;
    }
    Ok(said.join(" "))
}
