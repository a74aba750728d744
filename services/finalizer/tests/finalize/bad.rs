//! Things in the store that are not what they were: each is named, none stops the recording.

use claim::Phase;
use finalizer::{FinalizeError, Outcome};
use media::Rendition;
use storage::{Bucket, Writer};

use crate::film::{CYCLE, Film, Style, beeps, ffmpeg, flashes, pictures};
use crate::studio::Studio;

fn whys(manifest: &storage::Manifest) -> Vec<(u64, u64, &str)> {
    let tenth = |ns: u64| (ns + 50_000_000) / 100_000_000;
    manifest.gaps.iter().map(|gap| (tenth(gap.from.0), tenth(gap.to.0), gap.why.as_str())).collect()
}

#[tokio::test]
async fn a_flipped_bit_is_a_named_gap_and_the_rest_is_there() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 384, Style::Live), Vec::new()).await;
    studio.end(1).await;
    let bad = studio.path.segment(1, &Rendition::video(), 2);
    studio.flip(&bad).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));

    let state = studio.state().await;
    assert_eq!((state.phase, state.reason.as_deref()), (Phase::Partial, Some("gap")));
    let manifest = studio.manifest().await;
    assert_eq!(whys(&manifest), [(64, 96, "video: segment 2 of epoch 1 differs from its receipt")]);
    assert!(!manifest.objects.iter().any(|object| object.key == bad), "nobody vouches for it");

    let file = studio.open_final().await;
    let shown = pictures(&file);
    let expected: Vec<u32> = (0..192).chain(288..384).map(|n| n % CYCLE).collect();
    assert_eq!(shown.iter().map(|p| p.number).collect::<Vec<_>>(), expected);
    assert!((shown[192].at - 9.6).abs() < 0.001, "the picture after the gap keeps its time");
    let heard = beeps(&file);
    assert_eq!(heard.len(), 13, "all of the sound is there: {heard:?}");
    assert!(flashes(&shown).iter().all(|at| heard.iter().any(|beep| (at - beep).abs() < 0.04)));
}

#[tokio::test]
async fn missing_empty_and_foreign_segments_are_named() {
    let studio = Studio::open().await;
    let film = Film::shoot(0, 480, Style::Live);
    let (seal, mut entries) = studio.put_segments(1, &film).await;
    // Stored as they are by a recorder that was fed such things, receipts and all.
    for (number, odd) in [(1_u64, Vec::new()), (3, b"\x00\x00\x10\x00moofXXXX".to_vec())] {
        let key = studio.path.segment(1, &Rendition::audio(), number);
        let receipt = seal.seal(odd).put(studio.store(), &key).await.unwrap();
        let entry = entries.iter_mut().find(|entry| entry.key == key).unwrap();
        (entry.size, entry.sha256) = (receipt.size, receipt.sha256_hex());
    }
    studio.journal(1, &film, &seal, entries, Vec::new()).await;
    for number in 0..2 {
        studio.store().delete(Bucket::Media, &studio.path.segment(1, &Rendition::video(), number)).await.unwrap();
    }
    studio.end(1).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));
    let manifest = studio.manifest().await;
    assert_eq!(
        whys(&manifest),
        [
            (0, 64, "video: segments 0 to 1 of epoch 1: each is missing"),
            (32, 64, "audio: segment 1 of epoch 1 cannot be used: it is empty"),
            (96, 128, "audio: segment 3 of epoch 1 cannot be used: its boxes cannot be read"),
        ]
    );
    let file = studio.open_final().await;
    let shown = pictures(&file);
    assert_eq!(shown.len(), 480 - 192);
    assert!((shown[0].at - 6.4).abs() < 0.002, "the picture begins when it does: {}", shown[0].at);
    let heard = beeps(&file);
    assert!(heard.iter().all(|at| (at - at.round()).abs() < 0.04), "{heard:?}");
}

#[tokio::test]
async fn sound_that_is_lost_at_the_beginning_is_silence() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 240, Style::Live), Vec::new()).await;
    studio.end(1).await;
    studio.flip(&studio.path.segment(1, &Rendition::audio(), 0)).await;
    studio.finalize().await;
    assert_eq!(whys(&studio.manifest().await), [(0, 32, "audio: segment 0 of epoch 1 differs from its receipt")]);
    let file = studio.open_final().await;
    // Decoded packet by packet, with no word of when each is to be heard.
    let raw = ffmpeg(&["-i", file.to_str().unwrap(), "-map", "0:a", "-ac", "1", "-f", "s16le", "-"]).run();
    let sound: Vec<i16> = raw.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    assert!(sound[..48_000 * 3].iter().all(|s| s.abs() < 8));
    let first = sound.iter().position(|s| s.abs() > 4000).unwrap() as f64 / 48_000.0;
    assert!((first - 4.0).abs() < 0.05, "the beep of second 4 is heard at {first}");
}

