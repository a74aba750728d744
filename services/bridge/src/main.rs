//! `bridge --config FILE`: room events out of meeting servers' news.

use std::path::PathBuf;

use clap::Parser;

/// Tells what happens in rooms, and asks for recordings where the policy says so.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The configuration; sections [bridge], [meeting], [broker] and [tenant] are read.
    #[arg(long, default_value = "lectern.toml")]
    config: PathBuf,
    /// What to log, such as `info,bridge=debug`.
    #[arg(long, default_value = "info")]
    log: String,
    /// Log JSON lines.
    #[arg(long)]
    log_json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let format = if args.log_json { chassis::telemetry::Format::Json } else { chassis::telemetry::Format::Text };
    chassis::telemetry::start(format, &args.log);
    let sections = chassis::Sections::read(&args.config)?;
    bridge::run(&sections, chassis::shutdown::token()?).await
}
