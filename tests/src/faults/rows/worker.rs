//! A worker or its media process is killed, stopped, starved, misled about the time, or asked to go.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use events::{Body, Event, RecordingId};
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;

use super::super::bench::{Bench, say};
use super::super::campus::{Campus, Lecture, Over, SOON, TAKES};
use super::super::front::Operation::{Get, Put};
use super::super::front::{Fault, Rule, When};
use super::super::look::seconds;
use super::super::matrix::Id;
use super::super::verdict::Verdict;
use super::super::viewer::Viewer;
use super::{SETTLES, UNNOTICED, film, passes};
use crate::analysis::percentile;
use crate::process::{Process, Program, until};
use crate::servers::Service;

/// One segment: what may be lost.
const SEGMENT: f64 = 3.2;
/// What is shown was filmed so long before it reaches the recorder, at most: encoded, sent, jitter-buffered, decoded.
/// F1 measures it, at each lecture's end.
const WAY: f64 = 0.8;
/// A segment that has just been closed is on its way to the disk, on a machine that is busy with other things, too.
const CLOSES: f64 = 0.5;
/// Slides tell tenths.
const TENTH: f64 = 0.1;
/// For somebody to go on with a recording; what is promised is less, and this only ends a wait.
const TAKEOVER: Duration = Duration::from_secs(40);

/// Which of them is in the room.
fn holder(workers: &[Service]) -> Option<usize> {
    workers.iter().position(|worker| !worker.media().is_empty())
}

async fn held(workers: &[Service]) -> anyhow::Result<usize> {
    until("a worker is in the room", SOON, async || Ok(holder(workers))).await
}

fn tenth(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// How a worker dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Death {
    /// And is started again at once, over its spool.
    OnNode,
    /// And comes back when another has gone on.
    Elsewhere,
    /// With everything below it, and its spool is gone for ever.
    NodeGone,
}

struct Kill {
    death: Death,
    at: SystemTime,
}

