//! Runs seeds by hand: see the library's documentation.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use simulator::{Report, run};

const USAGE: &str = "simulator --seed N [--log DIR] | --seeds A..B";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--seed", seed] => seed.parse().map_err(|_| USAGE.to_owned()).and_then(|seed| one(seed, None)),
        ["--seed", seed, "--log", folder] => {
            seed.parse().map_err(|_| USAGE.to_owned()).and_then(|seed| one(seed, Some(&PathBuf::from(folder))))
        }
        ["--seeds", range] => many(range),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, folder: Option<&Path>) -> Result<(), String> {
    let report = run(seed, None, true);
    if let Some(folder) = folder {
        write(folder, seed, &report).map_err(|why| format!("cannot write to {}: {why}", folder.display()))?;
    } else {
        print!("{}", report.story.text());
    }
    println!(
        "seed {seed}: {:?}, {} epochs, {} segments, {} calls",
        report.phases, report.epochs, report.segments, report.calls
    );
    report.broken.map_or(Ok(()), |why| Err(format!("seed {seed}: {why}")))
}

fn write(folder: &Path, seed: u64, report: &Report) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("seed-{seed}.txt")), report.story.text())?;
    for (name, log) in report.story.sessions() {
        std::fs::write(folder.join(format!("seed-{seed}-{name}.jsonl")), &log.text)?;
    }
    println!(
        "written to {}; `recorder replay {}/seed-{seed}-….jsonl` runs a session again",
        folder.display(),
        folder.display()
    );
    Ok(())
}

fn many(range: &str) -> Result<(), String> {
    let (from, to) = range.split_once("..").ok_or(USAGE)?;
    let (from, to): (u64, u64) = (from.parse().map_err(|_| USAGE)?, to.parse().map_err(|_| USAGE)?);
    let mut phases = std::collections::BTreeMap::<String, u64>::new();
    for seed in from..to {
        let report = run(seed, None, false);
        if let Some(why) = report.broken {
            return Err(format!("seed {seed}: {why}"));
        }
        for phase in report.phases {
            *phases.entry(phase).or_default() += 1;
        }
    }
    println!("{} seeds from {from}: clean; {phases:?}", to.saturating_sub(from));
    Ok(())
}
