//! A publisher of test signal over GStreamer's `janusvrwebrtcsink`: an RTP stack that shares nothing with ours.
//! The body of the program `participant`; runs in a process of its own so that a stop is clean and its cost is its own.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::signal::{self, Picture, RATE, Rgb, WHITE};

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

/// What the source threads share with the loop.
#[derive(Debug)]
struct Shared {
    camera: AtomicBool,
    mic: AtomicBool,
    end: AtomicBool,
    speech: Mutex<VecDeque<(PathBuf, VecDeque<i16>)>>,
}

/// The pipeline's time and the wall's.
#[derive(Debug, Clone)]
struct Time {
    clock: gst::Clock,
    base: gst::ClockTime,
    /// Wall time at running time zero, since the epoch.
    zero: Duration,
}

impl Time {
    fn of(pipeline: &gst::Pipeline) -> anyhow::Result<Self> {
        let clock = pipeline.clock().context("a playing pipeline has a clock")?;
        let base = pipeline.base_time().context("a playing pipeline has a base time")?;
        let running = clock.time() - base;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH)?;
        Ok(Self { clock, base, zero: wall - Duration::from(running) })
    }

    fn now(&self) -> Duration {
        (self.clock.time() - self.base).into()
    }

    /// Sleeps until running time `at`.
    fn until(&self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.now()));
    }
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
    let shared = Arc::new(Shared {
        camera: AtomicBool::new(true),
        mic: AtomicBool::new(true),
        end: AtomicBool::new(false),
        speech: Mutex::default(),
    });
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

type Audio = Option<(gst_app::AppSrc, u32)>;

fn build(options: &Options) -> anyhow::Result<(gst::Pipeline, gst_app::AppSrc, Audio)> {
    let pipeline = gst::Pipeline::new();
    let sink = gst::ElementFactory::make("janusvrwebrtcsink")
        // Its default asks a server on the internet.
        .property("stun-server", None::<&str>)
        .property_from_str("congestion-control", "disabled")
        .property("start-bitrate", 500_000_u32)
        .property("do-fec", false)
        .property("video-caps", gst::Caps::builder(format!("video/x-{}", options.codec)).build())
        .build()?;
    let signaller: glib::Object = sink.property("signaller");
    signaller.set_property("janus-endpoint", &options.janus);
    signaller.set_property("room-id", options.room);
    signaller.set_property("display-name", &options.name);
    signaller.connect("state-updated", false, |values| {
        let state = values.get(1).and_then(|v| glib::EnumValue::from_value(v)).map(|(_, v)| v.nick().to_owned());
        if state.as_deref() == Some("webrtc-up") {
            println!("live");
        }
        None
    });
    pipeline.add(&sink)?;

    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", options.width.cast_signed())
        .field("height", options.height.cast_signed())
        .field("framerate", gst::Fraction::new(options.fps.cast_signed(), 1))
        .build();
    let video = source("video", &caps, Duration::from_secs(1) / options.fps);
    pipeline.add(&video)?;
    let last = titles(options, &pipeline, video.upcast_ref())?;
    link(&last, &sink, "video_%u")?;

    let audio = options.beep.map(|pitch| {
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", RATE.cast_signed())
            .field("channels", 1)
            .build();
        (source("audio", &caps, PERIOD), pitch)
    });
    if let Some((source, _)) = &audio {
        pipeline.add(source)?;
        link(source.upcast_ref(), &sink, "audio_%u")?;
    }
    Ok((pipeline, video, audio))
}

fn source(name: &str, caps: &gst::Caps, period: Duration) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder().name(name).caps(caps).format(gst::Format::Time).is_live(true).build();
    let period = i64::try_from(period.as_nanos()).unwrap_or(0);
    source.set_latency(gst::ClockTime::from_nseconds(period.unsigned_abs()), gst::ClockTime::NONE);
    source
}