/// F1.
pub(crate) async fn killed(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (kills, lectures) = if bench.full { (4, 13) } else { (3, 1) };
    let mut chance = bench.chance(Id::F1);
    let (mut media_lost, mut ways) = (Vec::new(), Vec::new());
    let mut deaths = BTreeMap::<Death, Vec<(f64, f64)>>::new();
    let (mut all, mut notes, mut done) = (Vec::new(), Vec::new(), 0_u32);
    for _ in 0..lectures {
        let campus = bench.campus().await?;
        let mut workers = vec![campus.worker("kill-a").await?];
        let lecture = campus.lecture("Lecture F1").await?;
        let (recording, started) = lecture.started().await?;
        workers.push(campus.worker("kill-b").await?);
        let mut killed = Vec::new();
        let mut to_die = [Death::NodeGone, Death::OnNode, Death::Elsewhere, Death::OnNode];
        to_die[..kills].shuffle(&mut chance);
        for death in to_die.into_iter().take(kills) {
            let (at, on) = kill(campus, &mut workers, recording, death, &mut chance).await;
            done += 1;
            killed.push(Kill { death, at });
            match on {
                Ok(took) => say(format!("kill {done} ({death:?}): stored again by {took:.1} s")),
                Err(error) => {
                    notes.push(format!("kill {done} ({death:?}): {error:#}"));
                    break;
                }
            }
        }
        passes(4.0).await;
        let over = match lecture.over(started, SOON * 3).await {
            Ok(over) => over,
            Err(error) if notes.is_empty() => return Err(error),
            // Without a worker nobody ends it; what is broken is said already.
            Err(_) => break,
        };
        let shown = film(campus, &over)?;
        // An end in order loses nothing that has arrived: what the film lacks there was on its way.
        let last = shown.codes.shown.iter().map(|shown| shown.wall).fold(0.0, f64::max);
        let way = (seconds(over.ended) - last).max(0.0);
        ways.push(way);
        for Kill { death, at } in killed {
            let (before, after) = shown.codes.around(at);
            let (Some(before), Some(after)) = (before, after) else {
                notes.push(format!("{death:?}: nothing is shown on one side of the kill"));
                continue;
            };
            let (lost, back) = (seconds(at) - before, after - seconds(at));
            media_lost.push((lost - way).max(0.0));
            deaths.entry(death).or_default().push((lost, back));
            all.push(json!({ "death": format!("{death:?}"), "lost_s": tenth(lost), "back_s": tenth(back) }));
        }
        let gaps = campus.manifest(over.ready.recording)?["gaps"].as_array().map_or(0, Vec::len);
        let missing = shown.codes.missing(UNNOTICED).len();
        let (sound, findings) = campus.verify(over.ready.recording)?;
        if !sound {
            notes.push(format!("verify: {findings:?}"));
        }
        if missing > 0 && gaps == 0 {
            notes.push(format!("{missing} gaps are in the film and none in the manifest"));
        }
        if campus.manifests(over.ready.recording)?.len() != 1 {
            notes.push("more than one manifest".into());
        }
    }
    let lost: Vec<f64> = deaths.values().flatten().map(|(lost, _)| *lost).collect();
    let of = |values: &[f64], part| percentile(values.to_vec(), part).map(tenth);
    let worst = of(&media_lost, 0.99).unwrap_or(f64::INFINITY);
    let way = of(&ways, 1.0).unwrap_or(f64::INFINITY);
    let mut verdict = Verdict::of(if worst.is_finite() { worst } else { -1.0 }, done)
        .holds(notes.is_empty(), notes.join("; "))
        .holds(lost.len() == done as usize, format!("{} of {done} kills can be measured", lost.len()))
        .holds(worst <= SEGMENT + CLOSES, format!("{worst:.1} s of what had arrived are lost, more than a segment"))
        .holds(way <= WAY, format!("a picture is {way:.1} s on its way to the recorder"))
        .with("way_most_s", way)
        .with("lost_with_way_p50_p99_s", json!([of(&lost, 0.5), of(&lost, 0.99)]))
        .with("lost_p50_s", of(&media_lost, 0.5));
    for (death, figures) in &deaths {
        let back: Vec<f64> = figures.iter().map(|(_, back)| *back).collect();
        let lost: Vec<f64> = figures.iter().map(|(lost, _)| *lost).collect();
        let aim = if *death == Death::OnNode { 4.0 } else { 10.0 };
        let name = format!("{death:?}").to_lowercase();
        let (usual, slowest) = (of(&back, 0.5).unwrap_or(f64::INFINITY), of(&back, 0.99).unwrap_or(f64::INFINITY));
        verdict = verdict
            .holds(usual <= aim, format!("{name}: recorded again after {usual:.1} s, mostly"))
            .holds(slowest <= aim * 1.5, format!("{name}: recorded again after {slowest:.1} s"))
            .with(&format!("{name}_lost_p50_p99_s"), json!([of(&lost, 0.5), of(&lost, 0.99)]))
            .with(&format!("{name}_back_p50_p99_s"), json!([of(&back, 0.5), of(&back, 0.99)]))
            .with(&format!("{name}_aim_s"), aim);
    }
    Ok(verdict.with("kills", all))
}

/// Kills whoever is in the room at a random moment; returns when, and by when another epoch had stored something.
async fn kill(
    campus: &Campus,
    workers: &mut [Service],
    recording: RecordingId,
    death: Death,
    chance: &mut StdRng,
) -> (SystemTime, anyhow::Result<f64>) {
    let before = async {
        let at = held(workers).await?;
        let epoch = campus.state(recording)?["epoch"].as_u64().context("an epoch")?;
        campus.stored(recording, epoch, SOON).await?;
        anyhow::Ok((at, epoch))
    };
    let (at, epoch) = match before.await {
        Ok(found) => found,
        Err(error) => return (SystemTime::now(), Err(error)),
    };
    passes(chance.random_range(3.0..9.0)).await;
    let (died, begun) = (SystemTime::now(), Instant::now());
    let on = async {
        match death {
            Death::OnNode => {
                workers[at].kill()?;
                workers[at].start()?;
            }
            Death::Elsewhere => workers[at].kill()?,
            Death::NodeGone => {
                workers[at].power_cut()?;
                fs::remove_dir_all(workers[at].spool())?;
            }
        }
        campus.stored(recording, epoch + 1, TAKEOVER).await?;
        let took = begun.elapsed().as_secs_f64();
        if death != Death::OnNode {
            workers[at].start()?;
        }
        workers[at].says(TAKES).await?;
        Ok(took)
    };
    (died, on.await)
}

