//! What happens to a recording that is being finished, and to one that is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::super::bench::{Bench, Ended, say};
use super::super::campus::{Campus, Over, SOON};
use super::super::front::Operation::{Begin, Complete, Delete, Part, Put};
use super::super::front::{Fault, Rule, When};
use super::super::matrix::Id;
use super::super::verdict::Verdict;
use super::{SETTLES, UNNOTICED, passes};
use crate::news::News;
use crate::process::until;
use crate::servers::Service;

async fn ready(campus: &Campus, name: &str, settings: &str) -> anyhow::Result<Service> {
    let mut finalizer = campus.service("finalizer", name, settings)?;
    finalizer.start()?;
    finalizer.says("finalizer ready").await?;
    Ok(finalizer)
}

/// F5.
pub(crate) async fn killed(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (seed, full) = (bench.seed, bench.full);
    let mut chance = bench.chance(Id::F5);
    let ended = bench.ended().await?;
    let campus = bench.campus().await?;
    let front = campus.own_front(seed).await?;
    let endpoint = format!("store.endpoint = \"http://{}\"", front.address());
    let recording = ended.recording.to_string();
    let writes = [Put, Begin, Part, Complete, Delete];

    // Once undisturbed, to learn how many writes there are.
    campus.restore(&ended.copy).await?;
    let mut finalizer = ready(campus, "finalizer-killed", &endpoint).await?;
    front.play([]);
    let news = News::of(&campus.broker, ended.room).await?;
    news.repeat(&ended.call).await?;
    news.wait("recording.ready", SOON * 2).await?;
    passes(1.0).await;
    let asked = front.behave();
    let all = asked.iter().filter(|one| writes.contains(&one.operation) && one.key.contains(&recording)).count();
    ensure!(all >= 4, "a film in {all} writes");
    drop(news);

    let mut steps: Vec<u64> = (1..=all as u64).collect();
    if !full {
        // The last ones stand closest to what is published; the others by chance.
        let early = chance.random_range(1..all as u64 - 2);
        steps = vec![early, all as u64 - 1, all as u64];
    }
    let mut worst = 0.0_f64;
    let mut wrong = Vec::new();
    for step in &steps {
        finalizer.stop()?;
        campus.restore(&ended.copy).await?;
        campus.broker.ctl(&["purge_queue", "lectern.finalize"])?;
        finalizer = ready(campus, "finalizer-killed", &endpoint).await?;
        let news = News::of(&campus.broker, ended.room).await?;
        let held = front.held();
        front.play([Rule::new(&writes, &recording, Fault::Hold, When::Nth(*step))]);
        news.repeat(&ended.call).await?;
        front.holds(held, SOON).await?;
        finalizer.kill()?;
        front.behave();
        let begun = Instant::now();
        finalizer.start()?;
        let (at, _) = news.wait("recording.ready", SOON * 2).await.with_context(|| format!("after write {step}"))?;
        let took = at.saturating_duration_since(begun).as_secs_f64();
        worst = worst.max(took);
        say(format!("killed after write {step} of {all}: ready {took:.1} s after the next start"));
        // What a dead try left is swept after the announcement.
        let _ = until("verify is content", Duration::from_secs(10), async || {
            Ok(campus.verify(ended.recording)?.0.then_some(()))
        })
        .await;
        let (sound, findings) = campus.verify(ended.recording)?;
        let one = campus.manifests(ended.recording)?.len() == 1;
        if !sound || !one || campus.film(ended.recording).is_err() {
            wrong.push(format!("write {step}: {findings:?}, one manifest: {one}"));
        }
    }
    finalizer.stop()?;
    campus.finalizer.start()?;
    Ok(Verdict::of(worst, u32::try_from(steps.len())?)
        .holds(wrong.is_empty(), wrong.join("; "))
        .holds(worst < 60.0, "more than a minute to READY")
        .with("writes", all)
        .with("steps", steps))
}

