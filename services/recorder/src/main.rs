//! `recorder`: the service by itself. Parses and dispatches.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use chassis::telemetry::Format;
use clap::{Parser, Subcommand};

/// Records meetings: takes requests from the queue, puts sealed segments into the store.
#[derive(Debug, Parser)]
#[command(name = "recorder", version)]
struct Args {
    /// The configuration file.
    #[arg(long, global = true, env = "LECTERN_CONFIG", default_value = "lectern.toml", value_name = "FILE")]
    config: PathBuf,
    /// What to log, such as `info` or `info,recorder=debug`.
    #[arg(long, global = true, env = "LECTERN_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    log_json: bool,
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
    match dispatch(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("recorder: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Media => recorder::media_child(),
        Command::Replay { file } => {
            let log = BufReader::new(std::fs::File::open(file)?);
            recorder::replay(log, std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run => {
            chassis::telemetry::start(if args.log_json { Format::Json } else { Format::Text }, &args.log);
            let sections = chassis::Sections::read(&args.config)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(async { recorder::run(&sections, chassis::shutdown::token()?).await })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
