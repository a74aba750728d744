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
//! What strangers may send, what comes of it, and the test that shows it. Whatever kills this process all the same costs
//! the gap of a restart; a track that kills it three times is no longer recorded (`blame`).
//!
//! | sent | comes of it | test |
//! |---|---|---|
//! | an offer of 5 MB or of 10,000 media | refused from 256 KiB, from 65 media | `meeting`: `what_cannot_be_trusted_or_is_too_big_is_refused` |
//! | codecs that we do not know | left alone, not received | `a_medium_without_our_codecs_is_left_alone` |
//! | RTP of another version, padding beyond the packet | the packet is dropped and counted, and none else | `packets_that_are_against_the_rules_are_dropped_and_counted_and_the_rest_goes_on` |
//! | an extension beyond the packet | dropped and counted before it is decrypted | the same, `each_length_within_a_packet_is_held_against_its_own` |
//! | a jump of RTP time by 2^31 | no hole; sound and picture stay together | `a_jump_of_rtp_time_leaves_no_hole_of_hours`, `a_jump_of_rtp_time_does_not_part_sound_from_picture` |
//! | another SSRC | the same track, from its key frame on | `a_new_ssrc_takes_over_the_track_from_a_key_frame_on` |
//! | sequence numbers that begin anew | nothing | `numbers_that_begin_anew_lose_nothing` |
//! | a sender's report of another century | nothing | `a_report_from_another_century_does_not_part_sound_from_picture` |
//! | a track of nothing, or of one packet | nothing is shown or heard of it | `compositor`: `tracks_of_nothing_and_of_one_packet_are_no_trouble` |
//! | pictures before any key frame | asked for at 1, 2, 4 … 16 s; dropped | `askings_grow_to_sixteen_seconds`, `a_late_route_gets_its_key_frame_by_rtcp` |
//! | pictures above 4096×2304 | dropped before decoding; sound goes on | `a_giant_picture_is_refused_before_it_is_decoded`, `a_giant_vp8_picture_is_dropped_and_its_sender_is_heard`, `a_vp8_key_frame_tells_its_size` |
//! | another size in each picture | above ten a second the last one stands | `a_picture_that_changes_its_size_all_the_time_stands_still_until_it_has_settled` |
//! | another codec in mid call | another track in the same place | `another_codec_is_another_track_…`, `a_track_may_change_its_codec_in_mid_call` |
//! | broken H.264, MVC and SVC | its own tile | `spoilt_h264_costs_its_own_tile_and_nothing_else`, `a_broken_stream_ends_its_own_branch_and_nothing_else` |
//! | Opus of 120 ms; pauses | their own length; silence | `opus_packets_tell_their_length`, `a_pause_in_a_voice_is_silence_and_what_follows_is_in_time` |
//! | Opus that turns from one channel to two | always decoded to two | `a_voice_may_turn_from_one_channel_to_two` |
//! | samples that are no numbers | cannot come: Opus is decoded to whole numbers | – |
//! | nothing at all | the recording ends empty after `lobby_seconds` | `session`: table, "lobby" |

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
