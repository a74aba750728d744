//! `transcriber --config FILE`: transcripts of recordings that are ready.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("transcriber", "Writes down what was said in recordings that are ready.", transcriber::run)
}
