//! `portal --config FILE`: pages for recordings.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("portal", "Shows recordings to those who have the token.", portal::run)
}
