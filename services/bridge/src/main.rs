//! `bridge --config FILE`: room events out of meeting servers' news.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main(
        "bridge",
        "Tells what happens in rooms, and asks for recordings where the policy says so.",
        bridge::run,
    )
}
