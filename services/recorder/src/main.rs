//! `recorder`: the service by itself. Parses and dispatches.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use chassis::service::{Options, ended};
use clap::{Parser, Subcommand};

/// Records meetings: takes requests from the queue, puts sealed segments into the store.
#[derive(Debug, Parser)]
#[command(name = "recorder", version)]
struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take requests and record until SIGTERM.
    Run,
    /// The media process; started by `run`.
    #[command(hide = true)]
    Media,
    /// Run a session's log again and print its transitions: `age -d inputs.jsonl.age > log; recorder replay log`.
    Replay { file: PathBuf },
}

fn main() -> ExitCode {
    ended("recorder", dispatch(Args::parse()))
}

fn dispatch(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Run => args.options.run(recorder::run).map(|()| ExitCode::SUCCESS),
        Command::Media => recorder::media_child(),
        Command::Replay { file } => {
            let log = std::fs::File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
            recorder::replay(BufReader::new(log), std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
