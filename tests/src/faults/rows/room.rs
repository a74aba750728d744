//! The meeting server and the way to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use events::RecordingId;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::super::bench::{Bench, say};
use super::super::campus::SOON;
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
    let times = bench.times(1, 10);
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
    let middle = |from: SystemTime, to: SystemTime| percentile(recorded.beats(&person, from, to).skews(), 0.5);
    let calm = middle(started + SETTLES, spells[0].1).unwrap_or(f64::NAN);
    let shown = film(campus, &over)?;
    let (mut worst, mut runs) = (0.0_f64, Vec::new());
    let mut verdict = Verdict::of(0.0, u32::try_from(spells.len())?);
    for (lost, from, to, dropped, keys) in spells {
        let wet = middle(from + Duration::from_secs(1), to);
        let drift = wet.map(|wet| (wet - calm).abs());
        let silent = shown.silent(from + Duration::from_secs(1), to).len();
        let unseen = shown.codes.longest_missing(from, to);
        verdict = verdict
            .holds(dropped > 20, format!("only {dropped} packets were lost: is there a way past the relay?"))
            .holds(drift.is_some(), format!("at {:.0} % no flash is near a beep", lost * 100.0));
        worst = worst.max(drift.unwrap_or(0.0));
        runs.push(json!({
            "lost": lost, "packets_lost": dropped, "keys_asked": keys, "drift_ms": drift.map(f64::round),
            "seconds_without_beep": silent, "longest_unseen_s": (unseen * 10.0).round() / 10.0,
        }));
    }
    verdict.figure = Some(worst.round());
    let suffered = network.suffered();
    Ok(verdict
        .holds(calm.is_finite(), "no flash is near a beep in good weather")
        .holds(worst < 40.0, format!("sound and picture drift by {worst:.0} ms"))
        .with("calm_skew_ms", calm.round())
        .with("passed", suffered.passed)
        .with("late", suffered.late)
        .with("twice", suffered.twice)
        .with("spells", runs))
}

/// Somebody who follows a webinar's playlist and fetches what it names.
#[derive(Debug)]
pub(super) struct Viewer {
    seen: Arc<Mutex<BTreeMap<u64, Seen>>>,
    _task: AbortOnDropHandle<()>,
}

/// One segment, as the playlist tells of it.
#[derive(Debug, Clone)]
struct Seen {
    /// Seconds since 1970, by EXT-X-PROGRAM-DATE-TIME.
    begins: Option<f64>,
    lasts: f64,
    gap: bool,
    bytes: usize,
}

/// What a viewer got.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) segments: usize,
    /// Seconds of wall time that no segment holds, between the first and the last.
    pub(super) missing: f64,
    pub(super) problems: Vec<String>,
}

impl Viewer {
    pub(super) fn of(port: u16, recording: RecordingId) -> Self {
        let seen = Arc::<Mutex<BTreeMap<u64, Seen>>>::default();
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let client = reqwest::Client::new();
            let base = format!("http://127.0.0.1:{port}/hls/{recording}/video");
            loop {
                // What cannot be fetched now is asked for again.
                let _ = look(&client, &base, &into).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        Self { seen, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) async fn seen(&self) -> anyhow::Result<Watched> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut problems = Vec::new();
        let mut missing = 0.0;
        let mut last: Option<(u64, Seen)> = None;
        for (number, one) in &seen {
            if one.gap || one.bytes == 0 {
                missing += one.lasts;
                problems.push(format!("segment {number} is a gap"));
            }
            if let Some((before, earlier)) = &last {
                if number - before != 1 {
                    problems.push(format!("segment {number} follows {before}"));
                }
                if let (Some(from), Some(to)) = (earlier.begins, one.begins) {
                    let hole = to - from - earlier.lasts;
                    if hole.abs() > 0.1 {
                        problems.push(format!("{hole:.2} s lie between segments {before} and {number}"));
                        missing += hole.max(0.0);
                    }
                }
            }
            last = Some((*number, one.clone()));
        }
        if seen.len() < 4 {
            problems.push(format!("only {} segments were seen", seen.len()));
        }
        Ok(Watched { segments: seen.len(), missing, problems })
    }
}

async fn look(client: &reqwest::Client, base: &str, into: &Mutex<BTreeMap<u64, Seen>>) -> anyhow::Result<()> {
    let text = client.get(format!("{base}/index.m3u8")).send().await?.error_for_status()?.bytes().await?;
    let (_, list) = m3u8_rs::parse_media_playlist(&text).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut clock = None;
    for (number, segment) in (list.media_sequence..).zip(list.segments) {
        if let Some(told) = segment.program_date_time {
            clock = Some(told.timestamp_micros() as f64 / 1e6);
        }
        let begins = clock;
        let lasts = f64::from(segment.duration);
        clock = clock.map(|at| at + lasts);
        if into.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&number) {
            continue;
        }
        let gap = segment.unknown_tags.iter().any(|tag| tag.tag == "X-GAP");
        let bytes = if gap {
            0
        } else {
            client.get(format!("{base}/{}", segment.uri)).send().await?.error_for_status()?.bytes().await?.len()
        };
        into.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Seen { begins, lasts, gap, bytes });
    }
    Ok(())
}
