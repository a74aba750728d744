//! The store is away, busy, or lies.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use bytes::Bytes;
use storage::Bucket;

use super::super::bench::{Bench, say};
use super::super::campus::{Over, SOON, TAKES};
use super::super::front::Operation::{Begin, Complete, Get, Head, List, Part, Put};
use super::super::front::{Asked, Fault, Operation, Rule, When};
use super::super::matrix::Id;
use super::super::proxy::Line;
use super::super::verdict::Verdict;
use super::{passes, whole};
use crate::analysis::percentile;
use crate::portal::Portal;
use crate::process::until;

const EVERYTHING: [Operation; 7] = [Put, Get, Head, List, Begin, Part, Complete];

/// Files and bytes that wait in a spool.
pub(super) fn waiting(spool: &Path) -> (usize, u64) {
    let files = fs::read_dir(spool.join("ready")).into_iter().flatten().flatten();
    let sizes: Vec<u64> = files.filter_map(|file| Some(file.metadata().ok()?.len())).collect();
    (sizes.len(), sizes.iter().sum())
}

/// F13.
pub(crate) async fn away(bench: &mut Bench) -> anyhow::Result<Verdict> {
    // A day at 1:60.
    let lasts = if bench.full { 24 * 60 } else { 20 };
    let campus = bench.campus().await?;
    let worker = campus.worker("away").await?;
    let lecture = campus.lecture("Lecture F13").await?;
    let (recording, started) = lecture.started().await?;
    campus.stored(recording, 1, SOON).await?;
    campus.store_line.set(Line::Refuse);
    let (mut peak, mut files) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(lasts) {
        passes(0.5).await;
        let (many, bytes) = waiting(&worker.spool());
        (files, peak) = (files.max(many), peak.max(bytes));
        if begun.elapsed().as_secs() % 60 == 59 {
            say(format!("{} of {lasts} s without a store; {} MB wait", begun.elapsed().as_secs(), peak / 1_000_000));
        }
    }
    let (_, backlog) = waiting(&worker.spool());
    campus.store_line.set(Line::Open);
    let back = Instant::now();
    // New segments come all the while, so two files may always be on their way.
    until("the spool has drained", SOON * 10, async || Ok((waiting(&worker.spool()).0 <= 2).then_some(()))).await?;
    let drained = back.elapsed().as_secs_f64();
    passes(4.0).await;
    let over = lecture.over(started, SOON * 2).await?;
    let manifest = campus.manifest(over.ready.recording)?;
    let lost = manifest["gaps"].as_array().map_or(0, Vec::len);
    let epochs = campus.state(over.ready.recording)?["epoch"].clone();
    let verdict = Verdict::of(lost as f64, 1)
        .holds(peak > 0, "nothing ever waited in the spool, so the store was not away")
        .with("outage_s", lasts)
        .with("spool_peak_bytes", peak)
        .with("spool_peak_files", files)
        .with("drain_s", (drained * 10.0).round() / 10.0)
        .with("drain_bytes_per_s", (backlog as f64 / drained).round())
        .with("epochs", epochs);
    whole(verdict, campus, &over)
}

/// F14.
pub(crate) async fn busy(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let lasts = f64::from(bench.times(16, 120));
    let campus = bench.campus().await?;
    let _worker = campus.worker("busy").await?;
    let lecture = campus.lecture("Lecture F14").await?;
    let (_, started) = lecture.started().await?;
    campus.front.play([Rule::new(&EVERYTHING, "", Fault::SlowDown, When::Chance(0.3))]);
    passes(lasts).await;
    let ended = SystemTime::now();
    let begun = Instant::now();
    lecture.meeting.room.destroy().await?;
    // The film is to be made while the store is as it is; when that takes too long, it is made afterwards.
    let under = lecture.ready(begun, SOON).await;
    let asked = campus.front.behave();
    let ready = match &under {
        Ok(ready) => *ready,
        Err(_) => lecture.ready(begun, SOON * 3).await?,
    };
    let over = Over { ready, started, ended };
    let struck = asked.iter().filter(|asked| asked.fault.is_some()).count();
    let lags = lags(&asked);
    let p99 = percentile(lags.clone(), 0.99).context("nothing was uploaded")?;
    let pauses = pauses(&asked);
    let pause = pauses.iter().copied().fold(f64::INFINITY, f64::min);
    let spread = percentile(pauses.clone(), 0.9).zip(percentile(pauses.clone(), 0.1)).map_or(0.0, |(a, b)| a - b);
    let verdict = Verdict::of(p99, u32::try_from(struck)?)
        .holds(struck > 0, "nothing was answered with 503")
        .holds(p99 < 60.0, "an upload waits for more than a minute")
        .holds(under.is_ok(), "no film is made as long as three requests in ten are refused")
        .holds(pause.is_finite() && pause >= 0.05, format!("tried again after {pause:.3} s"))
        .holds(spread > 0.0 || pauses.len() < 3, "all pauses are alike: there is no jitter")
        .with("refused", struck)
        .with("requests", asked.len())
        .with("segments", lags.len())
        .with("lag_p50_s", percentile(lags, 0.5).map(|lag| (lag * 1000.0).round() / 1000.0))
        .with("pauses", pauses.len())
        .with("pauses_p10_to_p90_s", (spread * 1000.0).round() / 1000.0)
        .with("shortest_pause_s", if pause.is_finite() { Some((pause * 1000.0).round() / 1000.0) } else { None });
    whole(verdict, campus, &over)
}

