//! The media process: joins the room and runs the compositor, as it is told on standard input; tells what happens on
//! standard output. It holds the room's join token and nothing else; it writes no file and decides nothing.
//!
//! # Design
//! What decodes strangers' media is the likeliest part to crash or to be taken over, so it is a process of its own that
//! has nothing worth taking: no key, no store, no broker, no variable of ours (DESIGN 2). What it could still do to this
//! machine is refused by the kernel: see [`cage`]. It makes no GStreamer element but those of a closed list. It ends when
//! its standard input ends, so it never outlives its worker.
//!
//! The first command is read before the cage is closed, for it says which port the meeting's server has. A process that
//! is first told something else than to join has no room, and may connect to nothing.
//!
//! # Bad input
//! What strangers may send, what comes of it, and the tests that show it: `tests/tests/bad_input_rows.rs`, rows 24 to 35.
//! Whatever kills this process all the same costs the gap of a restart; a track that kills it three times is no longer
//! recorded (`blame`).

pub mod cage;
mod stage;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use graph::Timebase;
use nix::unistd::dup2_stdout;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::wire::{self, Command, WireError};
use stage::Stage;

/// Runs this process as a media process, until its standard input ends.
///
/// # Errors
/// When the process cannot be confined, or GStreamer does not start.
pub fn media_child() -> anyhow::Result<ExitCode> {
    cage::close_the_door().context("cannot confine the media process")?;
    let to = claim_stdout().context("cannot keep standard output for frames")?;
    chassis::telemetry::start(chassis::telemetry::Format::Text, &chassis::telemetry::Filter::default());
    let elements = compositor::keep_only_needed()?;
    let from = std::io::stdin().as_fd().try_clone_to_owned()?;
    let (first, from) = first_command(from).context("cannot read the first command")?;
    let Some(first) = first else { return Ok(ExitCode::SUCCESS) };
    let ports = match &first {
        Command::Join { spec, .. } => spec.server.ports(),
        _ => Vec::new(),
    };
    let held = cage::close(&ports).context("cannot confine the media process")?;
    if held.whole() {
        info!(elements, "caged");
    } else {
        warn!(?held, "this kernel cages the media process in part; take Linux 6.12 or newer, with landlock in lsm=");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(async {
        let (from, to) = (pipe::Receiver::from_owned_fd(from)?, pipe::Sender::from_owned_fd(to)?);
        serve(first, from, to).await
    });
    // GStreamer's threads may hang in a driver or a socket; the process ends all the same.
    runtime.shutdown_timeout(Duration::from_millis(200));
    served.map(|()| ExitCode::SUCCESS)
}

/// Waits for it on this thread, the only one.
fn first_command(from: OwnedFd) -> anyhow::Result<(Option<Command>, OwnedFd)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut from = pipe::Receiver::from_owned_fd(from)?;
        let first = wire::read(&mut from).await?;
        Ok((first, from.into_nonblocking_fd()?))
    })
}

/// Standard output carries frames; whatever a library prints goes to standard error instead.
fn claim_stdout() -> std::io::Result<OwnedFd> {
    let ours = std::io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdout(std::io::stderr())?;
    Ok(ours)
}

async fn serve(
    first: Command,
    from: impl AsyncRead + Unpin + Send + 'static,
    to: impl AsyncWrite + Unpin,
) -> anyhow::Result<()> {
    let (tell, mut commands) = mpsc::channel(64);
    let _reader = AbortOnDropHandle::new(tokio::spawn(listen(from, tell)));
    let mut stage = Stage::new(Timebase::start()?);
    let mut to = BufWriter::new(to);
    let mut reports = stage.obey(first);
    loop {
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
        reports = tokio::select! {
            command = commands.recv() => match command {
                Some(command) => stage.obey(command),
                None => break,
            },
            reports = stage.happens() => reports,
        };
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
