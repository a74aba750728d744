//! What can go wrong between film and text: each has its word, passes or not, and takes nothing from the recording.

use std::path::{Path, PathBuf};

use claim::Phase;
use storage::manifest::published;
use storage::{Bucket, Condition, OpenKey, SealKey, SealedReader, Writer, recordings};
use tokio_util::sync::CancellationToken;
use transcriber::{Sound, SoundError, TranscribeError};

use crate::archive::{Archive, test_model};
use crate::tools::{film, run};

pub(crate) async fn short_lecture() -> Archive {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), 0, 4, 12_000);
    Archive::open(folder, &film, "en", test_model()).await
}

/// A film of `seconds` with this sound, or none.
pub(crate) fn other_film(folder: &Path, seconds: &str, sound: &[&str]) -> PathBuf {
    let film = folder.join("other.mp4");
    let mut args = vec!["-v", "error", "-y", "-nostdin", "-f", "lavfi", "-i", "color=black:s=64x36:r=5"];
    args.extend(sound);
    args.extend(["-t", seconds, "-c:v", "libx264", "-movflags", "+faststart", film.to_str().unwrap()]);
    run("ffmpeg", &args);
    film
}

/// A minute without a word, which is more than what is read at once.
async fn noise() -> Archive {
    let folder = tempfile::tempdir().unwrap();
    let noise = ["-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.3", "-c:a", "aac", "-b:a", "320k"];
    let film = other_film(folder.path(), "60", &noise);
    assert!(std::fs::metadata(&film).unwrap().len() > 1 << 20);
    Archive::open(folder, &film, "en", test_model()).await
}

/// READY in its first generation, and nothing of ours beside it.
async fn assert_untouched(archive: &Archive) {
    let state = archive.state().await;
    assert_eq!((state.phase, state.generation), (Phase::Ready, Some(1)));
    let report = archive.verify().await;
    assert_eq!((report.manifest.generation, report.findings), (1, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_without_sound_is_said_to_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let film = other_film(folder.path(), "2", &[]);
    let archive = Archive::open(folder, &film, "en", test_model()).await;
    let wrong = archive.transcribe().await.unwrap_err();
    assert_eq!((wrong.reason(), wrong.is_passing()), ("no-sound", false), "{wrong:?}");
    assert_untouched(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_film_cannot_be_listened_to() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("no-film.mp4");
    std::fs::write(&film, b"not a film".repeat(1000)).unwrap();
    let archive = Archive::open(folder, &film, "en", test_model()).await;
    let wrong = archive.transcribe().await.unwrap_err();
    assert_eq!((wrong.reason(), wrong.is_passing()), ("sound", false), "{wrong:?}");
    assert_untouched(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_and_the_next_start_begins_again() {
    let archive = short_lecture().await;
    let stop = CancellationToken::new();
    stop.cancel();
    let wrong = archive.transcriber.transcribe(archive.path.recording, &stop).await.unwrap_err();
    assert!(matches!(wrong, TranscribeError::Stopped) && wrong.is_passing(), "{wrong:?}");
    assert_untouched(&archive).await;
    assert_eq!(archive.transcribe().await.unwrap().generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changed_is_no_shorter_lecture() {
    let archive = noise().await;
    let (key, store) = (archive.path.composite(1), &archive.transcriber.store);
    let (bytes, _) = store.get(Bucket::Media, &key, 1 << 24).await.unwrap();
    // In the midst of the sound, and in the last chunk, which is read before all others.
    for (at, reason) in [(bytes.len() / 2, "sound"), (bytes.len() - 9, "seal")] {
        let mut altered = bytes.to_vec();
        altered[at] ^= 1;
        store.put(Bucket::Media, &key, altered.into(), Condition::None).await.unwrap();
        let wrong = archive.transcribe().await.unwrap_err();
        assert_eq!((wrong.reason(), wrong.is_passing()), (reason, false), "{at}: {wrong:?}");
    }
    store.put(Bucket::Media, &key, bytes, Condition::None).await.unwrap();
    assert_untouched(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_film_under_another_key_is_not_signed_for() {
    let archive = short_lecture().await;
    let (store, path) = (&archive.transcriber.store, &archive.path);
    let (film, _) = store.get(Bucket::Media, &path.composite(1), 1 << 24).await.unwrap();
    let open = OpenKey::fetch(store, path, &Writer::Final(1), &archive.transcriber.identity).await.unwrap();
    let plain = open.open(&film, 1 << 24).unwrap();
    store.delete(Bucket::Keys, &path.key(&Writer::Final(1))).await.unwrap();
    let forger = SealKey::create(store, path, &Writer::Final(1), &archive.transcriber.recipients).await.unwrap();
    // age's headers differ in length by chance; the manifest must not be able to tell the two by that.
    let forged = loop {
        let forged = forger.seal(&plain);
        if forged.size() == film.len() as u64 {
            break forged;
        }
    };
    store.put(Bucket::Media, &path.composite(1), forged.bytes().clone(), Condition::None).await.unwrap();
    let wrong = archive.transcribe().await.unwrap_err();
    assert_eq!((wrong.reason(), wrong.is_passing()), ("seal", false), "{wrong:?}");
    assert_eq!(archive.verify().await.manifest.generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_in_the_middle_of_a_film_passes() {
    let mut archive = noise().await;
    let (store, path) = (archive.transcriber.store.clone(), &archive.path);
    let open = OpenKey::fetch(&store, path, &Writer::Final(1), &archive.transcriber.identity).await.unwrap();
    let film = SealedReader::open(&store, &path.composite(1), &open).await.unwrap();
    let mut sound = tokio::task::spawn_blocking(move || {
        let mut sound = Sound::open(film).unwrap();
        assert!(sound.next_block().unwrap().is_some());
        sound
    })
    .await
    .unwrap();
    archive.shut().await;
    let rest = tokio::task::spawn_blocking(move || {
        while sound.next_block()?.is_some() {}
        Ok::<(), SoundError>(())
    });
    let wrong = TranscribeError::from(rest.await.unwrap().unwrap_err());
    assert_eq!((wrong.reason(), wrong.is_passing()), ("store", true), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcriber_that_died_before_it_told_the_record_had_done_its_work() {
    let archive = short_lecture().await;
    let done = archive.transcribe().await.unwrap();
    let (store, path) = (&archive.transcriber.store, &archive.path);
    let (mut record, etag) = recordings::state(store, path).await.unwrap();
    record.generation = Some(1);
    recordings::swap(store, path, &record, &etag).await.unwrap();
    assert_eq!(archive.transcribe().await.unwrap(), done);
    assert_eq!(archive.state().await.generation, Some(2));
    let signers = archive.transcriber.signing.signers();
    assert_eq!(published(store, path, 3, &signers).await.unwrap(), None);
}