/// F2.
pub(crate) async fn child_killed(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (full, times) = (bench.full, bench.times(2, 15));
    let mut chance = bench.chance(Id::F2);
    let campus = bench.campus().await?;
    let worker = campus.worker("parent").await?;
    let lecture = campus.lecture("Lecture F2").await?;
    let (_, started) = lecture.started().await?;
    let mut kills = Vec::new();
    for n in 0..times {
        // Far enough apart not to look like a track that kills its decoder.
        passes(chance.random_range(5.0..9.0) + if n > 0 && full { 27.0 } else { 0.0 }).await;
        let pid = until("a media process runs", SOON, async || Ok(worker.media().first().copied())).await?;
        kills.push(SystemTime::now());
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?;
        until("another media process runs", SOON, async || Ok(worker.media().into_iter().find(|p| *p != pid))).await?;
    }
    passes(8.0).await;
    let over = lecture.over(started, SOON * 2).await?;
    let epoch = campus.state(over.ready.recording)?["epoch"].clone();
    let verdict = gaps(campus, &over, &kills, 3.0)?;
    Ok(verdict.with("epochs", epoch))
}

/// A verdict over what happened at each of `moments`: how long until something is shown again, which may be `most`
/// seconds, and what was lost of what came before, which may be a segment.
fn gaps(campus: &Campus, over: &Over, moments: &[SystemTime], most: f64) -> anyhow::Result<Verdict> {
    let shown = film(campus, over)?;
    let (mut lost, mut back) = (Vec::new(), Vec::new());
    for at in moments {
        match shown.codes.around(*at) {
            (Some(before), Some(after)) => {
                lost.push(tenth(seconds(*at) - before));
                back.push(tenth(after - seconds(*at)));
            }
            _ => bail!("nothing is shown on one side of a moment"),
        }
    }
    let worst = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    let (lost_most, slowest) = (worst(&lost), worst(&back));
    let named = campus.manifest(over.ready.recording)?["gaps"].clone();
    let (sound, findings) = campus.verify(over.ready.recording)?;
    Ok(Verdict::of(slowest, u32::try_from(moments.len())?)
        .holds(slowest <= most, format!("shown again after {slowest:.1} s"))
        .holds(lost_most <= SEGMENT + WAY, format!("{lost_most:.1} s of what came before are lost"))
        .holds(sound, format!("verify: {findings:?}"))
        .holds(shown.codes.backward() == 0, "the film goes back in time")
        .holds(
            slowest < UNNOTICED || named.as_array().is_some_and(|all| !all.is_empty()),
            "the gap is not in the manifest",
        )
        .with("gap_most_s", tenth(lost.iter().zip(&back).map(|(lost, back)| lost + back).fold(0.0, f64::max)))
        .with("lost_before_s", lost)
        .with("shown_again_after_s", back))
}

/// F3.
pub(crate) async fn asleep(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (times, sleeps) = if bench.full { (3, 60.0) } else { (1, 14.0) };
    let mut most = 0;
    let mut verdict = Verdict::of(0.0, times);
    for _ in 0..times {
        let campus = bench.campus().await?;
        let mut workers = vec![campus.worker("sleeper").await?];
        let lecture = campus.lecture("Lecture F3").await?;
        let (recording, started) = lecture.started().await?;
        campus.stored(recording, 1, SOON).await?;
        workers.push(campus.worker("awake").await?);
        let slept = SystemTime::now();
        workers[0].signal(Signal::SIGSTOP)?;
        let taken = campus.stored(recording, 2, Duration::from_secs_f64(sleeps)).await;
        let left = sleeps - slept.elapsed()?.as_secs_f64();
        passes(left.max(0.0)).await;
        let owner = campus.state(recording)?["owner"].clone();
        workers[0].signal(Signal::SIGCONT)?;
        passes(6.0).await;
        let after = campus.state(recording)?["owner"].clone();
        let (ended, begun) = (SystemTime::now(), Instant::now());
        lecture.meeting.room.destroy().await?;
        let over = Over { ready: lecture.ready(begun, SOON * 2).await?, started, ended };
        let published = campus.manifests(recording)?.len();
        most = most.max(published);
        // Whoever says that an epoch is the last one has the recording finished.
        let last = |event: &Event| matches!(&event.body, Body::EpochStored(stored) if stored.last);
        let ends = lecture.meeting.news.all().iter().filter(|(_, event)| last(event)).count();
        let ready = over.ready;
        let shown = film(campus, &over)?;
        let missing = shown.codes.longest_missing(started + SETTLES, over.ended - Duration::from_millis(1500));
        let back = shown.codes.around(slept).1.map(|after| after - seconds(slept));
        let (sound, findings) = campus.verify(recording)?;
        verdict = verdict
            .holds(taken.is_ok(), "nobody took over from a sleeper")
            .holds(taken.is_err() || owner == after, "the sleeper took its recording back")
            .holds(published == 1, format!("{published} manifests"))
            .holds(ends == 1, format!("{ends} workers had it finished"))
            .holds(back.is_some_and(|back| back <= 10.0), format!("recorded again after {back:?} s"))
            .holds(sound, format!("verify: {findings:?}"))
            .with("missing_s", tenth(missing))
            .with("taken_over_after_s", back.map(tenth))
            .with("generation", campus.state(ready.recording)?["generation"].clone());
    }
    verdict.figure = Some(most as f64);
    Ok(verdict.with("slept_s", sleeps))
}

