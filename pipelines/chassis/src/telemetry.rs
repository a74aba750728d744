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
    let filter = quiet(filter);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call (tests) finds logging already running, which is as good.
    let _ = match format {
        Format::Text => lines.with_ansi(false).try_init(),
        Format::Json => lines.json().try_init(),
    };
    // One TLS provider for every client in the process; a second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// `filter`, and what libraries say too loudly turned down unless it names them: symphonia warns of every part of a film
/// that it need not read.
fn quiet(filter: &str) -> EnvFilter {
    const QUIET: &str = "symphonia=error";
    EnvFilter::try_new(format!("{QUIET},{filter}")).unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")))
}

#[cfg(test)]
mod tests {
    use tracing::{Level, enabled, subscriber};

    use super::*;

    /// Whether warnings of ours and of symphonia are logged.
    fn warns(filter: &str) -> (bool, bool) {
        let logging = tracing_subscriber::fmt().with_env_filter(quiet(filter)).finish();
        subscriber::with_default(logging, || {
            (
                enabled!(target: "transcriber::sound", Level::WARN),
                enabled!(target: "symphonia_format_isomp4::atoms::stbl", Level::WARN),
            )
        })
    }

    #[test]
    fn warnings_about_what_a_film_may_hold_are_kept_from_people() {
        //           filter                   ours   symphonia's
        let table = [
            ("info", (true, false)),
            ("warn,recorder=debug", (true, false)),
            ("error", (false, false)),
            ("", (false, false)),
            ("info,symphonia=debug", (true, true)),
        ];
        for (filter, logged) in table {
            assert_eq!(warns(filter), logged, "{filter:?}");
        }
    }
}
