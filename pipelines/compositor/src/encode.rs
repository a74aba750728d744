//! From the two mixers to CMAF parts: the part of the pipeline that never changes while it runs.
//!
//! Nothing here waits for a track: a black picture and silence flow from the first instant to the last, the mixers
//! put everything else on top of them, and every frame that leaves a mixer is one step after the one before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer::prelude::*;
use gstreamer::{Caps, Element, FlowError, FlowSuccess, Fraction, PadProbeReturn, PadProbeType};
use gstreamer_app::{AppSink, AppSinkCallbacks};
use media::{Canvas, PipelineSpec, RunningTime};

use crate::grid::{AAC_FRAME, Cuts, Grid, RATE};
use crate::package::Packager;
use crate::{Error, Event};

/// How long the mixers wait for a frame that is late: the meeting's jitter buffer (400 ms) and as much again for decoding.
const PATIENCE_NS: u64 = 800_000_000;
/// Added to every position that the muxer sees. It rounds positions down to its own units, and a third of a second in
/// nanoseconds is already rounded down: without this, one part in three would begin one unit too early.
const ABOVE_ROUNDING_NS: i64 = 1_000;
/// The muxer's deadline in a live pipeline. It is told where to cut, so it must never cut for want of time.
const NEVER_NS: u64 = 24 * 3600 * 1_000_000_000;
/// x264's constant rate factor: text on slides stays crisp, still pictures cost next to nothing.
const QUALITY: u32 = 23;
/// Threads of one encoder. More would only make parts later; other recordings use the other cores.
const ENCODER_THREADS: u32 = 2;
pub(crate) const PRESETS: &str = "ultrafast superfast veryfast faster fast medium slow";

/// Colours of everything between decoder and encoder. What meetings send is BT.601 (RFC 6386 9.2 for VP8); keeping
/// it saves a conversion of every pixel.
pub(crate) const COLOURS: (&str, &str) = ("bt601", "mpeg2");

/// The two mixers, where branches join, and when the recording ends.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) compositor: Element,
    pub(crate) mixer: Element,
    base: Arc<Base>,
}

/// How far the two base sources have come, and where both end. What leaves them is stamped a little ahead of the clock
/// or behind it, by how long each took to start, so the clock alone cannot tell where neither has been yet.
#[derive(Debug, Default)]
struct Base(Mutex<Reach>);

#[derive(Debug, Default)]
struct Reach {
    given: u64,
    end: Option<u64>,
}

impl Base {
    /// Whether a frame at `pts` still belongs to the recording.
    fn give(&self, pts: u64) -> bool {
        let mut reach = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let goes = reach.end.is_none_or(|end| pts < end);
        if goes {
            reach.given = reach.given.max(pts);
        }
        goes
    }

    fn end(&self, at: RunningTime) {
        let mut reach = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reach.end = Some(at.0.max(reach.given + 1));
    }
}

/// What the core tells while it runs. `produced` counts parts, for whoever watches over it.
pub(crate) struct Ears {
    pub(crate) first_frame: Box<dyn Fn() + Send + Sync>,
    pub(crate) broke: Box<dyn Fn(String) + Send + Sync>,
    pub(crate) events: tokio::sync::mpsc::UnboundedSender<Event>,
    pub(crate) produced: Arc<AtomicU64>,
}

impl Core {
    /// Builds both chains into `pipeline`; `zero` is the running time of position zero, in whole milliseconds.
    pub(crate) fn build(
        pipeline: &gstreamer::Pipeline,
        spec: &PipelineSpec,
        grid: Grid,
        zero: RunningTime,
        packagers: (Packager, Packager),
        ears: &Arc<Ears>,
    ) -> Result<Self, Error> {
        let base = Arc::new(Base::default());
        let compositor = Self::picture(pipeline, spec, grid, (zero, &base), packagers.0, ears)?;
        let mixer = Self::sound(pipeline, spec, grid, (zero, &base), packagers.1, ears)?;
        Ok(Self { compositor, mixer, base })
    }

    /// Sound and picture both go on to the frame before `at`, or where one of them is already, and end there.
    pub(crate) fn end(&self, at: RunningTime) {
        self.base.end(at);
    }

