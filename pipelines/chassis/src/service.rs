//! What the `main` of a service does: read the command line, start logging, keep its memory to itself, read the
//! configuration, run until the first signal, and say on standard error what went wrong. What a service then does is its own.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches};
use tokio_util::sync::CancellationToken;

use crate::Sections;
use crate::telemetry::{Filter, Format};

/// What every service can be told on its command line.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The configuration file; relative paths in it count from its folder.
    #[arg(long, global = true, env = "LECTERN_CONFIG", default_value = "lectern.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// What to log: a level, and other levels for parts of the program, such as `info,recorder=debug`.
    #[arg(long, global = true, env = "LECTERN_LOG", default_value_t, value_name = "FILTER")]
    pub log: Filter,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    pub log_json: bool,
}

impl Options {
    /// Runs `service` on a runtime of its own until it ends; the first signal asks it to.
    ///
    /// # Errors
    /// When the configuration cannot be read, and whatever the service ends with.
    pub fn run<F>(&self, service: F) -> anyhow::Result<()>
    where
        F: AsyncFnOnce(&Sections, CancellationToken) -> anyhow::Result<()>,
    {
        crate::telemetry::start(if self.log_json { Format::Json } else { Format::Text }, &self.log);
        crate::secrecy::keep();
        let sections = Sections::read(&self.config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async { service(&sections, crate::shutdown::token()?).await })
    }
}

/// The whole `main` of a service without commands; `about` stands in its help.
pub fn main<F>(name: &'static str, about: &'static str, service: F) -> ExitCode
where
    F: AsyncFnOnce(&Sections, CancellationToken) -> anyhow::Result<()>,
{
    let matches = command(name, about).get_matches();
    let options = Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    ended(name, options.run(service).map(|()| ExitCode::SUCCESS))
}

/// The exit code for how a program ended; an error is said with all its causes.
pub fn ended(name: &str, outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        // Where nobody reads, there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{name}: {error:#}");
        ExitCode::FAILURE
    })
}

fn command(name: &'static str, about: &'static str) -> Command {
    Options::augment_args(Command::new(name)).about(about).version(env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, clap::Error> {
        let matches = command("origin", "Serves live webinars.").try_get_matches_from(arguments)?;
        Options::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_line_is_whole() {
        command("origin", "Serves live webinars.").debug_assert();
        let options = read(&["origin", "--config", "/etc/lectern.toml", "--log", "warn,origin=debug"]).unwrap();
        assert_eq!(options.config, PathBuf::from("/etc/lectern.toml"));
        assert_eq!((options.log.to_string().as_str(), options.log_json), ("warn,origin=debug", false));
    }

    #[test]
    fn a_misspelt_filter_ends_the_program_with_its_setting_and_an_example() {
        let refused = read(&["origin", "--log", "not a filter="]).unwrap_err().to_string();
        assert!(refused.contains("--log") && refused.contains("info,recorder=debug"), "{refused}");
    }

    #[test]
    fn a_configuration_that_is_not_there_ends_the_program_before_it_serves() {
        let options = read(&["origin", "--config", "/nowhere/lectern.toml"]).unwrap();
        let ended = options.run(async |_, _| panic!("it served")).unwrap_err();
        assert!(ended.to_string().contains("/nowhere/lectern.toml"), "{ended}");
    }
}
