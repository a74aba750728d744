//! No usable model: the recording stays READY, and the reason is a word that says which.

use claim::Phase;
use transcriber::{Config, ModelFile};
use transcript::TEST_MODEL_SHA256;

use crate::archive::{Archive, test_model};
use crate::tools::film;

fn with(change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(&test_model().models["en"].path).unwrap();
    change(&mut bytes);
    let path = folder.path().join("model.bin");
    std::fs::write(&path, bytes).unwrap();
    let file = ModelFile { path, sha256: TEST_MODEL_SHA256.into() };
    (folder, Config { models: [("default".into(), file)].into(), ..test_model() })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_model_has_its_own_reason_and_leaves_the_recording_ready() {
    let (_cut, cut) = with(|bytes| bytes.truncate(3_000_000));
    let (_flipped, flipped) = with(|bytes| bytes[5_000_000] ^= 8);
    let (_page, page) = with(|bytes| *bytes = b"<html>".to_vec());
    let missing = ModelFile { path: "/nowhere/model.bin".into(), sha256: TEST_MODEL_SHA256.into() };
    let missing = Config { models: [("en".into(), missing)].into(), ..test_model() };
    let table = [
        (missing, "en", "model-missing", "download it"),
        (cut, "en", "model-truncated", "download it again"),
        (flipped, "en", "model-hash", "download it again"),
        (page, "en", "model-unusable", "download the ggml file itself"),
        (Config::default(), "en", "no-model", "add [transcriber.models.en]"),
        (test_model(), "nb", "no-model", "add [transcriber.models.nb]"),
        (Config { test_model: false, ..test_model() }, "en", "test-model", "test_model = true"),
    ];
    for (config, language, reason, advice) in table {
        let folder = tempfile::tempdir().unwrap();
        let film = film(folder.path(), 0, 3, 12_000);
        let archive = Archive::open(folder, &film, language, config).await;
        let wrong = archive.transcribe().await.unwrap_err();
        assert_eq!(wrong.reason(), reason);
        assert!(!wrong.is_passing() && wrong.to_string().contains(advice), "{reason}: {wrong}");
        let state = archive.state().await;
        assert_eq!((state.phase, state.generation), (Phase::Ready, Some(1)));
        assert_eq!(archive.verify().await.findings, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_know_the_language_says_so() {
    let mut config = test_model();
    let file = config.models.remove("en").unwrap();
    config.models.insert("default".into(), file);
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), 0, 3, 12_000);
    let archive = Archive::open(folder, &film, "nb", config).await;
    let wrong = archive.transcribe().await.unwrap_err();
    assert_eq!(wrong.reason(), "model-language");
    assert_eq!(archive.state().await.phase, Phase::Ready);
}