#[tokio::test]
async fn an_epoch_whose_key_is_gone_or_altered_is_unreadable_and_said_to_be() {
    for (bytes, said) in [(None, "its key is missing"), (Some(1), "its key was altered"), (Some(300), "its key was")] {
        let studio = Studio::open().await;
        studio.record(1, &Film::shoot(0, 96, Style::Live), Vec::new()).await;
        studio.record(2, &Film::shoot(96, 96, Style::Live), Vec::new()).await;
        let (store, key) = (studio.store(), studio.path.key(&Writer::Epoch(1)));
        let (sealed, _) = store.get(Bucket::Keys, &key, 1 << 16).await.unwrap();
        store.delete(Bucket::Keys, &key).await.unwrap();
        if let Some(cut) = bytes {
            let rest = sealed.slice(..sealed.len() - cut);
            store.put(Bucket::Keys, &key, rest, storage::Condition::None).await.unwrap();
        }
        studio.end(2).await;
        assert!(matches!(studio.finalize().await, Outcome::Ready { complete: false, .. }));
        let manifest = studio.manifest().await;
        let told = format!("epoch 1: {said}");
        assert!(manifest.gaps.iter().any(|gap| gap.why.starts_with(&told)), "{:?}", manifest.gaps);
        assert_eq!(pictures(&studio.open_final().await).len(), 96);
    }
}

/// FAILED would be final, and a key may come back from a backup.
#[tokio::test]
async fn a_recording_without_any_key_waits_for_its_keys() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 96, Style::Live), Vec::new()).await;
    studio.end(1).await;
    let (store, key) = (studio.store(), studio.path.key(&Writer::Epoch(1)));
    let (sealed, _) = store.get(Bucket::Keys, &key, 1 << 16).await.unwrap();
    store.delete(Bucket::Keys, &key).await.unwrap();
    assert!(matches!(studio.finalizer.finalize(&studio.path).await, Err(FinalizeError::Locked)));
    assert_eq!(studio.state().await.phase, Phase::Ended);
    store.put(Bucket::Keys, &key, sealed, storage::Condition::None).await.unwrap();
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: true, .. }));
}

/// Somebody put back the record of a day when there was one epoch only.
#[tokio::test]
async fn a_record_that_is_older_than_its_recording_hides_no_epoch() {
    let studio = Studio::open().await;
    studio.record(1, &Film::shoot(0, 96, Style::Live), Vec::new()).await;
    studio.record(2, &Film::shoot(96, 96, Style::Live), Vec::new()).await;
    studio.end(1).await;
    assert!(matches!(studio.finalize().await, Outcome::Ready { complete: true, .. }));
    assert_eq!(pictures(&studio.open_final().await).len(), 192);
}

#[tokio::test]
async fn nothing_captured_is_empty_and_has_no_file() {
    let studio = Studio::open().await;
    studio.end(1).await;
    assert_eq!(studio.finalize().await, Outcome::Empty);
    assert_eq!(studio.state().await.phase, Phase::Empty);
    let lying = studio.store().list(Bucket::Media, &studio.path.prefix()).await.unwrap();
    assert_eq!(lying.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), [studio.path.state()]);
    assert_eq!(studio.finalize().await, Outcome::Empty, "and stays so");
}

#[tokio::test]
async fn nothing_readable_is_failed_with_its_reason_and_nothing_is_deleted() {
    let studio = Studio::open().await;
    let film = Film::shoot(0, 96, Style::Live);
    studio.record(1, &film, Vec::new()).await;
    studio.end(1).await;
    for (rendition, track) in [(Rendition::video(), &film.video), (Rendition::audio(), &film.audio)] {
        for number in 0..track.segments.len() {
            studio.flip(&studio.path.segment(1, &rendition, number as u64)).await;
        }
    }
    let before = studio.store().list(Bucket::Media, "").await.unwrap().len();
    assert_eq!(studio.finalize().await, Outcome::Failed { reason: "unreadable".into() });
    assert_eq!(studio.state().await.phase, Phase::Failed);
    assert_eq!(studio.store().list(Bucket::Media, "").await.unwrap().len(), before);
}