/// F4.
pub(crate) async fn killed_while_taking(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let times = bench.times(1, 10);
    let campus = bench.campus().await?;
    let steps: [(&str, Rule); 3] = [
        ("claim", Rule::new(&[Put], "state.json", Fault::Hold, When::Nth(1))),
        ("key", Rule::new(&[Put], ".key.age", Fault::Hold, When::Nth(1))),
        ("settling", Rule::new(&[Get], ".key.age", Fault::Hold, When::Nth(1))),
    ];
    let (mut stuck, mut doubled, mut runs) = (0_u32, 0_u32, 0_u32);
    let mut notes = Vec::new();
    for _ in 0..times {
        for (name, rule) in &steps {
            runs += 1;
            let mut worker = campus.worker("taker").await?;
            let held = campus.front.held();
            campus.front.play([rule.clone()]);
            let lecture = campus.lecture("Lecture F4").await?;
            campus.front.holds(held, SOON).await?;
            worker.kill()?;
            campus.front.behave();
            worker.start()?;
            worker.says(TAKES).await?;
            let bots = async || {
                let people = lecture.meeting.room.people().await?;
                anyhow::Ok(people.iter().filter(|(_, name)| name.contains("Recording")).count())
            };
            let came =
                until("the recording goes on", Duration::from_secs(20), async || Ok((bots().await? > 0).then_some(())));
            if came.await.is_err() {
                stuck += 1;
                notes.push(format!("killed at its {name}: nobody goes on"));
            }
            for _ in 0..4 {
                passes(0.5).await;
                doubled += u32::from(bots().await? > 1);
            }
            end_by_force(lecture, &mut worker).await?;
        }
    }
    campus.broker.ctl(&["purge_queue", "lectern.record"])?;
    Ok(Verdict::of(f64::from(stuck), runs)
        .holds(stuck == 0, notes.join("; "))
        .holds(doubled == 0, format!("two bots were in a room {doubled} times"))
        .with("doubled", doubled))
}

/// Nobody waits for its film.
async fn end_by_force(lecture: Lecture, worker: &mut Service) -> anyhow::Result<()> {
    lecture.meeting.room.destroy().await?;
    worker.stop()?;
    Ok(())
}

/// F22.
pub(crate) async fn clock_steps(bench: &mut Bench) -> anyhow::Result<Verdict> {
    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    ensure!(std::path::Path::new(LIBRARY).is_file(), "install libfaketime (Debian: faketime)");
    let rest = if bench.full { 30.0 } else { 4.0 };
    let campus = bench.campus().await?;
    let folder = campus.folder("clocks")?;
    let mut workers = Vec::new();
    for name in ["clock-a", "clock-b"] {
        let clock = folder.join(name);
        fs::write(&clock, "+0\n")?;
        let mut worker = campus.service("recorder", name, "")?;
        worker.with_env("LD_PRELOAD", LIBRARY);
        worker.with_env("FAKETIME_TIMESTAMP_FILE", &clock);
        worker.with_env("FAKETIME_NO_CACHE", "1");
        // The monotonic clock is nobody's to step, as on a real machine.
        worker.with_env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        worker.start()?;
        worker.says(TAKES).await?;
        workers.push(worker);
    }
    let lecture = campus.lecture("Lecture F22").await?;
    let (recording, started) = lecture.started().await?;
    campus.stored(recording, 1, SOON).await?;
    let at = held(&workers).await?;
    let (mut steps, mut unstepped) = (Vec::new(), false);
    for (who, step) in [(1 - at, "+3600"), (1 - at, "-3600"), (at, "+3600"), (at, "-3600"), (at, "+0"), (1 - at, "+0")]
    {
        let name = workers[who].name().to_owned();
        fs::write(folder.join(&name), format!("{step}\n"))?;
        passes(rest).await;
        let state = campus.state(recording)?;
        let epoch = state["epoch"].as_u64().unwrap_or(0);
        // The holder stamps its sign of life by its own clock, which tells whether that was stepped at all.
        if who == at {
            let off = stamped(&state)? - seconds(SystemTime::now());
            let wanted: f64 = step.parse()?;
            unstepped |= (off - wanted).abs() > 60.0;
        }
        steps.push(json!({ "whose": if who == at { "holder" } else { "other" }, "step_s": step, "epoch": epoch }));
    }
    let wrong = campus.state(recording)?["epoch"].as_u64().context("an epoch")? - 1;
    // And a right one: by a worker whose clock is an hour slow, of what another has stamped an hour later.
    fs::write(folder.join(workers[1 - at].name()), "-3600\n")?;
    passes(2.0).await;
    let died = SystemTime::now();
    workers[at].power_cut()?;
    let epoch = campus.stored(recording, 2, TAKEOVER).await;
    passes(4.0).await;
    let over = lecture.over(started, SOON * 2).await?;
    let verdict = gaps(campus, &over, &[died], 10.0)?;
    let back = verdict.figure;
    let mut verdict = verdict
        .holds(wrong == 0, format!("{wrong} takeovers without a dead worker"))
        .holds(!unstepped, "the holder's clock was not stepped")
        .holds(epoch.as_ref().is_ok_and(|epoch| *epoch == 2), format!("taken over as {epoch:?}"))
        .with("taken_over_by_a_slow_clock_after_s", back)
        .with("steps", steps);
    verdict.runs = 6;
    verdict.figure = Some(wrong as f64);
    Ok(verdict)
}

