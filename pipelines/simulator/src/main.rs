//! Runs seeds by hand: see the library's documentation.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use simulator::{Mistake, Report, run};

const USAGE: &str = "simulator (--seed N | --seeds A..B) [--log DIR] [--mistake NAME]";

/// What was asked for.
#[derive(Default)]
struct Asked {
    seed: Option<u64>,
    seeds: Option<(u64, u64)>,
    log: Option<PathBuf>,
    mistake: Option<Mistake>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = asked(&words).ok_or_else(|| USAGE.to_owned()).and_then(|asked| match (asked.seed, asked.seeds) {
        (Some(seed), None) => one(seed, &asked),
        (None, Some((from, to))) => many(from, to, &asked),
        _ => Err(USAGE.to_owned()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn asked(words: &[String]) -> Option<Asked> {
    let mut asked = Asked::default();
    for pair in words.chunks(2) {
        let [option, value] = pair else { return None };
        match option.as_str() {
            "--seed" => asked.seed = Some(value.parse().ok()?),
            "--seeds" => {
                let (from, to) = value.split_once("..")?;
                asked.seeds = Some((from.parse().ok()?, to.parse().ok()?));
            }
            "--log" => asked.log = Some(value.into()),
            "--mistake" => asked.mistake = Some(Mistake::named(value)?),
            _ => return None,
        }
    }
    Some(asked)
}

fn one(seed: u64, asked: &Asked) -> Result<(), String> {
    let report = run(seed, asked.mistake, true);
    match &asked.log {
        Some(folder) => write(folder, seed, &report)?,
        None => print!("{}", report.story.text()),
    }
    println!(
        "seed {seed}: {:?}, {} epochs, {} segments, {} calls",
        report.phases, report.epochs, report.segments, report.calls
    );
    report.broken.map_or(Ok(()), |why| Err(format!("seed {seed}: {why}")))
}

fn write(folder: &Path, seed: u64, report: &Report) -> Result<(), String> {
    let cannot = |why| format!("cannot write to {}: {why}", folder.display());
    let logs = report.story.write(folder, seed).map_err(cannot)?;
    println!("seed {seed} is told in {}", folder.join(format!("seed-{seed}.txt")).display());
    for log in logs {
        println!("a session of it again: recorder replay {}", log.display());
    }
    Ok(())
}

fn many(from: u64, to: u64, asked: &Asked) -> Result<(), String> {
    let mut phases = std::collections::BTreeMap::<String, u64>::new();
    for seed in from..to {
        let report = run(seed, asked.mistake, false);
        if let Some(why) = report.broken {
            let folder = asked.log.clone().unwrap_or_else(|| std::env::temp_dir().join("lectern-simulator"));
            write(&folder, seed, &run(seed, asked.mistake, true))?;
            return Err(format!("seed {seed}: {why}"));
        }
        for phase in report.phases {
            *phases.entry(phase).or_default() += 1;
        }
    }
    println!("{} seeds from {from}: clean; {phases:?}", to.saturating_sub(from));
    Ok(())
}
