//! Whoever dies in the middle of a lecture: the same recording goes on, and says what is missing.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::process::{child_of, until};
use e2e::recorded::Recorded;
use e2e::stage::{Meeting, Stage};
use events::Body;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{lecture, on_stage, passes};

/// From a death to the next epoch's beginning, on a busy machine. Benches say how long it takes on an idle one.
const BACK: Duration = Duration::from_secs(20);

fn recorder(stage: &Stage) -> anyhow::Result<u32> {
    let lectern = stage.lectern.pid().context("lectern is not up")?;
    child_of(lectern, &["service", "recorder"]).context("there is no recorder")
}

fn end(pid: u32) -> anyhow::Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?)
}

/// Waits until `epoch` has begun; returns when that was.
async fn begun(meeting: &Meeting, epoch: u32) -> anyhow::Result<SystemTime> {
    let at = until(&format!("epoch {epoch} begins"), BACK, async || {
        let all = meeting.news.all();
        let found = all.iter().find(|(_, event)| match &event.body {
            Body::RecordingStarted(started) => started.epoch == epoch,
            _ => false,
        });
        Ok(found.map(|(at, _)| *at))
    })
    .await?;
    Ok(SystemTime::now() - at.elapsed())
}

/// A lecture in which somebody is killed after twelve seconds: what came before and after is there, and the rest is said to
/// be missing.
async fn survived(stage: &mut Stage, on: &str, whom: fn(&Stage) -> anyhow::Result<u32>) -> anyhow::Result<()> {
    let [person, ..] = cast();
    let meeting = stage.meeting(&lecture(on)).await?;
    let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
    let started = meeting.started().await?;
    passes(12).await;
    let died = SystemTime::now();
    end(whom(stage)?)?;
    let back = begun(&meeting, 2).await?;
    passes(8).await;
    let ended = SystemTime::now();
    let ready = meeting.end().await?;
    drop(speaker);

    ensure!(!ready.complete, "nothing is said to be missing");
    let film = Recorded::open(stage, ready, started, &person)?;
    // The open segment is lost.
    film.present(&person, started, died - Duration::from_secs(4))?;
    film.present(&person, back, ended)?;
    let requested = meeting.news.kinds().iter().filter(|kind| **kind == "recording.requested").count();
    ensure!(requested <= 1, "asked for {requested} times");
    let id = ready.recording.to_string();
    let verdict = stage.lectern.run(&["recordings", "verify", &id])?;
    ensure!(verdict.status.success(), "{}{}", verdict.out, verdict.err);
    let shown = stage.lectern.json(&["recordings", "show", &id])?;
    ensure!(shown.to_string().contains("gap"), "no gap is shown: {shown}");
    Ok(())
}

#[test]
fn a_recorder_that_is_killed_goes_on_with_the_same_recording() {
    on_stage(async |stage| survived(stage, "falling silent", recorder).await);
}

#[test]
fn a_media_process_that_is_killed_is_replaced() {
    let media = |stage: &Stage| child_of(recorder(stage)?, &["media"]).context("there is no media process");
    on_stage(async |stage| survived(stage, "losing sight", media).await);
}

/// As an upgrade does it.
#[test]
fn a_lectern_that_is_stopped_and_started_again_goes_on_with_the_same_recording() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let meeting = stage.meeting(&lecture("upgrades")).await?;
        let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
        let started = meeting.started().await?;
        passes(8).await;
        let stopped = SystemTime::now();
        stage.lectern.stop()?;
        stage.lectern.up().await?;
        let back = begun(&meeting, 2).await?;
        passes(8).await;
        let ended = SystemTime::now();
        let begin = Instant::now();
        meeting.room.destroy().await?;
        let ready = meeting.ready(begin).await?;
        drop(speaker);
        let film = Recorded::open(stage, ready, started, &person)?;
        film.present(&person, started, stopped)?;
        film.present(&person, back, ended)
    });
}
