//! `portal --config FILE`: pages for recordings.

use std::path::PathBuf;

use clap::Parser;

/// Shows recordings to those who have the token.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The configuration; sections [portal], [tenant], [store] and [seal] are read.
    #[arg(long, default_value = "lectern.toml")]
    config: PathBuf,
    /// What to log, such as `info,portal=debug`.
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
    portal::run(&sections, chassis::shutdown::token()?).await
}