/// F29. The worker that hands over seals to the old archive key, the one that comes and the finalizer to the new one.
pub(crate) async fn rotated(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let campus = bench.campus().await?;
    let folder = campus.folder("rotated")?;
    let fresh = folder.join("archive-2.key");
    let _ = fs::remove_file(&fresh);
    let made = Command::new("age-keygen").arg("-o").arg(&fresh).output().context("run age-keygen (Debian: age)")?;
    ensure!(made.status.success(), "age-keygen: {}", String::from_utf8_lossy(&made.stderr));
    let public = public_of(&fresh)?;
    let config: toml::Table = fs::read_to_string(campus.lectern.config())?.parse()?;
    let before = config["seal"]["recipients"].as_array().context("recipients")?;
    let pipeline = public_of(&campus.lectern.key("pipeline.key"))?;
    ensure!(before.iter().any(|key| key.as_str() == Some(&pipeline)), "the pipeline is no recipient");
    let settings = format!("seal.recipients = [\"{public}\", \"{pipeline}\"]");

    campus.finalizer.stop()?;
    let mut finalizer = ready(campus, "finalizer-rotated", &settings).await?;
    let leaving = campus.worker("old-key").await?;
    let lecture = campus.lecture("Lecture F29").await?;
    let (recording, started) = lecture.started().await?;
    campus.stored(recording, 1, SOON).await?;
    let _coming = campus.worker_with("new-key", &settings).await?;
    leaving.signal(nix::sys::signal::Signal::SIGTERM)?;
    let epoch = campus.stored(recording, 2, SOON).await?;
    passes(4.0).await;
    let over = lecture.over(started, SOON * 2).await?;
    finalizer.stop()?;
    campus.finalizer.start()?;

    let archive = campus.archive(recording)?;
    let old = campus.lectern.key("archive.key");
    let film = folder.join("film.mp4");
    let mut unopened = Vec::new();
    if let Err(error) = archive.open(&fresh, &film) {
        unopened.push(format!("the film, with the new key: {error:#}"));
    }
    let opens = |identity: &Path, writer: &str| {
        let sealed = archive.keys().join(format!("{writer}.key.age"));
        let out = Command::new("age").arg("-d").arg("-i").arg(identity).arg(sealed).output();
        out.is_ok_and(|out| out.status.success())
    };
    if !opens(&old, "0001") {
        unopened.push("the first epoch's key, with the old key".into());
    }
    if !opens(&fresh, "0002") {
        unopened.push("the second epoch's key, with the new key".into());
    }
    let crossed = [opens(&fresh, "0001"), opens(&old, "0002"), opens(&old, "f01")];
    let verdict = Verdict::of(unopened.len() as f64, 1)
        .holds(unopened.is_empty(), unopened.join("; "))
        .holds(crossed == [false; 3], format!("a key opens what is not its: {crossed:?}"))
        .with("epochs", epoch);
    if unopened.is_empty() { judged(verdict, &film, campus, &over) } else { Ok(verdict) }
}

/// Judges a film that the usual key does not open.
fn judged(verdict: Verdict, film: &Path, campus: &Campus, over: &Over) -> anyhow::Result<Verdict> {
    let codes = super::super::look::Codes::read(film, over.started)?;
    let missing = codes.longest_missing(over.started + SETTLES, over.ended - Duration::from_millis(1500));
    let (sound, findings) = campus.verify(over.ready.recording)?;
    Ok(verdict
        .holds(missing <= UNNOTICED, format!("{missing:.1} s are missing in the film"))
        .holds(sound, format!("verify: {findings:?}")))
}

