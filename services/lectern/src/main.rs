//! `lectern`: the command line of Lectern, and every service behind `lectern up`.
//!
//! Parses and dispatches; each command stands in its own module.

mod args;
mod check;
mod init;
mod open;
mod out;
mod record;
mod recordings;
mod service;
mod store;
mod up;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use args::{Args, Command};
use chassis::service::ended;
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    ended("lectern", dispatch(Args::parse()))
}

fn dispatch(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "lectern", &mut script);
            out::raw(&script);
            Ok(ExitCode::SUCCESS)
        }
        Command::Init { folder } => init::init(&folder, args.json),
        Command::Keys { command: args::Keys::New { folder } } => init::keys(&folder, args.json),
        Command::Media => recorder::media_child(),
        command => {
            let filter = args.log.filter(&command);
            chassis::telemetry::start(args.log.format(), &filter);
            chassis::secrecy::keep();
            // Services choose their own blocking work; few threads do for the rest.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let log = up::Logging { filter: filter.to_string(), json: args.log.log_json };
            runtime.block_on(with_runtime(command, &args.config, args.json, log))
        }
    }
}

async fn with_runtime(command: Command, config: &std::path::Path, json: bool, log: up::Logging) -> Result<ExitCode> {
    let sections = || chassis::Sections::read(config);
    match command {
        Command::Up => {
            up::up(&sections()?, config, log, chassis::shutdown::token()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Service { name, supervised } => {
            service::run(name, supervised, &sections()?, chassis::shutdown::token()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::CheckConfig => check::check(&sections()?, json).await,
        Command::Store { command } => store::run(command, &sections()?, json).await,
        Command::Recordings { command } => recordings::run(command, &sections()?, json).await,
        Command::Record { command } => record::run(command, &sections()?, json).await,
        Command::Completions { .. } | Command::Init { .. } | Command::Keys { .. } | Command::Media => {
            unreachable!("dispatched before the runtime starts")
        }
    }
}
