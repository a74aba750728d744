//! The media process: joins the room and runs the compositor, as it is told on standard input; tells what happens on
//! standard output. It holds the room's join token and nothing else; it writes no file and decides nothing.
//!
//! # Design
//! What decodes strangers' media is the likeliest part to crash or to be taken over, so it is a process of its own that
//! has nothing worth taking: no key, no store, no broker, no variable of ours (DESIGN 2). It cannot be looked into nor
//! leave a core file, and it cannot gain rights. It ends when its standard input ends, so it never outlives its worker.

mod stage;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use graph::Timebase;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::dup2_stdout;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::wire::{self, Command, WireError};
use stage::Stage;

/// Runs this process as a media process, until its standard input ends.
///
/// # Errors
/// When the process cannot be confined, or GStreamer does not start.
pub fn media_child() -> anyhow::Result<ExitCode> {
    confine().context("cannot confine the media process")?;
    let to = claim_stdout().context("cannot keep standard output for frames")?;
    chassis::telemetry::start(chassis::telemetry::Format::Text, &chassis::telemetry::Filter::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(async {
        let from = std::io::stdin().as_fd().try_clone_to_owned()?;
        let (from, to) = (pipe::Receiver::from_owned_fd(from)?, pipe::Sender::from_owned_fd(to)?);
        serve(from, to).await
    });
    // GStreamer's threads may hang in a driver or a socket; the process ends all the same.
    runtime.shutdown_timeout(Duration::from_millis(200));
    served.map(|()| ExitCode::SUCCESS)
}

/// No core file, no debugger, no new rights: what is in here came from a room and goes nowhere but up the pipe.
fn confine() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    prctl::set_no_new_privs()
}

/// Standard output carries frames; whatever a library prints goes to standard error instead.
fn claim_stdout() -> std::io::Result<OwnedFd> {
    let ours = std::io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdout(std::io::stderr())?;
    Ok(ours)
}

async fn serve(from: impl AsyncRead + Unpin + Send + 'static, to: impl AsyncWrite + Unpin) -> anyhow::Result<()> {
    let (tell, mut commands) = mpsc::channel(64);
    let _reader = AbortOnDropHandle::new(tokio::spawn(listen(from, tell)));
    let mut stage = Stage::new(Timebase::start()?);
    let mut to = BufWriter::new(to);
    loop {
        let reports = tokio::select! {
            command = commands.recv() => match command {
                Some(command) => stage.obey(command),
                None => break,
            },
            reports = stage.happens() => reports,
        };
        for report in reports {
            match wire::write(&mut to, &report).await {
                Ok(()) => {}
                // A text too long for a frame, such as a name that no connector would let through.
                Err(error @ WireError::TooLong { .. }) => warn!(%error, "not told"),
                Err(error) => {
                    warn!(%error, "nobody listens");
                    stage.end().await;
                    return Ok(());
                }
            }
        }
    }
    stage.end().await;
    Ok(())
}

/// Ends, and with it this process, when the worker has nothing more to say or is not understood.
async fn listen(mut from: impl AsyncRead + Unpin, tell: mpsc::Sender<Command>) {
    loop {
        match wire::read(&mut from).await {
            Ok(Some(command)) => {
                if tell.send(command).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return warn!(%error, "the worker is not understood"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_process_cannot_be_looked_into() {
        confine().unwrap();
        assert_eq!((prctl::get_dumpable(), prctl::get_no_new_privs()), (Ok(false), Ok(true)));
    }
}
