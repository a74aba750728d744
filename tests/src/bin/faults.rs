//! `tests/run faults`: injects the faults of the matrix, one after the other, and prints a table as it goes.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::faults::matrix::ROWS;
use e2e::faults::{Bench, Id, Outcome};

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
    /// Where to run; emptied at the start.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir().join("lectern-faults"))]
    work: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    let _ = std::fs::remove_dir_all(&args.work);
    std::fs::create_dir_all(&args.work).with_context(|| format!("make {:?}", args.work))?;
    println!("seed {seed}; what the services say lies below {}", args.work.display());
    let wanted = if args.faults.is_empty() { ROWS.iter().map(|row| row.id).collect() } else { args.faults };

    let mut bench = Bench::new(&args.work, seed, args.full);
    let mut lines = Vec::new();
    let mut counts = [0; 3];
    for id in wanted {
        let row = id.row();
        let (verdict, took) = bench.play(id).await;
        let (word, count) = match verdict.outcome {
            Outcome::Held => ("held", 0),
            Outcome::Broken => ("BROKEN", 1),
            Outcome::NotYet => ("not yet", 2),
        };
        counts[count] += 1;
        let figure = verdict.figure.map_or_else(String::new, |figure| format!("{figure} {}", row.unit));
        println!("{id:<4}{word:<8} {figure:<30} {:>3} x {:>5.0} s  {}", verdict.runs, took.as_secs_f64(), row.fault);
        for note in &verdict.notes {
            println!("      {note}");
        }
        for (name, value) in &verdict.detail {
            println!("      {name}: {value}");
        }
        lines.push(serde_json::to_value(verdict.line(row, took.as_secs_f64(), seed))?);
        if let Some(report) = &args.report {
            let text = serde_json::to_vec_pretty(&lines)?;
            std::fs::write(report, text).with_context(|| format!("write the report {}", report.display()))?;
        }
    }
    bench.close();
    let [held, broken, not_yet] = counts;
    println!("{held} held, {broken} broken, {not_yet} not yet; seed {seed}");
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
