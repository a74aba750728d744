//! What a command says on standard output. Whoever reads it may stop, as `head` does: the command then ends at once and
//! without a word, as programs do that a closed pipe ends.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// What a shell shows of a program that SIGPIPE has ended. Not success: nobody has read the answer to its end.
const NOBODY_READS: i32 = 128 + 13;

/// As `println!`, which would panic when nobody reads.
macro_rules! say {
    ($($what:tt)*) => { $crate::out::line(format_args!($($what)*)) };
}
pub(crate) use say;

/// Writes one line. It does not come back when that cannot be done: no command has anything to do after its answer.
pub(crate) fn line(what: Arguments<'_>) {
    written(writeln!(std::io::stdout().lock(), "{what}"));
}

/// Writes `bytes` as they are.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()));
}

fn written(outcome: std::io::Result<()>) {
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(NOBODY_READS),
        Err(error) => {
            let failed = anyhow::Error::new(error).context("cannot write the answer; see where standard output goes");
            chassis::service::ended("lectern", Err::<ExitCode, _>(failed));
            std::process::exit(1)
        }
    }
}
