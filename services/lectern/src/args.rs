//! What can be typed. Help texts live here; nothing is done here.

use std::path::PathBuf;

use chassis::telemetry::{Filter, Format};
use clap::{Parser, Subcommand};
use events::{PolicyId, RecordingId, RoomId};

use crate::up::Service;

/// The recorder that does not lose lectures.
#[derive(Debug, Parser)]
#[command(name = "lectern", version, propagate_version = true)]
pub(crate) struct Args {
    /// The configuration file; relative paths in it count from its folder.
    #[arg(long, global = true, env = "LECTERN_CONFIG", default_value = "lectern.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Print results as JSON, for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Log {
    /// What to log: a level, and other levels for parts of the program, such as `info,recorder=debug`. Services log from
    /// `info`, other commands from `warn`.
    #[arg(long, global = true, env = "LECTERN_LOG", value_name = "FILTER")]
    pub(crate) log: Option<Filter>,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
}

impl Log {
    pub(crate) fn filter(&self, command: &Command) -> Filter {
        let quiet = !matches!(command, Command::Up | Command::Service { .. });
        self.log.clone().unwrap_or_else(|| if quiet { Filter::warnings() } else { Filter::default() })
    }

    pub(crate) fn format(&self) -> Format {
        if self.log_json { Format::Json } else { Format::Text }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a configuration, keys and tokens for one machine into a new folder.
    Init { folder: PathBuf },
    /// Make the institution's keys.
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Find out what is missing or out of reach, and what to do about it.
    CheckConfig,
    /// Find out whether a store can be entrusted with recordings.
    Store {
        #[command(subcommand)]
        command: Store,
    },
    /// Run every service on this machine until Ctrl-C.
    Up,
    /// List, show, open and verify recordings.
    Recordings {
        #[command(subcommand)]
        command: Recordings,
    },
    /// Ask for a recording, or stop one.
    Record {
        #[command(subcommand)]
        command: Record,
    },
    /// Run one service until SIGTERM.
    Service {
        name: Service,
        /// End when the process that started this one ends.
        #[arg(long, hide = true)]
        supervised: bool,
    },
    /// Print a completion script, such as `lectern completions bash > /etc/bash_completion.d/lectern`.
    Completions { shell: clap_complete::Shell },
    /// The recorder's media process: joins, decodes and composes; holds no key.
    #[command(hide = true)]
    Media,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Write new keys into FOLDER, which must not hold any yet.
    New { folder: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Try what recordings need of the store, each with a verdict and what to do; fails when something is lacking.
    ///
    /// Puts small objects below probe/ in both buckets and removes them; takes some seconds. Recorders try the same
    /// when they start.
    Probe,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Recordings {
    /// All recordings, newest first.
    List,
    /// One recording with its objects.
    Show { recording: RecordingId },
    /// Check every object against the signed manifest; names each one that differs. Needs no secret key.
    Verify {
        /// One recording; without it, all of them.
        recording: Option<RecordingId>,
    },
    /// Decrypt a recording's film into a new file that only you can read. It appears when it is whole.
    Open {
        recording: RecordingId,
        /// An age identity of the institution; without it, the one in the configuration.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        /// Where to write it; never overwrites.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Record {
    /// Have the run of a room recorded by a rule of the policy with `on_request = true`.
    ///
    /// A room that is not open yet is recorded if it opens within 10 minutes. Asking twice makes no second recording,
    /// and what was stopped is not begun again before the room's next run. What the bridge refuses, it says in its log.
    Start {
        /// The room's id at its server.
        #[arg(long)]
        room: RoomId,
        /// The server, by its name under [bridge.janus]; needed where there are several.
        #[arg(long, value_name = "NAME")]
        instance: Option<String>,
        /// The rule to record by; without it, the first that fits.
        #[arg(long, value_name = "RULE")]
        policy: Option<PolicyId>,
    },
    /// End a recording that is running; what was recorded is kept.
    Stop { recording: RecordingId },
}
