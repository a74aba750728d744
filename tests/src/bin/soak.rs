//! `tests/run soak`: records one long webinar in real time and looks at what each process holds meanwhile: memory, open
//! descriptors, threads. Then decodes the film and counts what is missing.
//!
//! # Design
//! A leak is what keeps growing once everything has been used for a while, so the first quarter of the time is left out
//! (an origin fills its window of 15 minutes twice before it forgets as much as it takes) and a straight line is laid
//! through the rest. Its slope is the figure, in MiB per hour; what a run fails for is growth over its own length, so that
//! a short run does not fail for noise.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use clap::Parser;
use e2e::faults::campus::{Campus, Film, SOON};
use e2e::faults::viewer::Viewer;
use e2e::measure::{Held, line};
use e2e::participants::cast;
use e2e::servers::Service;
use serde_json::{Value, json};

const EVERY: Duration = Duration::from_secs(5);
/// What a process may have grown by at the end, in MiB: less than allocators move by themselves.
const GROWN_MB: f64 = 12.0;
/// What a process may have opened or started more at the end than after the first quarter.
const MORE: f64 = 2.0;

#[derive(Debug, Parser)]
#[command(about = "Records one long webinar and looks whether anything grows")]
struct Args {
    /// How long the room lasts.
    #[arg(long, default_value_t = 180)]
    minutes: u64,
    /// Write figures as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where to run; emptied at the start.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir().join("lectern-soak"))]
    work: PathBuf,
}

/// What one process held, with seconds from the beginning.
#[derive(Debug, Default)]
struct Track {
    pid: u32,
    seen: Vec<(f64, Held)>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let _ = std::fs::remove_dir_all(&args.work);
    std::fs::create_dir_all(&args.work).with_context(|| format!("make {:?}", args.work))?;
    let campus = Campus::open(&args.work, 0).await?;
    let [_, port, _] = campus.lectern.ports();
    let mut origin = campus.service("origin", "origin", "")?;
    origin.start()?;
    let worker = campus.worker("soak").await?;
    let lecture = campus.lecture("Webinar of some hours").await?;
    let (recording, started) = lecture.started().await?;
    let viewer = Viewer::of(port, recording);
    let begun = Instant::now();
    let lasts = Duration::from_secs(args.minutes * 60);

    let mut tracks = BTreeMap::<String, Track>::new();
    let mut problems = Vec::new();
    let mut told = 0;
    while begun.elapsed() < lasts {
        tokio::time::sleep(EVERY).await;
        for (name, pid) in processes(&campus, &worker, &origin) {
            let Some(held) = e2e::measure::held(pid) else { continue };
            let track = tracks.entry(name.clone()).or_insert_with(|| Track { pid, seen: Vec::new() });
            if track.pid != pid {
                problems.push(format!("{name} was started anew at {:.0} s", begun.elapsed().as_secs_f64()));
                track.pid = pid;
            }
            track.seen.push((begun.elapsed().as_secs_f64(), held));
        }
        let minutes = begun.elapsed().as_secs() / 60;
        if minutes >= told + 5 {
            told = minutes;
            let now: Vec<_> = tracks.iter().filter_map(|(name, track)| Some((name, track.seen.last()?.1))).collect();
            let words = now.iter().map(|(name, held)| format!("{name} {:.0} MiB", held.rss_mb));
            eprintln!("{minutes} of {} min: {}", args.minutes, words.collect::<Vec<_>>().join(", "));
        }
    }

    let watched = viewer.fetched();
    drop(viewer);
    let over = lecture.over(started, SOON * 10).await?;
    let film = Film::of(&campus.film(recording)?, started, &cast()[0])?;
    let (from, to) = (started + Duration::from_secs(4), over.ended - Duration::from_millis(1500));
    let missing = film.codes.longest_missing(from, to);
    let silent = film.silent(from, to);
    let (sound, findings) = campus.verify(recording)?;
    let mut check = |so: bool, what: String| {
        if !so {
            problems.push(what);
        }
    };
    check(missing <= 1.0, format!("{missing:.1} s are missing in the film"));
    check(silent.is_empty(), format!("no beep in {} seconds", silent.len()));
    check(over.ready.complete, "the film is partial".into());
    check(sound, format!("verify: {findings:?}"));
    let figures: BTreeMap<_, _> =
        tracks.iter().map(|(name, track)| (name, figures(name, &track.seen, &mut check))).collect();

    let report = json!({
        "room_s": lasts.as_secs(),
        "film_ms": over.ready.duration_ms,
        "ready_after_end_s": (over.ready.after.as_secs_f64() * 10.0).round() / 10.0,
        "longest_unseen_s": missing,
        "seconds_without_beep": silent.len(),
        "beeps": film.beeps.len(),
        "viewer_segments": watched,
        "processes": figures,
        "problems": problems,
        "ended_at": e2e::faults::look::seconds(SystemTime::now()).round(),
    });
    let text = serde_json::to_string_pretty(&report)?;
    println!("{text}");
    if let Some(file) = &args.report {
        std::fs::write(file, text).with_context(|| format!("write the report {}", file.display()))?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn processes(campus: &Campus, worker: &Service, origin: &Service) -> Vec<(String, u32)> {
    let services = [worker, origin, &campus.bridge, &campus.finalizer, &campus.store];
    let mut all: Vec<_> = services.into_iter().filter_map(|s| Some((s.name().to_owned(), s.pid()?))).collect();
    all.extend(worker.media().into_iter().map(|pid| ("media".to_owned(), pid)));
    all
}

/// What a process held after the first quarter and at the end, and how it grew.
fn figures(name: &str, seen: &[(f64, Held)], check: &mut impl FnMut(bool, String)) -> Value {
    let rest = &seen[seen.len() / 4..];
    let of = |what: fn(&Held) -> f64| rest.iter().map(|(at, held)| (*at, what(held))).collect::<Vec<_>>();
    let rise = |points: &[(f64, f64)]| {
        let (slope, level) = line(points)?;
        let (first, last) = (points.first()?.0, points.last()?.0);
        Some((slope, level + slope * first, slope * (last - first)))
    };
    let mut told = serde_json::Map::new();
    for (what, unit, most, points) in [
        ("memory", "mib", GROWN_MB, of(|held| held.rss_mb)),
        ("descriptors", "n", MORE, of(|held| held.descriptors)),
        ("threads", "n", MORE, of(|held| held.threads)),
    ] {
        let Some((slope, level, grown)) = rise(&points) else {
            check(false, format!("{name} was not seen for long enough"));
            continue;
        };
        check(grown <= most, format!("{name} has {grown:.1} more {what} at the end than at {level:.1}"));
        let most = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let round = |value: f64| (value * 100.0).round() / 100.0;
        told.insert(
            what.into(),
            json!({ "unit": unit, "level": round(level), "per_hour": round(slope * 3600.0), "grown": round(grown), "most": round(most) }),
        );
    }
    told.insert("looks".into(), seen.len().into());
    Value::Object(told)
}
