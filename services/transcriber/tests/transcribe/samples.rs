//! The fixture's own samples in a film: each sentence is heard, and its cue lies where it was spoken.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use storage::Bucket;
use transcript::Transcript;

use crate::archive::{Archive, test_model};
use crate::tools::{run, wer};

/// Silence after each sample.
const PAUSE: f64 = 1.5;

struct Sentence {
    begins: f64,
    ends: f64,
    text: String,
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/speech-model/samples").join(name)
}

/// A black film of the six samples one after the other, and what is said in it when.
fn film(folder: &Path) -> (PathBuf, Vec<Sentence>) {
    let table = std::fs::read_to_string(sample("reference.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    let (mut inputs, mut said, mut at) = (Vec::new(), Vec::new(), 0.0);
    for n in 1..=6 {
        let name = format!("sample{n}.wav");
        for row in rows.iter().filter(|row| row[0] == name) {
            let seconds = |field: usize| at + row[field].parse::<f64>().unwrap();
            said.push(Sentence { begins: seconds(1), ends: seconds(2), text: row[3].into() });
        }
        let file = sample(&name);
        // 16 bits at 16 kHz after 44 bytes of header.
        at += (std::fs::metadata(&file).unwrap().len() - 44) as f64 / 32_000.0 + PAUSE;
        inputs.push(file.to_str().unwrap().to_owned());
    }
    let film = folder.join("samples.mp4");
    let padded: String = (0..6).map(|n| format!("[{n}:a]apad=pad_dur={PAUSE}[p{n}];")).collect();
    let joined: String = (0..6).map(|n| format!("[p{n}]")).collect();
    let graph = format!("{padded}{joined}concat=n=6:v=0:a=1,aresample=48000,aformat=channel_layouts=stereo[a]");
    let mut args = vec!["-v", "error", "-y", "-nostdin"];
    inputs.iter().for_each(|input| args.extend(["-i", input]));
    args.extend(["-f", "lavfi", "-i", "color=black:s=64x36:r=5", "-filter_complex", &graph, "-map", "6:v"]);
    args.extend(["-map", "[a]", "-shortest", "-c:v", "libx264", "-c:a", "aac", "-b:a", "128k"]);
    args.extend(["-movflags", "+faststart", film.to_str().unwrap()]);
    run("ffmpeg", &args);
    (film, said)
}

/// Beginning, end and text of each cue of a WebVTT file; panics when it is none.
fn parse_vtt(text: &str) -> Vec<(f64, f64, String)> {
    let seconds = |stamp: &str| {
        let parts: Vec<f64> = stamp.split(':').map(|part| part.parse().expect("a time stamp")).collect();
        let [hours, minutes, seconds] = parts[..] else { panic!("{stamp:?} is no time stamp") };
        assert!(minutes < 60.0 && seconds < 60.0 && stamp.len() >= 12, "{stamp:?}");
        hours * 3600.0 + minutes * 60.0 + seconds
    };
    let mut blocks = text.trim_end().split("\n\n");
    assert_eq!(blocks.next(), Some("WEBVTT"));
    let cues = blocks.filter(|block| !block.starts_with("NOTE"));
    cues.map(|block| {
        let (times, text) = block.split_once('\n').expect("times and text");
        let (begins, ends) = times.split_once(" --> ").expect("an arrow");
        (seconds(begins), seconds(ends), text.replace('\n', " "))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sentence_is_heard_where_it_was_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let (film, said) = film(folder.path());
    let archive = Archive::open(folder, &film, "en", test_model()).await;
    let first = archive.verify().await.manifest;
    let done = archive.transcribe().await.unwrap();

    let cues = parse_vtt(&archive.text("vtt").await);
    let heard: Vec<&str> = cues.iter().map(|cue| cue.2.as_str()).collect();
    let spoken: Vec<&str> = said.iter().map(|sentence| sentence.text.as_str()).collect();
    let rate = wer(&spoken.join(" "), &heard.join(" "));
    assert!(rate < 0.1, "WER {:.1} %: {heard:?}", rate * 100.0);
    assert_eq!(cues.len(), said.len(), "{heard:?}");
    for (cue, sentence) in cues.iter().zip(&said) {
        let off = (cue.0 - sentence.begins, cue.1 - sentence.ends);
        assert!(off.0.abs() < 0.4 && off.1.abs() < 0.4, "{cue:?} is off by {off:?}");
    }

    // The other forms say the same.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let json = Transcript::parse(archive.text("json").await.as_bytes()).unwrap();
    let told: Vec<&str> = json.cues.iter().filter(|cue| cue.is_shown()).map(|cue| cue.text.as_str()).collect();
    assert_eq!((words(&told.join(" ")), done.cues as usize), (words(&heard.join(" ")), told.len()));
    let srt = archive.text("srt").await;
    let srt: Vec<&str> = srt.trim_end().split("\n\n").flat_map(|block| block.split('\n').skip(2)).collect();
    assert_eq!(words(&srt.join(" ")), words(&heard.join(" ")));
    let txt = words(&archive.text("txt").await);
    let txt: Vec<String> = txt.into_iter().skip_while(|word| !word.starts_with('[')).collect();
    let txt: Vec<String> = txt.into_iter().filter(|word| !word.starts_with('[')).collect();
    assert_eq!(txt, words(&heard.join(" ")));

    // The generation follows from the one before it, whose bytes stand there yet.
    let second = archive.verify().await.manifest;
    let (before, _) = archive.transcriber.store.get(Bucket::Media, &archive.path.manifest(1), 1 << 20).await.unwrap();
    assert_eq!(second.previous, Some(hex::encode(Sha256::digest(&before))));
    assert_eq!(before, first.to_bytes());
    assert_eq!(second.objects.len(), first.objects.len() + 5);
}
