//! `finalizer --config lectern.toml`

use std::path::PathBuf;

use chassis::{Sections, shutdown, telemetry};
use clap::Parser;

/// Makes one sealed file of what recorders stored, and announces it.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration.
    #[arg(long, default_value = "lectern.toml")]
    config: PathBuf,
    /// What to log, in tracing's syntax.
    #[arg(long, default_value = "info")]
    log: String,
    /// Log JSON lines.
    #[arg(long)]
    log_json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let format = if options.log_json { telemetry::Format::Json } else { telemetry::Format::Text };
    telemetry::start(format, &options.log);
    let sections = Sections::read(&options.config)?;
    finalizer::run(&sections, shutdown::token()?).await
}