    fn picture(
        pipeline: &gstreamer::Pipeline,
        spec: &PipelineSpec,
        grid: Grid,
        (zero, base): (RunningTime, &Arc<Base>),
        packager: Packager,
        ears: &Arc<Ears>,
    ) -> Result<Element, Error> {
        let Canvas { width, height, fps } = spec.canvas;
        let slate = make("videotestsrc").name("slate").property_from_str("pattern", "black").property("is-live", true);
        let compositor = live(make("compositor").name("compositor")).property_from_str("background", "black");
        // One thread: blending opaque pictures is copying, and threads would cost more than they save.
        let compositor = compositor.property("max-threads", 1_u32);
        let encoder = make("x264enc")
            .property_from_str("speed-preset", &spec.preset)
            .property_from_str("pass", "qual")
            .property("quantizer", QUALITY)
            .property("bitrate", spec.video_kbps)
            .property("vbv-buf-capacity", u32::try_from(Grid::GOP.as_millis()).unwrap_or(u32::MAX))
            .property("key-int-max", grid.gop)
            .property("bframes", 0_u32)
            // Looking ahead makes parts a third of a second later, and still slides no better.
            .property("rc-lookahead", 0)
            .property("mb-tree", false)
            .property("threads", ENCODER_THREADS)
            .property("option-string", "scenecut=0:open-gop=0:force-cfr=1");
        let h264 = Caps::builder("video/x-h264").field("profile", "high").field("stream-format", "avc");
        let elements = [
            built(slate)?,
            filter(&picture_caps(16, 16, Some(fps)))?,
            built(compositor)?,
            filter(&picture_caps(width, height, Some(fps)))?,
            built(encoder)?,
            filter(&h264.field("alignment", "au").build())?,
            muxer(zero.0)?,
            sink("picture", packager, ears)?,
        ];
        chain(pipeline, &elements)?;
        stamp(&elements[0], zero.0, (1, fps), base);
        when_first(&elements[2], ears);
        cut(&elements[5], grid.video);
        let [_, _, compositor, ..] = elements;
        Ok(compositor)
    }

    fn sound(
        pipeline: &gstreamer::Pipeline,
        spec: &PipelineSpec,
        grid: Grid,
        (zero, base): (RunningTime, &Arc<Base>),
        packager: Packager,
        ears: &Arc<Ears>,
    ) -> Result<Element, Error> {
        // The encoder puts one frame of priming before what it is given. Capturing from one frame after zero and
        // calling it zero makes up for that: each sample is heard at its own time, without an edit list.
        let captured = zero.0 + u64::from(AAC_FRAME) * 1_000_000_000 / u64::from(RATE);
        let silence = make("audiotestsrc")
            .name("silence")
            .property_from_str("wave", "silence")
            .property("is-live", true)
            .property("samplesperbuffer", int(AAC_FRAME));
        let mixer = live(make("audiomixer").name("mixer"))
            .property("output-buffer-duration-fraction", Fraction::new(int(AAC_FRAME), int(RATE)))
            // A gap in a track is silence at once, not after a second of doubt.
            .property("discont-wait", 0_u64);
        let encoder = make("avenc_aac").property("bitrate", int(spec.audio_kbps.saturating_mul(1000)));
        let elements = [
            built(silence)?,
            filter(&sound_caps())?,
            built(mixer)?,
            filter(&sound_caps())?,
            built(make("audioconvert"))?,
            built(encoder)?,
            muxer(captured)?,
            sink("sound", packager, ears)?,
        ];
        chain(pipeline, &elements)?;
        // Above the exact instant, since the mixer rounds it down to a sample.
        stamp(&elements[0], captured + 1, (AAC_FRAME, RATE), base);
        when_first(&elements[2], ears);
        cut(&elements[5], grid.audio);
        let [_, _, mixer, ..] = elements;
        Ok(mixer)
    }
}

/// I420 in our colours. A branch has no frame rate of its own.
pub(crate) fn picture_caps(width: u32, height: u32, fps: Option<u32>) -> Caps {
    let caps = Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", int(width))
        .field("height", int(height))
        .field("pixel-aspect-ratio", Fraction::new(1, 1))
        .field("colorimetry", COLOURS.0)
        .field("chroma-site", COLOURS.1);
    match fps {
        Some(fps) => caps.field("framerate", Fraction::new(int(fps), 1)).build(),
        None => caps.build(),
    }
}

/// Whole numbers from the decoder to the encoder: there is no sample that is no number, and sums are cut off.
fn sound_caps() -> Caps {
    Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", int(RATE))
        .field("channels", 2)
        .build()
}

pub(crate) type Builder<'a> = gstreamer::element_factory::ElementBuilder<'a>;

pub(crate) fn make(factory: &str) -> Builder<'_> {
    gstreamer::ElementFactory::make(factory)
}

pub(crate) fn built(builder: Builder<'_>) -> Result<Element, Error> {
    builder.build().map_err(Error::Build)
}

pub(crate) fn filter(caps: &Caps) -> Result<Element, Error> {
    built(make("capsfilter").property("caps", caps))
}

