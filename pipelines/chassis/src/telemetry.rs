//! Logging to standard error. Facts are fields; names of people and secrets are never among them.

use tracing_subscriber::EnvFilter;

/// Lines for people, or JSON for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Starts logging; `filter` is `tracing`'s directive syntax, such as `info,recorder=debug`.
pub fn start(format: Format, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call (tests) finds logging already running, which is as good.
    let _ = match format {
        Format::Text => lines.with_ansi(false).try_init(),
        Format::Json => lines.json().try_init(),
    };
    // One TLS provider for every client in the process; a second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
