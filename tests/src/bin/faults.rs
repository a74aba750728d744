//! `tests/run faults`: injects the faults of the matrix, one after the other, and prints a table as it goes.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use clap::Parser;
use e2e::faults::matrix::ROWS;
use e2e::faults::{Bench, Id, Outcome};
use serde_json::Value;

#[derive(Debug, Parser)]
#[command(about = "Injects faults into a real installation and measures what comes of it")]
struct Args {
    /// Which faults, such as F1 F7; all of them without a name.
    faults: Vec<Id>,
    /// As often and as long as is promised, which takes hours; without it each once and short.
    #[arg(long)]
    full: bool,
    /// Write outcomes and figures as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Rules all chance; printed by each run.
    #[arg(long)]
    seed: Option<u64>,
    /// How many rows at once, each in an installation of its own. Most of a row is waiting.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    jobs: u8,
    /// Where to run; emptied at the start.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir().join("lectern-faults"))]
    work: PathBuf,
}

/// What has still to be played, and what came of the rest.
struct Run {
    seed: u64,
    full: bool,
    report: Option<PathBuf>,
    wanted: Mutex<VecDeque<Id>>,
    /// Lines of the report, in the order of the matrix.
    played: Mutex<BTreeMap<Id, (Outcome, Value)>>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    let _ = std::fs::remove_dir_all(&args.work);
    std::fs::create_dir_all(&args.work).with_context(|| format!("make {:?}", args.work))?;
    println!("seed {seed}; what the services say lies below {}", args.work.display());
    let wanted = if args.faults.is_empty() { ROWS.iter().map(|row| row.id).collect() } else { args.faults.into() };
    let run = Run { seed, full: args.full, report: args.report, wanted: Mutex::new(wanted), played: Mutex::default() };

    // A thread each: a row that waits for a decoder must not hold up another's clock.
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (1..=args.jobs)
            .map(|n| {
                let work = args.work.join(format!("job-{n}"));
                let run = &run;
                scope.spawn(move || tokio::runtime::Runtime::new()?.block_on(run.rows(&work)))
            })
            .collect();
        jobs.into_iter().try_for_each(|job| job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;

    let played = lock(&run.played);
    let count = |wanted| played.values().filter(|(outcome, _)| *outcome == wanted).count();
    let (held, broken, not_yet) = (count(Outcome::Held), count(Outcome::Broken), count(Outcome::NotYet));
    println!("{held} held, {broken} broken, {not_yet} not yet; seed {seed}");
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Run {
    /// Plays one row after the other, until none is left.
    async fn rows(&self, work: &Path) -> Result<()> {
        let mut bench = Bench::new(work, self.seed, self.full);
        let next = || lock(&self.wanted).pop_front();
        while let Some(id) = next() {
            self.row(&mut bench, id).await?;
        }
        bench.close();
        Ok(())
    }

    async fn row(&self, bench: &mut Bench, id: Id) -> Result<()> {
        let row = id.row();
        let (verdict, took) = bench.play(id).await;
        let word = match verdict.outcome {
            Outcome::Held => "held",
            Outcome::Broken => "BROKEN",
            Outcome::NotYet => "not yet",
        };
        let figure = verdict.figure.map_or_else(String::new, |figure| format!("{figure} {}", row.unit));
        let line = serde_json::to_value(verdict.line(row, took.as_secs_f64(), self.seed))?;
        let mut played = lock(&self.played);
        println!("{id:<4}{word:<8} {figure:<30} {:>3} x {:>5.0} s  {}", verdict.runs, took.as_secs_f64(), row.fault);
        for note in &verdict.notes {
            println!("      {note}");
        }
        for (name, value) in &verdict.detail {
            println!("      {name}: {value}");
        }
        played.insert(id, (verdict.outcome, line));
        if let Some(report) = &self.report {
            let lines: Vec<_> = played.values().map(|(_, line)| line).collect();
            std::fs::write(report, serde_json::to_vec_pretty(&lines)?)
                .with_context(|| format!("write the report {}", report.display()))?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
