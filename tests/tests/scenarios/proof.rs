//! Whoever touches a stored recording is found out.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::stage::Stage;

use crate::{lecture, on_stage, passes};

/// What `lectern recordings verify` says, and whether it found anything.
fn verify(stage: &Stage, recording: &str) -> anyhow::Result<(bool, String)> {
    let answer = stage.lectern.run(&["recordings", "verify", recording])?;
    Ok((answer.status.success(), answer.out + &answer.err))
}

#[test]
fn a_flipped_bit_a_dropped_segment_and_swapped_objects_are_each_named() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let meeting = stage.meeting(&lecture("proof")).await?;
        let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
        meeting.started().await?;
        passes(8).await;
        let ready = meeting.end().await?;
        drop(speaker);
        let recording = ready.recording.to_string();
        let (sound, said) = verify(stage, &recording)?;
        assert!(sound, "{said}");
        let archive = stage.archive(ready.recording)?;
        archive.verify(&stage.lectern.key("allowed_signers"))?;

        let film = archive.media().join("final/0001/composite.mp4.age");
        let segments = archive.media().join("live/0001/video");
        let mut segments: Vec<PathBuf> = fs::read_dir(&segments)?.flatten().map(|e| e.path()).collect();
        segments.retain(|path| path.to_string_lossy().ends_with(".m4s.age"));
        segments.sort();
        let [first, second, ..] = segments.as_slice() else { anyhow::bail!("{} segments", segments.len()) };
        let key = |path: &PathBuf| {
            let key = path.strip_prefix(stage.lectern.store().join("lectern-media"));
            key.map(|key| key.to_string_lossy().into_owned()).context("an object of the media bucket")
        };
        let named = |paths: &[&PathBuf]| -> anyhow::Result<()> {
            let (sound, said) = verify(stage, &recording)?;
            assert!(!sound, "not noticed: {said}");
            for path in paths {
                assert!(said.contains(&key(path)?), "{path:?} is not named in: {said}");
            }
            assert_eq!(said.matches(".age: ").count(), paths.len(), "{said}");
            assert!(archive.verify(&stage.lectern.key("allowed_signers")).is_err(), "stock tools did not notice");
            Ok(())
        };

        for whole in [&film, second] {
            let bytes = fs::read(whole)?;
            let mut flipped = bytes.clone();
            *flipped.last_mut().context("a byte")? ^= 1;
            fs::write(whole, flipped)?;
            named(&[whole])?;
            fs::write(whole, bytes)?;
        }

        let bytes = fs::read(first)?;
        fs::remove_file(first)?;
        named(&[first])?;

        let other = fs::read(second)?;
        fs::write(first, &other)?;
        fs::write(second, &bytes)?;
        named(&[first, second])?;

        fs::write(first, &bytes)?;
        fs::write(second, &other)?;
        let (sound, said) = verify(stage, &recording)?;
        assert!(sound, "{said}");
        Ok(())
    });
}
