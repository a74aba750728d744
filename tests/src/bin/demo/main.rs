//! The main job from start to finish on this machine, and whether it went well. `samples/demo` builds and starts it.

mod checks;
mod report;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;

/// A lecture on this machine: recorded, streamed, sealed, transcribed, opened again.
#[derive(Debug, Parser)]
struct Args {
    /// Length of the meeting in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=3600))]
    seconds: u64,
    /// Leave everything running until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Write what was measured as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where everything is kept; what an earlier demo left there is removed first.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

/// Marks a work folder as ours to empty.
const MARK: &str = ".lectern-demo";

fn main() -> ExitCode {
    match demo(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = chassis::shutdown::token()?;
        tokio::select! {
            passed = run(args) => passed,
            // What was started is dropped with the other branch, and stops.
            () = stop.cancelled() => Ok(ExitCode::from(130)),
        }
    })
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let work = args.work.clone().unwrap_or_else(|| e2e::root().join("work/demo"));
    fresh(&work)?;
    let (stage, told) = story::tell(&work, args.seconds).await?;
    let report = checks::check(&stage, &told).await?;
    print!("{report}");
    println!("To open the recording yourself:\n  {}\n  {}", told.commands[0], told.commands[1]);
    if let Some(file) = &args.report {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?).with_context(|| format!("write {file:?}"))?;
    }
    if args.keep {
        println!("Still running; Ctrl-C ends it.\n  recordings  {}", stage.lectern.portal()?.entrance());
        std::future::pending::<()>().await;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An empty folder, made so only if an earlier demo left what is in it.
fn fresh(work: &std::path::Path) -> anyhow::Result<()> {
    let ours = work.join(MARK).exists();
    let empty = std::fs::read_dir(work).map_or(true, |mut entries| entries.next().is_none());
    ensure!(
        ours || empty,
        "{} holds something else than an earlier demo; give another folder with --work",
        work.display()
    );
    if ours {
        std::fs::remove_dir_all(work).with_context(|| format!("empty {}", work.display()))?;
    }
    std::fs::create_dir_all(work)?;
    Ok(std::fs::write(work.join(MARK), "")?)
}