/// Slides carry their title and a clock that people can read; cameras nothing.
fn titles(options: &Options, pipeline: &gst::Pipeline, from: &gst::Element) -> anyhow::Result<gst::Element> {
    let Some(title) = &options.slides else { return Ok(from.clone()) };
    let title = gst::ElementFactory::make("textoverlay")
        .property("text", title)
        .property("font-desc", "Sans Bold 24")
        .property_from_str("valignment", "top")
        .property("ypad", (options.height / 10).cast_signed())
        .build()?;
    let clock = gst::ElementFactory::make("clockoverlay")
        .property("time-format", "%H:%M:%S")
        .property("font-desc", "Mono Bold 36")
        .property_from_str("halignment", "center")
        .property_from_str("valignment", "center")
        .build()?;
    pipeline.add_many([&title, &clock])?;
    gst::Element::link_many([from, &title, &clock])?;
    Ok(clock)
}

fn link(from: &gst::Element, sink: &gst::Element, template: &str) -> anyhow::Result<()> {
    let pad = sink.request_pad_simple(template).with_context(|| format!("a pad {template}"))?;
    from.static_pad("src").context("a source pad")?.link(&pad)?;
    Ok(())
}

/// Frames on the grid of wall time: one of them begins exactly with each second.
fn camera(options: &Options, shared: &Shared, time: &Time, source: &gst_app::AppSrc) {
    let (width, height) = (options.width as usize, options.height as usize);
    let (dark, bright) = (Picture::of(options.colour, width, height), Picture::of(WHITE, width, height));
    let (second, fps) = (1_000_000_000_u128, u128::from(options.fps));
    // In exact numbers: a frame's length rounded to nanoseconds is off by seconds when counted from 1970.
    let mut count = ((time.zero + time.now()).as_nanos() * fps).div_ceil(second);
    while !shared.end.load(Ordering::Relaxed) {
        let wall = Duration::from_nanos(u64::try_from(count * second / fps).unwrap_or(u64::MAX));
        let at = wall.saturating_sub(time.zero);
        count += 1;
        time.until(at);
        if !shared.camera.load(Ordering::Relaxed) {
            continue;
        }
        let bytes = match &options.slides {
            Some(_) => Picture::slide(options.colour, wall, width, height).bytes,
            None if signal::on(wall) => bright.bytes.clone(),
            None => dark.bytes.clone(),
        };
        if push(source, bytes, at, Duration::from_secs(1) / options.fps).is_err() {
            return;
        }
    }
}

/// Opus' own frame length.
const PERIOD: Duration = Duration::from_millis(20);
/// Speech is brought down to leave room for the beeps of four people.
const SPEECH: f32 = 0.5;

/// Samples without a gap from now on, 20 ms at a time.
fn microphone(pitch: u32, shared: &Shared, time: &Time, source: &gst_app::AppSrc) {
    let mut at = time.now();
    while !shared.end.load(Ordering::Relaxed) {
        let mut samples = [0_i16; (RATE / 50) as usize];
        signal::beeps(&mut samples, time.zero + at, pitch);
        speak(&mut samples, shared);
        if !shared.mic.load(Ordering::Relaxed) {
            samples.fill(0);
        }
        time.until(at + PERIOD);
        if push(source, samples.iter().flat_map(|s| s.to_le_bytes()).collect(), at, PERIOD).is_err() {
            return;
        }
        at += PERIOD;
    }
}

/// Adds what is to be said, and tells when it has been.
fn speak(samples: &mut [i16], shared: &Shared) {
    let mut speech = shared.speech.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((path, words)) = speech.front_mut() else { return };
    for (sample, word) in samples.iter_mut().zip(words.drain(..words.len().min(RATE as usize / 50))) {
        *sample = sample.saturating_add((f32::from(word) * SPEECH) as i16);
    }
    if words.is_empty() {
        println!("spoken {}", path.display());
        speech.pop_front();
    }
}

fn push(source: &gst_app::AppSrc, bytes: Vec<u8>, at: Duration, lasts: Duration) -> Result<(), gst::FlowError> {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(at).ok());
        buffer.set_duration(gst::ClockTime::try_from(lasts).ok());
    }
    source.push_buffer(buffer).map(drop)
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
            Ok(Command::Camera(on)) => shared.camera.store(on, Ordering::Relaxed),
            Ok(Command::Mic(on)) => shared.mic.store(on, Ordering::Relaxed),
            Ok(Command::Speak(path)) => {
                let words = wav(&path)?;
                shared.speech.lock().unwrap_or_else(PoisonError::into_inner).push_back((path, words));
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
