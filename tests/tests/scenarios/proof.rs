//! Whoever touches a stored recording is found out.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::stage::Stage;

use crate::{lecture, on_stage, passes};

/// Whether `lectern recordings verify` is content, and the keys of what it is not content with.
fn verify(stage: &Stage, recording: &str) -> anyhow::Result<(bool, Vec<String>)> {
    let answer = stage.lectern.run(&["recordings", "verify", recording, "--json"])?;
    let reports: serde_json::Value =
        serde_json::from_str(&answer.out).with_context(|| format!("{}{}", answer.out, answer.err))?;
    let findings = reports[0]["findings"].as_array().context("findings")?;
    let mut keys: Vec<_> = findings.iter().filter_map(|f| f["key"].as_str().map(str::to_owned)).collect();
    keys.sort();
    Ok((answer.status.success(), keys))
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
        // Until its manifest is written, a transcript is nothing that anybody has signed for.
        meeting.news.wait("transcript.ready", Duration::from_secs(120)).await?;
        let recording = ready.recording.to_string();
        assert_eq!(verify(stage, &recording)?, (true, vec![]));
        let archive = stage.archive(ready.recording)?;
        archive.verify(&stage.lectern.key("allowed_signers"))?;

        let film = archive.media().join("final/0001/composite.mp4.age");
        let segments = archive.media().join("live/0001/video");
        let mut segments: Vec<PathBuf> = fs::read_dir(&segments)?.flatten().map(|e| e.path()).collect();
        segments.retain(|path| path.to_string_lossy().ends_with(".m4s.age"));
        segments.sort();
        let [first, second, ..] = segments.as_slice() else { anyhow::bail!("{} segments", segments.len()) };
        let named = |paths: &[&PathBuf]| -> anyhow::Result<()> {
            let bucket = stage.lectern.store().join("lectern-media");
            let key = |path: &&PathBuf| path.strip_prefix(&bucket).map(|key| key.to_string_lossy().into_owned());
            let (sound, found) = verify(stage, &recording)?;
            assert!(!sound, "not noticed: {paths:?}");
            assert_eq!(found, paths.iter().map(key).collect::<Result<Vec<_>, _>>()?);
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
        assert_eq!(verify(stage, &recording)?, (true, vec![]));
        Ok(())
    });
}
