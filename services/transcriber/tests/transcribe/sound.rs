//! What reaches the model: 16 kHz mono in which every sound lies where the film has it, and nothing else.

use storage::{OpenKey, SealedReader, Writer};
use transcriber::Sound;

use crate::archive::{Archive, test_model};
use crate::trouble::other_film;

/// All of the sound of a film with this one, made by ffmpeg.
async fn heard(seconds: &str, sound: &str) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let sound = ["-f", "lavfi", "-i", sound, "-c:a", "aac", "-b:a", "128k"];
    let film = other_film(folder.path(), seconds, &sound);
    let archive = Archive::open(folder, &film, "en", test_model()).await;
    let (store, path) = (&archive.transcriber.store, &archive.path);
    let open = OpenKey::fetch(store, path, &Writer::Final(1), &archive.transcriber.identity).await.unwrap();
    let film = SealedReader::open(store, &path.composite(1), &open).await.unwrap();
    let samples = tokio::task::spawn_blocking(move || {
        let (mut sound, mut samples) = (Sound::open(film).unwrap(), Vec::new());
        while let Some(block) = sound.next_block().unwrap() {
            samples.extend(block);
        }
        samples
    });
    samples.await.unwrap()
}

/// In dB of full scale.
fn loudness(samples: &[f32]) -> f32 {
    10.0 * (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32 + 1e-12).log10()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_above_the_band_does_not_fold_into_it() {
    let mut tones = Vec::new();
    for hertz in [1000, 9000] {
        let samples = heard("3", &format!("sine=frequency={hertz}:sample_rate=48000,volume=4")).await;
        // ffmpeg makes 142 packets of 1024 samples of it, and all of them come out, the last block's silence with them.
        assert!((142 * 1024 / 3..50_000).contains(&samples.len()), "3 s are {} samples", samples.len());
        // One second from the middle: the filter's own beginning and end are no matter here.
        tones.push(loudness(&samples[16_000..32_000]));
    }
    assert!(tones[0] > -20.0 && tones[0] - tones[1] > 50.0, "in dB: {tones:?}");
}

/// A packet that lasts four seconds longer than its sound, as a recorder leaves one where packets were lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_sound_takes_its_time() {
    let tone = "sine=frequency=1000:sample_rate=48000,volume=4,atrim=duration=3";
    let samples = heard("8", &format!("{tone},asetpts='PTS+gte(T,1)*4/TB'")).await;
    assert!(samples.len().abs_diff(7 * 16_000) < 4000, "7 s are {} samples", samples.len());
    let second = |n: f32| loudness(&samples[(n * 16_000.0) as usize..((n + 0.5) * 16_000.0) as usize]);
    let (before, within, after) = (second(0.3), [second(1.3), second(4.2)], second(5.3));
    assert!(before > -20.0 && after > -20.0 && within.iter().all(|loud| *loud < -60.0), "{before} {within:?} {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_in_one_ear_alone_is_heard() {
    for side in ["c0=c0|c1=0*c0", "c0=0*c0|c1=c0"] {
        let sound = format!("sine=frequency=1000:sample_rate=48000,volume=4,pan=stereo|{side}");
        let samples = heard("2", &sound).await;
        let middle = loudness(&samples[8_000..24_000]);
        assert!(middle > -20.0, "{side}: {middle} dB");
    }
}