/// When the record was changed, by whoever changed it, in seconds since 1970.
fn stamped(state: &serde_json::Value) -> anyhow::Result<f64> {
    let changed: media::WallTime = serde_json::from_value(state["changed"].clone()).context("when it was changed")?;
    Ok(changed.0 as f64 / 1e6)
}

/// F25.
pub(crate) async fn starved(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let lasts = if bench.full { 120.0 } else { 14.0 };
    let campus = bench.campus().await?;
    let mut worker = campus.service("recorder", "starved", "")?;
    worker.through(["taskset", "-c", "0"]);
    worker.start()?;
    worker.says(TAKES).await?;
    let lecture = campus.lecture("Lecture F25").await?;
    let (_, started) = lecture.started().await?;
    passes(2.0).await;
    let log = campus.inputs().join("burner.log");
    let burner = || {
        let program = Program::new("taskset").args(["-c", "0", "sh", "-c", "while :; do :; done"]);
        Process::start(program, &log)
    };
    let burners = [burner()?, burner()?];
    passes(lasts).await;
    for burner in &burners {
        burner.kill()?;
    }
    passes(2.0).await;
    let over = lecture.over(started, SOON * 3).await?;
    let shown = film(campus, &over)?;
    let silent = shown.silent(over.started + SETTLES, over.ended - Duration::from_secs(2));
    let (sound, findings) = campus.verify(over.ready.recording)?;
    let unseen = shown.codes.longest_missing(over.started + SETTLES, over.ended - Duration::from_secs(2));
    Ok(Verdict::of(silent.len() as f64, 1)
        .holds(silent.is_empty(), format!("no beep at {silent:?}"))
        .holds(sound, format!("verify: {findings:?}"))
        .with("starved_s", lasts)
        .with("longest_unseen_s", tenth(unseen))
        .with("gaps", campus.manifest(over.ready.recording)?["gaps"].clone()))
}

/// F26.
pub(crate) async fn out_of_memory(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let times = bench.times(1, 5);
    let campus = bench.campus().await?;
    let worker = campus.worker("hungry").await?;
    let lecture = campus.lecture("Lecture F26").await?;
    let (_, started) = lecture.started().await?;
    let mut deaths = Vec::new();
    for n in 0..times {
        passes(if n == 0 { 6.0 } else { 30.0 }).await;
        let pid = until("a media process runs", SOON, async || Ok(worker.media().first().copied())).await?;
        // Not a page more than it has.
        let limit = Command::new("prlimit").args(["--pid", &pid.to_string(), "--as=1048576"]).output()?;
        ensure!(limit.status.success(), "prlimit: {}", String::from_utf8_lossy(&limit.stderr));
        let gone = until("the media process dies of it", Duration::from_secs(30), async || {
            Ok((!worker.media().contains(&pid)).then_some(()))
        });
        // It may do with what it has for as long as nobody new comes.
        let mut visitor = None;
        tokio::select! {
            gone = gone => gone?,
            joined = async {
                passes(2.0).await;
                visitor = Some(campus.speaker(&lecture.meeting.room).await);
                std::future::pending::<()>().await;
            } => joined,
        }
        deaths.push(SystemTime::now());
        drop(visitor);
        until("another media process runs", SOON, async || Ok(worker.media().into_iter().find(|p| *p != pid))).await?;
    }
    passes(8.0).await;
    ensure!(worker.runs(), "the worker died with its child");
    let over = lecture.over(started, SOON * 2).await?;
    // From the last frame to the death, it may have hung.
    gaps(campus, &over, &deaths, 10.0)
}

