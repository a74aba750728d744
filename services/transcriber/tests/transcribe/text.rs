//! From a sealed film to sealed text that the next signed generation vouches for.

use transcript::Transcript;

use crate::archive::{Archive, test_model};
use crate::tools::{LECTURE, film, wer};
use crate::trouble::short_lecture;

pub(crate) async fn lecture(delay: u32, beep: u32) -> Archive {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), delay, 22 + delay, beep);
    Archive::open(folder, &film, "en-GB", test_model()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lecture_is_written_down_sealed_and_vouched_for() {
    let archive = lecture(0, 12_000).await;
    let before = archive.verify().await.manifest;
    let done = archive.transcribe().await.unwrap();
    assert_eq!(done.generation, 2);
    assert!(done.model.starts_with("ggml-lecture-test.bin sha256:39be1b31"), "{}", done.model);

    let transcript = Transcript::parse(archive.text("json").await.as_bytes()).unwrap();
    assert_eq!((transcript.language.as_str(), transcript.machine_made), ("en-GB", true));
    assert_eq!(transcript.cues.len(), done.cues as usize);
    let heard: Vec<&str> = transcript.cues.iter().map(|cue| cue.text.as_str()).collect();
    let rate = wer(LECTURE, &heard.join(" "));
    println!("WER {:.1} %: {heard:?}", rate * 100.0);
    assert!(rate < 0.1, "{heard:?}");

    let vtt = archive.text("vtt").await;
    assert!(vtt.starts_with("WEBVTT\n\nNOTE\nMachine-made") && vtt.contains("open the next slide"), "{vtt}");
    assert!(archive.text("srt").await.starts_with("1\n00:00:0"));
    assert!(archive.text("txt").await.contains("open the next slide"));

    let report = archive.verify().await;
    assert_eq!(report.findings, []);
    assert_eq!(archive.state().await.generation, Some(2));
    let kept = before.objects.iter().all(|object| report.manifest.objects.contains(object));
    assert!(kept, "the generation repeats what stood before");
    assert!(report.manifest.previous.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_keep_their_time_and_beeps_above_the_band_leave_no_trace() {
    let archive = lecture(20, 9_000).await;
    archive.transcribe().await.unwrap();
    let transcript = Transcript::parse(archive.text("json").await.as_bytes()).unwrap();
    let first = transcript.cues.first().expect("cues");
    assert!((first.begins.as_secs_f64() - 20.0).abs() < 0.3, "{first:?}");
    let heard: Vec<&str> = transcript.cues.iter().map(|cue| cue.text.as_str()).collect();
    // The fixture skips a few words in long windows (its README: 11.7 %).
    assert!(wer(LECTURE, &heard.join(" ")) < 0.15, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_that_the_end_of_the_film_cuts_is_written_down() {
    let done = short_lecture().await.transcribe().await.unwrap();
    assert!(done.cues > 0, "{done:?}");
}