/// Per segment, from the first try to the first that was done.
fn lags(asked: &[Asked]) -> Vec<f64> {
    let mut first: BTreeMap<&str, Instant> = BTreeMap::new();
    let mut lags: BTreeMap<&str, f64> = BTreeMap::new();
    for one in asked.iter().filter(|one| one.operation == Put && one.key.contains("/live/")) {
        let begun = *first.entry(&one.key).and_modify(|at| *at = (*at).min(one.at)).or_insert(one.at);
        if one.done() {
            lags.entry(&one.key).or_insert_with(|| one.answered.duration_since(begun).as_secs_f64());
        }
    }
    lags.into_values().collect()
}

/// Between a refused put and the next of the same object.
fn pauses(asked: &[Asked]) -> Vec<f64> {
    let mut refused: BTreeMap<&str, Instant> = BTreeMap::new();
    let mut pauses = Vec::new();
    let mut puts: Vec<&Asked> = asked.iter().filter(|one| one.operation == Put && one.key.contains("/live/")).collect();
    puts.sort_by_key(|one| one.at);
    for one in puts {
        if let Some(before) = refused.remove(one.key.as_str()) {
            pauses.push(one.at.saturating_duration_since(before).as_secs_f64());
        }
        if !one.done() {
            refused.insert(&one.key, one.answered);
        }
    }
    pauses
}

/// F15.
pub(crate) async fn replies_lost(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let lasts = f64::from(bench.times(14, 120));
    let campus = bench.campus().await?;
    let _worker = campus.worker("unheard").await?;
    campus.front.play([Rule::new(&[Put], "v1/", Fault::LoseReply, When::Chance(0.3))]);
    let lecture = campus.lecture("Lecture F15").await?;
    let (_, started) = lecture.started().await?;
    passes(lasts).await;
    let over = lecture.over(started, SOON * 3).await?;
    let lost = campus.front.behave().iter().filter(|asked| asked.fault.is_some()).count();
    let (_, findings) = campus.verify(over.ready.recording)?;
    let twice = findings.iter().filter(|(_, what)| what.contains("not in the manifest")).count();
    let epoch = campus.state(over.ready.recording)?["epoch"].as_u64();
    let verdict = Verdict::of(twice as f64, u32::try_from(lost)?)
        .holds(lost > 2, format!("{lost} answers were lost"))
        .holds(twice == 0, format!("{findings:?}"))
        .holds(epoch == Some(1), format!("epoch {epoch:?}: a worker took its own write for another's"));
    whole(verdict, campus, &over)
}

/// F16.
pub(crate) async fn errors_inside(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let seed = bench.seed;
    let ended = bench.ended().await?;
    let campus = bench.campus().await?;
    let front = campus.own_front(seed).await?;

    // The long object of a long lecture goes in parts: the same client, the same completion.
    let through = storage::Store::connect(&storage::store::Config {
        endpoint: Some(format!("http://{}", front.address())),
        access_key_file: Some(campus.lectern.key("s3-access-key")),
        secret_key_file: Some(campus.lectern.key("s3-secret-key")),
        ..storage::store::Config::default()
    })
    .await?;
    let mut believed = 0_u32;
    front.play([Rule::new(&[Complete], "", Fault::ErrorInside, When::First(1))]);
    for _ in 0..2 {
        let mut upload = through.upload(Bucket::Media, "v1/fault/long").await?;
        upload.write(Bytes::from(vec![1; 17 << 20])).await?;
        let told = upload.finish().await.is_ok();
        let there = campus.client().await?.head(Bucket::Media, "v1/fault/long").await.is_ok();
        believed += u32::from(told && !there);
        if told {
            ensure!(there, "the upload is believed to be there");
        }
    }
    let completions = front.behave().iter().filter(|asked| asked.fault.is_some()).count();
    campus.client().await?.delete(Bucket::Media, "v1/fault/long").await?;

    campus.restore(&ended.copy).await?;
    front.play([
        Rule::new(&[Put], "composite", Fault::ErrorInside, When::First(2)),
        Rule::new(&[Put], "MANIFEST", Fault::ErrorInside, When::First(1)),
    ]);
    let endpoint = format!("store.endpoint = \"http://{}\"", front.address());
    let mut finalizer = campus.service("finalizer", "finalizer-inside", &endpoint)?;
    finalizer.start()?;
    finalizer.says("finalizer ready").await?;
    let news = crate::news::News::of(&campus.broker, ended.room).await?;
    news.repeat(&ended.call).await?;
    news.wait("recording.ready", SOON * 2).await?;
    let struck = front.behave().iter().filter(|asked| asked.fault.is_some()).count();
    let (sound, findings) = campus.verify(ended.recording)?;
    believed += u32::from(!sound);
    campus.film(ended.recording)?;
    finalizer.stop()?;
    campus.finalizer.start()?;
    Ok(Verdict::of(f64::from(believed), u32::try_from(struck + completions)?)
        .holds(believed == 0, format!("ready, and verify finds {findings:?}"))
        .holds(completions == 1, format!("{completions} completions failed inside"))
        .holds(struck == 3, format!("{struck} puts failed inside"))
        .with("completions", completions)
        .with("puts", struck))
}

