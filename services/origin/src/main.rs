//! `origin --config FILE`: live webinars over HTTP.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("origin", "Serves live webinars.", origin::run)
}