/// F27.
pub(crate) async fn handed_over(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let times = bench.times(1, 6);
    let mut worst = 0.0_f64;
    let mut verdict = Verdict::of(0.0, times);
    let mut overlaps = Vec::new();
    for _ in 0..times {
        let campus = bench.campus().await?;
        let [_, port, _] = campus.lectern.ports();
        let mut origin = campus.service("origin", "origin", "")?;
        origin.start()?;
        let mut workers = vec![campus.worker("leaving").await?];
        let lecture = campus.lecture("Webinar F27").await?;
        let (recording, started) = lecture.started().await?;
        campus.stored(recording, 1, SOON).await?;
        workers.push(campus.worker("coming").await?);
        passes(4.0).await;
        let viewer = Viewer::of(port, recording);
        let asked = SystemTime::now();
        workers[0].signal(Signal::SIGTERM)?;
        let (mut both, mut came, mut left) = (0.0, None, None);
        let begun = Instant::now();
        while begun.elapsed() < SOON && left.is_none() {
            let people = lecture.meeting.room.people().await?;
            let bots = people.iter().filter(|(_, name)| name.contains("Recording")).count();
            let after = begun.elapsed().as_secs_f64();
            if bots > 1 {
                came.get_or_insert(after);
                both = after - came.unwrap_or(after);
            }
            if !workers[0].runs() {
                left = Some(after);
            }
            passes(0.2).await;
        }
        passes(8.0).await;
        let epoch = campus.state(recording)?["epoch"].as_u64().unwrap_or(0);
        let seen = viewer.seen(&campus.folder("viewer")?, started)?;
        let over = match lecture.over(started, SOON * 2).await {
            Ok(over) => over,
            Err(error) => {
                verdict = verdict.holds(false, format!("epoch {epoch}; {error:#}"));
                continue;
            }
        };
        origin.stop()?;
        let shown = film(campus, &over)?;
        let (from, to) = (started + SETTLES, over.ended - Duration::from_millis(1500));
        // What its sender skipped on a busy machine is missing anywhere: what counts is what the hand-over adds to that.
        let gone = asked + Duration::from_secs_f64(left.unwrap_or(0.0) + 4.0);
        let silent = shown.silent(asked, gone);
        let usual = shown.codes.longest_missing(from, asked).max(shown.codes.longest_missing(gone, to));
        let around = shown.codes.longest_missing(asked, gone);
        let missing = (around - usual.max(2.0 * TENTH)).max(0.0);
        let unseen = (seen.unseen - usual.max(2.0 * TENTH)).max(0.0);
        worst = worst.max(missing).max(seen.missing).max(unseen);
        overlaps.push(tenth(both));
        verdict = verdict
            .holds(epoch >= 2, "nobody took over")
            .holds(left.is_some(), "the old worker does not go")
            .holds(both > 0.0, "the two were never in the room together")
            .holds(missing <= TENTH, format!("{missing:.2} s are missing in the film"))
            .holds(silent.is_empty(), format!("no beep at {silent:?}"))
            .holds(seen.epochs >= 2, "the viewer never saw the other worker's stream")
            .holds(seen.last >= seconds(gone) - 2.0, "the viewer's stream ends with the hand-over")
            .holds(over.ready.complete, format!("partial: {}", campus.manifest(recording)?["gaps"]))
            .holds(seen.problems.is_empty(), seen.problems.join("; "))
            .holds(unseen <= TENTH, format!("a viewer does not see {unseen:.2} s"))
            .with("film_longest_unseen_s", json!({ "around": tenth(around), "elsewhere": tenth(usual) }))
            .with("viewer_longest_unseen_s", tenth(seen.unseen))
            .with("viewer_segments", seen.segments)
            .with("viewer_missing_s", tenth(seen.missing))
            .with("left_after_s", left.map(tenth))
            .with("asked_at", seconds(asked));
    }
    verdict.figure = Some(tenth(worst));
    Ok(verdict.with("overlap_s", overlaps))
}
