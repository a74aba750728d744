//! A publisher of test signal over GStreamer's `janusvrwebrtcsink`: an RTP stack that shares nothing with ours.
//! The body of the program `participant`; runs in a process of its own so that a stop is clean and its cost is its own.

mod pipeline;
mod sources;

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use gstreamer as gst;
use gstreamer::prelude::*;

use self::pipeline::build;
use self::sources::{Shared, Time, camera, microphone};
use super::signal::{RATE, Rgb};

/// How a participant publishes.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Janus over WebSocket.
    #[arg(long)]
    pub janus: String,
    #[arg(long)]
    pub room: u64,
    /// Display name.
    #[arg(long)]
    pub name: String,
    /// Six hexadecimal digits.
    #[arg(long)]
    pub colour: Rgb,
    /// Beeps, in Hz; without it there is no microphone.
    #[arg(long)]
    pub beep: Option<u32>,
    #[arg(long, default_value = "vp8", value_parser = ["vp8", "h264"])]
    pub codec: String,
    #[arg(long, default_value_t = 320)]
    pub width: u32,
    #[arg(long, default_value_t = 180)]
    pub height: u32,
    #[arg(long, default_value_t = 15)]
    pub fps: u32,
    /// Slides under this title instead of a camera.
    #[arg(long)]
    pub slides: Option<String>,
}

/// What may be asked over standard input, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Command {
    /// `camera on`, `camera off`: off sends no frames at all.
    Camera(bool),
    /// `mic on`, `mic off`: off sends silence, as browsers do.
    Mic(bool),
    /// `speak FILE`: answered by `spoken FILE`.
    Speak(PathBuf),
    Leave,
}

/// Joins, publishes, and obeys standard input until told to leave or thrown out. Says `live`, `spoken FILE` and
/// `gone WHY` on standard output.
///
/// # Errors
/// When GStreamer lacks an element, Janus refuses, or the room ends.
pub fn run(options: &Options) -> anyhow::Result<()> {
    gst::init()?;
    gstrswebrtc::plugin_register_static()?;
    let (pipeline, video, audio) = build(options)?;
    let shared = Shared::default();
    let commands = listen();
    pipeline.set_state(gst::State::Playing)?;
    let time = Time::of(&pipeline)?;
    let outcome = std::thread::scope(|scope| {
        let (options, shared, time) = (&options, &shared, &time);
        scope.spawn(move || camera(options, shared, time, &video));
        if let Some((source, pitch)) = audio {
            scope.spawn(move || microphone(pitch, shared, time, &source));
        }
        let outcome = obey(&pipeline, shared, &commands);
        shared.end.store(true, Ordering::Relaxed);
        outcome
    });
    pipeline.set_state(gst::State::Null)?;
    outcome
}

/// Reads standard input; its end is `leave`, so that a participant never outlives its harness.
fn listen() -> mpsc::Receiver<Command> {
    let (commands, taken) = mpsc::channel();
    // Ends with standard input or the process; nobody waits for it.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let command = match line.split_once(' ') {
                Some(("camera", to)) => Command::Camera(to == "on"),
                Some(("mic", to)) => Command::Mic(to == "on"),
                Some(("speak", path)) => Command::Speak(path.into()),
                _ => Command::Leave,
            };
            if commands.send(command).is_err() {
                return;
            }
        }
        let _ = commands.send(Command::Leave);
    });
    taken
}

fn obey(pipeline: &gst::Pipeline, shared: &Shared, commands: &mpsc::Receiver<Command>) -> anyhow::Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    loop {
        match commands.recv_timeout(Duration::from_millis(20)) {
            Ok(Command::Camera(on)) => shared.camera_off.store(!on, Ordering::Relaxed),
            Ok(Command::Mic(on)) => shared.mic_off.store(!on, Ordering::Relaxed),
            Ok(Command::Speak(path)) => {
                let words = wav(&path)?;
                shared.say(path, words);
            }
            Ok(Command::Leave) | Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
            && let gst::MessageView::Error(error) = message.view()
        {
            println!("gone {}", error.error());
            bail!("{}: {:?}", error.error(), error.debug());
        }
    }
}

/// Speech must lie ready at our own rate: nothing here resamples.
fn wav(path: &Path) -> anyhow::Result<VecDeque<i16>> {
    let mut reader = hound::WavReader::open(path).with_context(|| format!("open {path:?}"))?;
    let spec = reader.spec();
    if (spec.channels, spec.sample_rate, spec.bits_per_sample) != (1, RATE, 16) {
        bail!("{path:?} must be mono, {RATE} Hz, 16 bit; samples/media/speech makes such files");
    }
    Ok(reader.samples::<i16>().collect::<Result<_, _>>()?)
}