/// Properties that the two mixers share: both begin with the first frame of their base, wait for late frames, but not
/// for tracks that never sent any.
fn live(mixer: Builder<'_>) -> Builder<'_> {
    mixer
        .property_from_str("start-time-selection", "first")
        .property("ignore-inactive-pads", true)
        .property("min-upstream-latency", PATIENCE_NS)
}

fn muxer(zero_ns: u64) -> Result<Element, Error> {
    built(
        make("cmafmux")
            .property("manual-split", true)
            .property("fragment-duration", gstreamer::ClockTime::from_nseconds(NEVER_NS))
            .property("decode-time-offset", ABOVE_ROUNDING_NS - long(zero_ns))
            .property_from_str("write-edts-mode", "never"),
    )
}

fn chain(pipeline: &gstreamer::Pipeline, elements: &[Element]) -> Result<(), Error> {
    pipeline.add_many(elements).map_err(Error::Build)?;
    Element::link_many(elements).map_err(Error::Build)
}

/// Gives the frames of a source the times `begin`, `begin` + `step`, ... whenever it starts, until `base` ends: the
/// mixers begin with the first of them and end with the last. A source of GStreamer's own would begin with the instant
/// of its first frame, and end wherever it has got to.
fn stamp(source: &Element, begin: u64, (step, per_second): (u32, u32), base: &Arc<Base>) {
    let Some(pad) = source.static_pad("src") else { return };
    let (count, base) = (AtomicU64::new(0), Arc::clone(base));
    pad.add_probe(PadProbeType::BUFFER, move |_, info| {
        let steps = count.fetch_add(1, Ordering::Relaxed) * u64::from(step);
        let pts = begin + (u128::from(steps) * 1_000_000_000 / u128::from(per_second)) as u64;
        if !base.give(pts) && steps > 0 {
            info.flow_res = Err(FlowError::Eos);
            return PadProbeReturn::Handled;
        }
        if let Some(buffer) = info.buffer_mut() {
            buffer.make_mut().set_pts(gstreamer::ClockTime::from_nseconds(pts));
        }
        PadProbeReturn::Ok
    });
}

/// Tells once that frames flow.
fn when_first(mixer: &Element, ears: &Arc<Ears>) {
    let ears = Arc::clone(ears);
    if let Some(pad) = mixer.static_pad("src") {
        pad.add_probe(PadProbeType::BUFFER, move |_, _| {
            (ears.first_frame)();
            PadProbeReturn::Remove
        });
    }
}

/// Tells the muxer where to cut, by counting the frames that `encoder` gives it.
fn cut(encoder: &Element, cuts: Cuts) {
    let Some(pad) = encoder.static_pad("src") else { return };
    let count = AtomicU64::new(0);
    pad.add_probe(PadProbeType::BUFFER, move |pad, _| {
        let frame = count.fetch_add(1, Ordering::Relaxed);
        let begins = |every: u32| frame > 0 && frame.is_multiple_of(u64::from(every));
        if begins(cuts.part) {
            let split = gstreamer::Structure::builder("FMP4MuxSplitNow").field("chunk", !begins(cuts.segment));
            pad.push_event(gstreamer::event::CustomDownstream::new(split.build()));
        }
        PadProbeReturn::Ok
    });
}

fn sink(name: &str, packager: Packager, ears: &Arc<Ears>) -> Result<Element, Error> {
    let packager = Arc::new(Mutex::new(packager));
    let (at_end, last_ears) = (Arc::clone(&packager), Arc::clone(ears));
    let ears = Arc::clone(ears);
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let bytes = gather(sink)?;
            let out = packager.lock().unwrap_or_else(PoisonError::into_inner).push(&bytes);
            match out {
                Ok(outputs) => {
                    for output in outputs {
                        tell(&ears, output);
                    }
                    Ok(FlowSuccess::Ok)
                }
                Err(error) => {
                    (ears.broke)(chained(&error));
                    Err(FlowError::Error)
                }
            }
        })
        .eos(move |_| {
            if let Some(output) = at_end.lock().unwrap_or_else(PoisonError::into_inner).end() {
                tell(&last_ears, output);
            }
        })
        .build();
    let sink = AppSink::builder().name(name).sync(false).async_(false).buffer_list(true).callbacks(callbacks);
    Ok(sink.build().upcast())
}

fn tell(ears: &Ears, output: media::Output) {
    if matches!(output, media::Output::Part(_)) {
        ears.produced.fetch_add(1, Ordering::Relaxed);
    }
    // Nobody listens any more: the owner is tearing us down.
    let _ = ears.events.send(Event::Output(output));
}

/// All bytes that the muxer pushed at once, in one piece.
fn gather(sink: &AppSink) -> Result<bytes::Bytes, FlowError> {
    let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
    let mut all = bytes::BytesMut::new();
    let mut add = |buffer: &gstreamer::BufferRef| -> Result<(), FlowError> {
        all.extend_from_slice(&buffer.map_readable().map_err(|_| FlowError::Error)?);
        Ok(())
    };
    match (sample.buffer_list(), sample.buffer()) {
        (Some(list), _) => list.iter().try_for_each(&mut add)?,
        (None, Some(buffer)) => add(buffer)?,
        (None, None) => {}
    }
    Ok(all.freeze())
}

fn chained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// GLib's properties are signed where ours cannot be negative; none comes near the end of its type.
pub(crate) fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn long(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_end_where_neither_has_been() {
        let base = Base::default();
        let (picture, sound) = (33, 21);
        // Sound started late and is 50 behind when the end is called.
        let (mut pictures, mut sounds) = (0, 0);
        while base.give(pictures) && pictures < 1000 {
            pictures += picture;
        }
        while base.give(sounds) && sounds < 950 {
            sounds += sound;
        }
        base.end(RunningTime(960));
        while base.give(pictures) {
            pictures += picture;
        }
        while base.give(sounds) {
            sounds += sound;
        }
        assert!(pictures.abs_diff(sounds) <= picture, "{pictures} and {sounds}");
        assert!(pictures > 1000);
    }
}
