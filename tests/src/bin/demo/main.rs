//! The main job from start to finish on this machine, and whether it went well. `samples/demo` builds and starts it.

mod checks;
mod report;
mod story;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use serde_json::json;
use tokio::task::JoinSet;

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
            eprintln!("demo: {error:#}{}", report::busy().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = chassis::shutdown::token()?;
        // Beside the meeting, which may be decoding when the signal comes; ends with this block.
        let mut says = JoinSet::new();
        let stopping = stop.clone();
        says.spawn(async move {
            stopping.cancelled().await;
            eprintln!("stopping RabbitMQ, Janus, Chromium and Lectern; this takes some seconds");
        });
        tokio::select! {
            passed = run(args) => passed,
            // What was started is dropped with the other branch, and stops.
            () = stop.cancelled() => Ok(ExitCode::from(130)),
        }
    })
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let work = args.work.clone().unwrap_or_else(|| e2e::root().join("work/demo"));
    let work = fresh(&work)?;
    let done = async {
        let (stage, told) = story::tell(&work, args.seconds).await?;
        let report = checks::check(&stage, &told).await?;
        anyhow::Ok((stage, told, report))
    };
    let done = done.await;
    if let Some(file) = &args.report {
        let text = match &done {
            Ok((.., report)) => serde_json::to_vec_pretty(report),
            Err(error) => serde_json::to_vec_pretty(&json!({ "passed": false, "error": format!("{error:#}") })),
        };
        fs::write(file, text?).with_context(|| format!("write {file:?}"))?;
    }
    let (stage, told, report) = done?;
    print!("{report}");
    println!("To open the recording yourself:\n  {}\n  {}\n", told.commands[0], told.commands[1]);
    println!("{}", report.verdict());
    if args.keep {
        println!("Still running; Ctrl-C ends it.\n  recordings  {}", stage.lectern.portal()?.entrance());
        std::future::pending::<()>().await;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The absolute path of an empty folder, made so only if an earlier demo left what is in it.
fn fresh(work: &Path) -> anyhow::Result<PathBuf> {
    let ours = work.join(MARK).exists();
    let empty = fs::read_dir(work).map_or(true, |mut entries| entries.next().is_none());
    ensure!(
        ours || empty,
        "{} holds something else than an earlier demo; give another folder with --work",
        work.display()
    );
    if ours {
        fs::remove_dir_all(work).with_context(|| format!("empty {}", work.display()))?;
    }
    fs::create_dir_all(work).with_context(|| format!("make {}", work.display()))?;
    fs::write(work.join(MARK), "")?;
    // `opened` gets the film and its key in the clear; `samples/demo` points HOME and TMPDIR to the other two.
    for name in ["opened", "home", "tmp"] {
        DirBuilder::new().mode(0o700).create(work.join(name))?;
    }
    Ok(work.canonicalize()?)
}
