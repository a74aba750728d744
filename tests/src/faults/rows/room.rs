//! The meeting server and the way to it.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::super::bench::{Bench, say};
use super::super::campus::SOON;
use super::super::look::seconds;
use super::super::matrix::Id;
use super::super::verdict::Verdict;
use super::super::weather::{Network, Weather};
use super::{SETTLES, film, passes};
use crate::analysis::percentile;
use crate::news::News;
use crate::participants::cast;
use crate::participants::publisher::Media;
use crate::process::until;
use crate::recorded::Recorded;
use crate::room::Plan;

/// F23.
pub(crate) async fn restarted(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let times = bench.times(1, 6);
    let campus = bench.campus().await?;
    let _worker = campus.worker("returning").await?;
    // A room of the server's own configuration is there again when the server is.
    let number = rand::random_range(100_000..1_000_000_000);
    let room = campus.janus.furnish(number, &Plan::titled("Lecture F23"))?;
    campus.janus.stop();
    campus.janus.again().await?;
    let news = News::of(&campus.broker, number).await?;
    let mut lecture = campus.lecture_in(room.clone(), news).await?;
    let (recording, started) = lecture.started().await?;
    campus.stored(recording, 1, SOON).await?;
    let (mut deaths, mut rejoins) = (Vec::new(), Vec::new());
    for _ in 0..times {
        passes(5.0).await;
        deaths.push(SystemTime::now());
        campus.janus.kill();
        lecture.speakers.clear();
        passes(1.0).await;
        campus.janus.again().await?;
        let back = Instant::now();
        let speaker = campus.speaker(&room).await?;
        lecture.speakers.push(speaker);
        until("the bot is back", SOON, async || {
            let people = room.people().await?;
            Ok(people.iter().any(|(_, name)| name.contains("Recording")).then_some(()))
        })
        .await?;
        rejoins.push(back.elapsed().as_secs_f64());
        say(format!("back in the room {:.1} s after the server", back.elapsed().as_secs_f64()));
    }
    passes(8.0).await;
    let over = lecture.over(started, SOON * 2).await?;
    let shown = film(campus, &over)?;
    let missing: Vec<f64> = deaths
        .iter()
        .filter_map(|at| {
            let (before, after) = shown.codes.around(*at);
            Some(after? - before?)
        })
        .collect();
    let worst = missing.iter().copied().fold(0.0, f64::max);
    let slowest = rejoins.iter().copied().fold(0.0, f64::max);
    let manifest = campus.manifest(over.ready.recording)?;
    let (sound, findings) = campus.verify(over.ready.recording)?;
    let tenths = |all: &[f64]| all.iter().map(|s| (s * 10.0).round() / 10.0).collect::<Vec<_>>();
    Ok(Verdict::of(worst, times)
        .holds(missing.len() == deaths.len(), "nothing is shown after a restart")
        .holds(slowest <= 10.0, format!("back after {slowest:.1} s"))
        .holds(manifest["gaps"].as_array().is_some_and(|all| !all.is_empty()), "no gap is named")
        .holds(sound, format!("verify: {findings:?}"))
        .with("missing_s", tenths(&missing))
        .with("rejoin_s", tenths(&rejoins))
        .with("gaps", manifest["gaps"].clone()))
}

/// F24.
pub(crate) async fn weather(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (full, seed) = (bench.full, bench.seed ^ Id::F24 as u64);
    let campus = bench.campus().await?;
    let network = Network::to(&campus.janus.url(), seed).await?;
    let url = format!("meeting.campus.url = \"{}\"", network.url());
    let _worker = campus.worker_with("drenched", &url).await?;
    let lecture = campus.lecture("Lecture F24").await?;
    // Flashes and beeps of one sender tell how far picture and sound lie apart.
    let [_, person, ..] = cast();
    let camera = crate::participants::Publisher::join(
        &campus.janus.url(),
        lecture.meeting.room.id,
        &person,
        &Media::default(),
        &campus.inputs(),
    )
    .await?;
    let (_, started) = lecture.started().await?;
    passes(if full { 30.0 } else { 8.0 }).await;
    let levels: &[f64] = if full { &[0.05, 0.1, 0.2, 0.3] } else { &[0.1] };
    let mut spells = Vec::new();
    for lost in levels {
        let (from, before) = (SystemTime::now(), network.suffered());
        network.set(Weather { lost: *lost, late: 0.05, twice: 0.05 });
        passes(if full { 60.0 } else { 12.0 }).await;
        let after = network.suffered();
        let dropped = after.lost - before.lost;
        spells.push((*lost, from, SystemTime::now(), dropped, after.keys_asked - before.keys_asked));
    }
    network.set(Weather::default());
    passes(5.0).await;
    let over = lecture.over(started, SOON * 2).await?;
    drop(camera);
    let file = campus.film(over.ready.recording)?;
    let recorded = Recorded::of(&file, over.ready, started, &person)?;
    let skews = |from: SystemTime, to: SystemTime| recorded.beats(&person, from, to).skews();
    let dry = skews(started + SETTLES, spells[0].1);
    let dry_beats = json!([dry.len(), (seconds(spells[0].1) - seconds(started + SETTLES)).round()]);
    let calm = percentile(dry, 0.5).unwrap_or(f64::NAN);
    let shown = film(campus, &over)?;
    let (mut worst, mut runs) = (0.0_f64, Vec::new());
    let mut verdict = Verdict::of(0.0, u32::try_from(spells.len())?);
    for (lost, from, to, dropped, keys) in spells {
        let wet = skews(from + Duration::from_secs(1), to);
        let (beats, expected) = (wet.len(), seconds(to) - seconds(from) - 1.0);
        let drift = percentile(wet, 0.5).map(|wet| (wet - calm).abs());
        let silent = shown.silent(from + Duration::from_secs(1), to).len();
        let unseen = shown.codes.longest_missing(from, to);
        verdict = verdict
            .holds(dropped > 20, format!("only {dropped} packets were lost: is there a way past the relay?"))
            .holds(drift.is_some(), format!("at {:.0} % no flash is near a beep", lost * 100.0))
            .holds(
                lost > 0.1 || beats as f64 >= expected / 4.0,
                format!("at {:.0} % only {beats} of {expected:.0} flashes are near a beep", lost * 100.0),
            )
            .holds(
                lost > 0.1 || unseen <= 8.0,
                format!("at {:.0} % the picture stands for {unseen:.1} s", lost * 100.0),
            )
            // A beep is five packets, and nobody sends sound twice: of some beeps too little is left.
            .holds(
                lost > 0.1 || silent as f64 <= expected / 5.0,
                format!("at {:.0} % no beep in {silent} of {expected:.0} seconds", lost * 100.0),
            );
        worst = worst.max(drift.unwrap_or(0.0));
        runs.push(json!({
            "lost": lost, "packets_lost": dropped, "keys_asked": keys, "drift_ms": drift.map(f64::round),
            "beats": beats, "seconds_without_beep": silent, "longest_unseen_s": (unseen * 10.0).round() / 10.0,
        }));
    }
    verdict.figure = Some(worst.round());
    let suffered = network.suffered();
    Ok(verdict
        .holds(calm.is_finite(), "no flash is near a beep in good weather")
        .holds(worst < 40.0, format!("sound and picture drift by {worst:.0} ms"))
        .with("calm_skew_ms", calm.round())
        .with("calm_beats_of_seconds", dry_beats)
        .with("passed", suffered.passed)
        .with("late", suffered.late)
        .with("twice", suffered.twice)
        .with("spells", runs))
}
