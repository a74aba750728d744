//! `finalizer --config FILE`: one sealed film out of what recorders stored.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main(
        "finalizer",
        "Makes one sealed file of what recorders stored, and announces it.",
        finalizer::run,
    )
}