/// F17.
pub(crate) async fn bad_answers(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (seed, views) = (bench.seed, bench.times(12, 200));
    let ended = bench.ended().await?;
    let campus = bench.campus().await?;
    campus.restore(&ended.copy).await?;
    let front = campus.own_front(seed ^ Id::F17 as u64).await?;
    let endpoint = format!("store.endpoint = \"http://{}\"", front.address());
    let bad = |key: &str| {
        [
            Rule::new(&[Get], key, Fault::Flip, When::Chance(0.2)),
            Rule::new(&[Get], key, Fault::Truncate, When::Chance(0.15)),
        ]
    };

    let mut finalizer = campus.service("finalizer", "finalizer-flips", &endpoint)?;
    finalizer.start()?;
    finalizer.says("finalizer ready").await?;
    front.play(bad("/live/"));
    let news = crate::news::News::of(&campus.broker, ended.room).await?;
    news.repeat(&ended.call).await?;
    news.wait("recording.ready", SOON * 2).await?;
    let finishing = front.behave().iter().filter(|asked| asked.fault.is_some()).count();
    finalizer.stop()?;
    let manifest = campus.manifest(ended.recording)?;
    let complete = manifest["complete"] == true;
    let (sound, findings) = campus.verify(ended.recording)?;
    let truth = fs::read(campus.film(ended.recording)?)?;

    let mut portal = campus.service("portal", "portal-flips", &endpoint)?;
    portal.start()?;
    let [_, _, port] = campus.lectern.ports();
    let client = reqwest::Client::new();
    let alive = format!("http://127.0.0.1:{port}/healthz");
    until("the portal answers", SOON, async || {
        portal.check()?;
        Ok(client.get(&alive).send().await.is_ok().then_some(()))
    })
    .await?;
    let player = Portal::at(format!("http://127.0.0.1:{port}"), &campus.lectern.key("portal-token"))?;
    let (mut wrong, mut right, mut refused) = (0_u32, 0_u32, 0_u32);
    front.play(bad("/final/"));
    for _ in 0..views {
        match player.film(ended.recording).await {
            Ok(film) if film == truth => right += 1,
            Ok(_) => wrong += 1,
            Err(_) => refused += 1,
        }
    }
    let viewing = front.behave().iter().filter(|asked| asked.fault.is_some()).count();
    let healed = player.film(ended.recording).await.is_ok_and(|film| film == truth);
    portal.stop()?;
    campus.finalizer.start()?;
    Ok(Verdict::of(f64::from(wrong), u32::try_from(finishing + viewing)?)
        .holds(wrong == 0, format!("{wrong} films were served with bad bytes"))
        .holds(finishing > 0 && viewing > 0, "too few answers were bad to say anything")
        .holds(complete, format!("answers that were bad for a moment became gaps for ever: {}", manifest["gaps"]))
        .holds(sound, format!("verify: {findings:?}"))
        .holds(healed, "the film is not served when the store is good again")
        .with("bad_while_finishing", finishing)
        .with("bad_while_viewing", viewing)
        .with("views_right", right)
        .with("views_refused", refused))
}

/// F18.
pub(crate) async fn ignores_conditions(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (seed, tries) = (bench.seed, bench.times(2, 20));
    let campus = bench.campus().await?;
    let front = campus.own_front(seed).await?;
    front.play([Rule::new(&[Put], "", Fault::IgnoreConditions, When::Always)]);
    let endpoint = format!("store.endpoint = \"http://{}\"", front.address());
    let (mut starts, mut unsaid) = (0, 0);
    for n in 0..tries {
        let mut worker = campus.service("recorder", &format!("deceived-{n}"), &endpoint)?;
        worker.start()?;
        let ended = worker.wait(SOON);
        let said = worker.said();
        starts += u32::from(ended.is_err() || said.contains(TAKES));
        unsaid += u32::from(!said.contains("use a store with atomic conditional writes"));
    }
    Ok(Verdict::of(f64::from(starts), tries)
        .holds(starts == 0, "a recorder started")
        .holds(unsaid == 0, "it does not say what to do"))
}