fn public_of(identity: &Path) -> anyhow::Result<String> {
    let out = Command::new("age-keygen").arg("-y").arg(identity).output().context("run age-keygen (Debian: age)")?;
    ensure!(out.status.success(), "age-keygen -y: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// Makes `ended` ready once; returns all that proves it and is proven, without the record, which is no proof.
async fn finished(campus: &mut Campus, ended: &Ended) -> anyhow::Result<Vec<PathBuf>> {
    if campus.finalizer.runs() {
        campus.finalizer.stop()?;
    }
    campus.restore(&ended.copy).await?;
    campus.broker.ctl(&["purge_queue", "lectern.finalize"])?;
    let news = News::of(&campus.broker, ended.room).await?;
    campus.finalizer.start()?;
    campus.finalizer.says("finalizer ready").await?;
    news.repeat(&ended.call).await?;
    news.wait("recording.ready", SOON * 2).await?;
    let archive = campus.archive(ended.recording)?;
    let mut found = Vec::new();
    for root in [archive.media(), archive.keys()] {
        walk(root, &mut found)?;
    }
    found.retain(|path| path.file_name().is_some_and(|name| name != "state.json"));
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// F31.
pub(crate) async fn tampered(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let full = bench.full;
    let mut chance = bench.chance(Id::F31);
    let ended = bench.ended().await?;
    let campus = bench.campus().await?;
    // An earlier finishing of the same recording: its film, key and manifest are what an older backup would hold.
    let older = finished(campus, &ended).await?;
    let kept: Vec<(PathBuf, Vec<u8>)> =
        older.into_iter().map(|path| Ok((path.clone(), fs::read(&path)?))).collect::<anyhow::Result<_>>()?;
    let objects = finished(campus, &ended).await?;
    ensure!(campus.verify(ended.recording)? == (true, vec![]), "not sound before it is touched");
    let store = campus.lectern.store();
    let key = |path: &Path| {
        let inside = path.strip_prefix(&store).unwrap_or(path);
        inside.components().skip(1).collect::<PathBuf>().to_string_lossy().into_owned()
    };
    let manifest = |path: &Path| key(path).contains("MANIFEST.");
    let mut missed = Vec::new();
    let mut runs = 0_u32;
    let mut judge = |what: &str, touched: &[&Path]| -> anyhow::Result<()> {
        runs += 1;
        let (sound, findings) = campus.verify(ended.recording)?;
        // Without a manifest that can be read there is nothing to judge an object by; and it stands for its signature.
        let proof = touched.iter().any(|path| manifest(path));
        for path in touched {
            let named = |found: &str| found == key(path) || (proof && found.contains("MANIFEST."));
            if sound || !findings.iter().any(|(found, _)| named(found)) {
                missed.push(format!("{what} of {}: {findings:?}", key(path)));
            }
        }
        Ok(())
    };

    // All at once, but what the others are judged by.
    let bytes: Vec<Vec<u8>> = objects.iter().map(fs::read).collect::<Result<_, _>>()?;
    let proven: Vec<usize> = (0..objects.len()).filter(|n| !manifest(&objects[*n])).collect();
    for n in &proven {
        fs::write(&objects[*n], flipped(&bytes[*n], &mut chance))?;
    }
    judge("a flip", &proven.iter().map(|n| objects[*n].as_path()).collect::<Vec<_>>())?;
    for n in &proven {
        fs::write(&objects[*n], &bytes[*n])?;
    }

    let mut chosen: Vec<usize> = (0..objects.len()).collect();
    if !full {
        let manifests: Vec<usize> = chosen.iter().copied().filter(|n| manifest(&objects[*n])).collect();
        chosen = proven.choose_multiple(&mut chance, 5).copied().chain(manifests).collect();
    }
    for (done, n) in chosen.iter().copied().enumerate() {
        let (path, own) = (&objects[n], &bytes[n]);
        fs::write(path, flipped(own, &mut chance))?;
        judge("a flip", &[path])?;
        fs::remove_file(path)?;
        judge("a drop", &[path])?;
        // More than a line's end, which no signature covers.
        fs::write(path, &own[..own.len() - own.len().min(16)])?;
        judge("a cut", &[path])?;
        let other = (n + 1) % objects.len();
        fs::write(path, &bytes[other])?;
        fs::write(&objects[other], own)?;
        judge("a swap", &[path, &objects[other]])?;
        fs::write(&objects[other], &bytes[other])?;
        fs::write(path, own)?;
        if let Some((_, old)) = kept.iter().find(|(at, old)| at == path && old != own) {
            fs::write(path, old)?;
            judge("a roll-back", &[path])?;
            fs::write(path, own)?;
        }
        if done % 10 == 9 {
            say(format!("{} of {} objects tampered with", done + 1, chosen.len()));
        }
    }
    // The whole proof of yesterday, signed and all, over the objects of today.
    let proof: Vec<&(PathBuf, Vec<u8>)> = kept.iter().filter(|(path, _)| manifest(path)).collect();
    for (path, old) in &proof {
        fs::write(path, old)?;
    }
    let changed: Vec<&Path> = objects
        .iter()
        .zip(&bytes)
        .filter(|(path, own)| !manifest(path) && kept.iter().any(|(at, old)| at == *path && old != *own))
        .map(|(path, _)| path.as_path())
        .collect();
    ensure!(!changed.is_empty(), "two finishings made the same bytes");
    judge("a rolled back proof", &changed)?;
    for (path, own) in objects.iter().zip(&bytes) {
        fs::write(path, own)?;
    }
    let whole = campus.verify(ended.recording)?.0;
    Ok(Verdict::of(missed.len() as f64, runs)
        .holds(missed.is_empty(), missed.join("; "))
        .holds(whole, "not sound after everything was put back")
        .with("objects", objects.len())
        .with("tampered_with", proven.len() + chosen.len()))
}

fn flipped(bytes: &[u8], chance: &mut impl Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Not in the first or last line of a signature, where case and white space mean nothing.
    let at = chance.random_range(bytes.len() / 3..bytes.len() * 2 / 3);
    bytes[at] ^= 1 << chance.random_range(0..5);
    bytes
}

/// F32.
pub(crate) async fn two(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (times, full) = (bench.times(3, 50), bench.full);
    let ended = bench.ended().await?;
    let campus = bench.campus().await?;
    let mut most = 0;
    let mut wrong = Vec::new();
    let mut both = 0;
    for n in 0..times {
        campus.restore(&ended.copy).await?;
        campus.broker.ctl(&["purge_queue", "lectern.finalize"])?;
        let finalizers = [
            ready(campus, "finalizer-one", "finalizer.slots = 1").await?,
            ready(campus, "finalizer-two", "finalizer.slots = 1").await?,
        ];
        let news = News::of(&campus.broker, ended.room).await?;
        let (first, second) = (news.repeat(&ended.call), news.repeat(&ended.call));
        let (first, second) = tokio::join!(first, second);
        first?;
        second?;
        news.wait("recording.ready", SOON * 2).await?;
        // Both are to come to their end.
        until("nothing is left to finish", SOON, async || {
            let told = campus.broker.ctl(&["list_queues", "name", "messages"])?;
            let left = told.lines().find_map(|line| line.strip_prefix("lectern.finalize")).map(str::trim);
            Ok((left == Some("0")).then_some(()))
        })
        .await?;
        let worked =
            |service: &Service| service.said().contains("recording ready") || service.said().contains("was faster");
        both += u32::from(finalizers.iter().all(worked));
        most = most.max(campus.manifests(ended.recording)?.len());
        // The slower one sweeps its own after it has settled the call.
        let folder = campus.archive(ended.recording)?.media().join("final");
        let films = || anyhow::Ok(fs::read_dir(&folder)?.count());
        let _ = until("one film is left", Duration::from_secs(10), async || Ok((films()? == 1).then_some(()))).await;
        let films = films()?;
        let (sound, findings) = campus.verify(ended.recording)?;
        if !sound || films != 1 {
            wrong.push(format!("run {}: {films} films, {findings:?}", n + 1));
        }
    }
    campus.finalizer.start()?;
    Ok(Verdict::of(most as f64, times)
        .holds(most == 1, format!("{most} manifests"))
        .holds(wrong.is_empty(), wrong.join("; "))
        // One run in four or five, so three may well be without.
        .holds(both > 0 || !full, "the two never worked at the same time")
        .with("runs_where_both_worked", both))
}
