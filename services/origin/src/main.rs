//! `origin --config FILE`: live webinars over HTTP.

use std::path::PathBuf;

use clap::Parser;

/// Serves live webinars.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The configuration; section [origin] is read.
    #[arg(long, default_value = "lectern.toml")]
    config: PathBuf,
    /// What to log, such as `info,origin=debug`.
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
    origin::run(&sections, chassis::shutdown::token()?).await
}
