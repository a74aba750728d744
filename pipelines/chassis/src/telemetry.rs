//! Logging to standard error. Facts are fields; names of people and secrets are never among them.
//!
//! # Design
//! A filter that is misspelt is refused, and none but `error` and `off` silences warnings: `tracing`'s own syntax
//! takes `inof` for a target, and a service that logs nothing for a typing mistake is found out when it is too late.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines for people, or JSON for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// What is logged: a level for everything, and other levels for parts of the program, such as `info,recorder=debug`.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    targets: Targets,
}

/// What was written is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a level nor TARGET=LEVEL; levels are error, warn, info, debug, trace and off, \
     so write for example info,recorder=debug"
)]
pub struct FilterError(String);

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut targets = all(LevelFilter::WARN);
        for part in text.split(',').map(str::trim) {
            let wrong = || FilterError(part.to_owned());
            targets = match part.split_once('=') {
                None => targets.with_default(level(part).ok_or_else(wrong)?),
                Some((target, word)) if is_target(target) => {
                    targets.with_target(target, level(word).ok_or_else(wrong)?)
                }
                Some(_) => return Err(wrong()),
            };
        }
        Ok(Self { text: text.to_owned(), targets })
    }
}

impl Filter {
    /// `warn`: for commands, whose results people read.
    #[must_use]
    pub fn warnings() -> Self {
        Self { text: "warn".to_owned(), targets: all(LevelFilter::WARN) }
    }
}

/// `info`: for services.
impl Default for Filter {
    fn default() -> Self {
        Self { text: "info".to_owned(), targets: all(LevelFilter::INFO) }
    }
}

/// Everything from `level`, but symphonia from its errors: it warns of every part of a film that it need not read.
fn all(level: LevelFilter) -> Targets {
    Targets::new().with_default(level).with_target("symphonia", LevelFilter::ERROR)
}

/// As it was written, so that it can be given on to other programs.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `LevelFilter` itself reads numbers too, and no word at all as `error`.
fn level(word: &str) -> Option<LevelFilter> {
    let worded = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic());
    word.parse().ok().filter(|_| worded)
}

/// A module's path, such as `recorder::keep`.
fn is_target(text: &str) -> bool {
    text.split("::")
        .all(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))
}

/// Starts logging.
pub fn start(format: Format, filter: &Filter) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let chosen = tracing_subscriber::registry().with(filter.targets.clone());
    // A second call (tests) finds logging already running, which is as good.
    let _ = match format {
        Format::Text => chosen.with(lines.with_ansi(false)).try_init(),
        Format::Json => chosen.with(lines.json()).try_init(),
    };
    // One TLS provider for every client in the process; a second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use tracing::{Level, enabled, subscriber};

    use super::*;

    /// What is logged of ours at `Level::INFO` and `Level::WARN`, and of symphonia's warnings.
    fn logs(filter: &str) -> [bool; 3] {
        let filter: Filter = filter.parse().unwrap();
        subscriber::with_default(tracing_subscriber::registry().with(filter.targets), || {
            [
                enabled!(target: "transcriber::sound", Level::INFO),
                enabled!(target: "transcriber::sound", Level::WARN),
                enabled!(target: "symphonia_format_isomp4::atoms::stbl", Level::WARN),
            ]
        })
    }

    #[test]
    fn a_filter_logs_what_it_says_and_no_needless_warnings_about_films() {
        #[rustfmt::skip]
        let table = [
            //filter                      our info, warnings, symphonia's warnings
            ("info",                      [true,  true,  false]),
            ("INFO",                      [true,  true,  false]),
            ("warn, recorder=debug",      [false, true,  false]),
            ("error",                     [false, false, false]),
            ("off",                       [false, false, false]),
            ("info,transcriber=off",      [false, false, false]),
            ("transcriber::sound=info",   [true,  true,  false]),
            ("info,symphonia=debug",      [true,  true,  true]),
            ("symphonia=debug,info",      [true,  true,  true]),
        ];
        for (filter, logged) in table {
            assert_eq!(logs(filter), logged, "{filter:?}");
        }
    }

    #[test]
    fn the_ready_made_filters_are_what_they_say() {
        for filter in [Filter::default(), Filter::warnings()] {
            assert_eq!(filter.to_string().parse::<Filter>().unwrap().targets, filter.targets);
        }
    }

    #[test]
    fn a_misspelt_filter_never_silences_a_run() {
        let refused = [
            ("not a filter=", "not a filter="),
            ("not a filter", "not a filter"),
            ("", ""),
            ("inof", "inof"),
            ("info,", ""),
            ("info,recorder", "recorder"),
            ("info,recorder=debgu", "recorder=debgu"),
            ("recorder=", "recorder="),
            ("=debug", "=debug"),
            ("info;recorder=debug", "info;recorder=debug"),
            ("recorder:keep=debug", "recorder:keep=debug"),
            ("recorder=debug=info", "recorder=debug=info"),
            ("3", "3"),
        ];
        for (filter, part) in refused {
            assert_eq!(filter.parse::<Filter>().unwrap_err(), FilterError(part.to_owned()), "{filter:?}");
        }
        let told = "inof".parse::<Filter>().unwrap_err().to_string();
        assert!(told.contains("\"inof\"") && told.ends_with("info,recorder=debug"), "{told}");
        // A target that nobody has cannot be known for a mistake; warnings of all others are logged beside it.
        assert_eq!(logs("recroder=debug"), [false, true, false]);
    }
}
