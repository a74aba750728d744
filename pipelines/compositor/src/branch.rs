//! What joins the mixers and leaves them again while they run: tracks, and cards that stand for people without picture.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gstreamer::prelude::*;
use gstreamer::{
    Bin, Caps, ClockTime, Element, EventType, EventView, Format, GhostPad, Object, Pad, PadProbeReturn, PadProbeType,
    QueryRef,
};
use gstreamer::{QueryViewMut, State};
use gstreamer_app::AppSrc;
use layout::Rect;
use media::Codec;

use crate::Error;
use crate::encode::{COLOURS, built, filter, make, picture_caps};
use crate::gate::too_large;
use crate::label::{self, Text};
use crate::pace::Pace;
use crate::sizes::Sizes;

/// What a decoder may be fed without making anything of it before its track is given up: five seconds of a camera,
/// three of a voice.
const MOST_FED_IN_VAIN: u32 = 150;
/// Below this, differing arrival times are taken for jitter and sound goes on without a seam.
const SOUND_JITTER_NS: i64 = 20_000_000;
/// How long a branch may take to stop before it is left behind.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Behind the name of someone without picture.
const CARD_COLOUR: u32 = 0xff20_2428;

/// Some elements of their own, linked to a mixer's pad.
#[derive(Debug)]
pub(crate) struct Branch {
    bin: Bin,
    mixer: Element,
    /// The mixer's pad, whose properties say where the picture goes.
    pub(crate) pad: Pad,
}

impl Branch {
    /// Puts `elements` in a row before a new pad of `mixer` and sets them going.
    fn join(pipeline: &gstreamer::Pipeline, mixer: &Element, elements: &[Element]) -> Result<Self, Error> {
        let bin = Bin::new();
        bin.add_many(elements).map_err(Error::Build)?;
        Element::link_many(elements).map_err(Error::Build)?;
        let last = elements.last().and_then(|element| element.static_pad("src")).ok_or(Error::Pad)?;
        let out = GhostPad::with_target(&last).map_err(Error::Build)?;
        answer_latency(&out);
        bin.add_pad(&out).map_err(Error::Build)?;
        pipeline.add(&bin).map_err(Error::Build)?;
        let Some(pad) = mixer.request_pad_simple("sink_%u") else {
            pipeline.remove(&bin).map_err(Error::Build)?;
            return Err(Error::Pad);
        };
        if pad.has_property("zorder") {
            // Unseen until it is placed, together with everything else of its scene.
            pad.set_property("alpha", 0.0_f64);
            pad.set_property("repeat-after-eos", true);
            pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
        }
        let branch = Self { bin, mixer: mixer.clone(), pad };
        let runs = out.link(&branch.pad).is_ok() && branch.bin.sync_state_with_parent().is_ok();
        if runs { Ok(branch) } else { branch.leave(pipeline).and(Err(Error::Pad)) }
    }

    /// Whether `node` is one of this branch's elements.
    pub(crate) fn owns(&self, node: &Object) -> bool {
        node.has_as_ancestor(&self.bin)
    }

    /// Takes the branch out of the running pipeline. Blocks a few milliseconds; never longer than its deadline.
    pub(crate) fn leave(self, pipeline: &gstreamer::Pipeline) -> Result<(), Error> {
        // The pad first: it lets go of a streaming thread that waits in the mixer, which the stop would wait for.
        self.mixer.release_request_pad(&self.pad);
        self.bin.set_locked_state(true);
        let stopped = graph::reach(self.bin.upcast_ref(), State::Null, STOP_WITHIN);
        // What hangs is taken out too, so that the pipeline itself can still stop.
        pipeline.remove(&self.bin).map_err(Error::Build)?;
        stopped.map_err(Error::State)
    }
}

/// A branch that decodes a picture and fits it into its tile.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) branch: Branch,
    size: Element,
    name: Element,
}

impl Picture {
    /// A branch for a codec and the way into it.
    pub(crate) fn join(
        pipeline: &gstreamer::Pipeline,
        compositor: &Element,
        (codec, pace): (Codec, &Arc<Pace>),
        place: Rect,
        label: &str,
    ) -> Result<(Self, AppSrc), Error> {
        let source = source(&picture_codec(codec));
        let mut elements = vec![source.clone().upcast()];
        elements.extend(decoder(codec, pace)?);
        let size = filter(&picture_caps(place.width, place.height, None))?;
        let name = built(make("textoverlay").property("shaded-background", true).property("auto-resize", false))?;
        for (property, value) in [("halignment", "left"), ("valignment", "bottom"), ("wrap-mode", "none")] {
            name.set_property_from_str(property, value);
        }
        elements.extend([built(make("videoconvertscale"))?, size.clone(), name.clone()]);
        let branch = Branch::join(pipeline, compositor, &elements)?;
        branch.pad.set_property("zorder", 2_u32);
        let picture = Self { branch, size, name };
        picture.fit(place, label);
        Ok((picture, source))
    }

    /// Scales to `place` and writes `label`, from the next frame of the track on.
    pub(crate) fn fit(&self, place: Rect, label: &str) {
        self.size.set_property("caps", picture_caps(place.width, place.height, None));
        write(&self.name, &label::caption(label, place));
    }
}

/// A still picture with a name, where nobody sends one. Drawn once; costs nothing after that.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) branch: Branch,
    size: (u32, u32),
    label: String,
}

impl Card {
    pub(crate) fn join(
        pipeline: &gstreamer::Pipeline,
        compositor: &Element,
        place: Rect,
        label: &str,
    ) -> Result<Self, Error> {
        let still = make("videotestsrc").property_from_str("pattern", "solid-color");
        let still = still.property("foreground-color", CARD_COLOUR).property("num-buffers", 1);
        let name = built(make("textoverlay").property("auto-resize", false))?;
        for (property, value) in [("halignment", "center"), ("valignment", "center"), ("wrap-mode", "none")] {
            name.set_property_from_str(property, value);
        }
        write(&name, &label::title(label, place));
        // Without a frame rate the one picture has no end, so it is never too late to be shown.
        let caps = picture_caps(place.width, place.height, Some(0));
        let branch = Branch::join(pipeline, compositor, &[built(still)?, filter(&caps)?, name])?;
        branch.pad.set_property("zorder", 1_u32);
        Ok(Self { branch, size: (place.width, place.height), label: label.to_owned() })
    }

    /// Whether it can be used again for this tile.
    pub(crate) fn suits(&self, place: Rect, label: &str) -> bool {
        self.size == (place.width, place.height) && self.label == label
    }
}

/// A branch that decodes sound, and the way into it.
pub(crate) fn sound(pipeline: &gstreamer::Pipeline, mixer: &Element) -> Result<(Branch, AppSrc), Error> {
    // Opus decodes to any number of channels (RFC 6716 2.1.2): stereo always, so that a change needs no word.
    let caps = Caps::builder("audio/x-opus").field("channel-mapping-family", 0).field("channels", 2);
    let source = source(&caps.field("rate", 48_000).build());
    let decoder =
        make("opusdec").property("plc", true).property("use-inband-fec", true).property("tolerance", SOUND_JITTER_NS);
    let decoder = built(decoder)?;
    watch(&decoder);
    let branch = Branch::join(pipeline, mixer, &[source.clone().upcast(), decoder])?;
    Ok((branch, source))
}

fn source(caps: &Caps) -> AppSrc {
    // No limit here: the gate in front of it knows what may be dropped.
    AppSrc::builder().caps(caps).format(Format::Time).is_live(true).max_bytes(0).build()
}

fn picture_codec(codec: Codec) -> Caps {
    match codec {
        Codec::H264 => {
            let caps = Caps::builder("video/x-h264").field("stream-format", "byte-stream");
            caps.field("alignment", "au").build()
        }
        Codec::Vp8 | Codec::Opus => {
            let caps = Caps::builder("video/x-vp8").field("colorimetry", COLOURS.0);
            caps.field("chroma-site", COLOURS.1).build()
        }
    }
}

fn decoder(codec: Codec, pace: &Arc<Pace>) -> Result<Vec<Element>, Error> {
    // One thread: frame threads would hold frames back.
    let elements = match codec {
        Codec::H264 => vec![built(make("h264parse"))?, built(make("avdec_h264").property("max-threads", 1))?],
        Codec::Vp8 | Codec::Opus => vec![built(make("vp8dec").property("threads", 1_u32))?],
    };
    if let [parser, _] = &elements[..] {
        refuse_large(parser);
    }
    if let Some(decoder) = elements.last() {
        watch(decoder);
        leave_out(decoder, Arc::clone(pace));
        hold_still(decoder);
    }
    Ok(elements)
}

/// Answers for the branch how late its frames may be: never mind. How long a mixer waits is the mixer's own setting;
/// a branch that is starting, ending or broken has no answer, and without one the mixer would wait for ever.
fn answer_latency(out: &GhostPad) {
    out.add_probe(PadProbeType::QUERY_UPSTREAM, |_, info| match info.query_mut().map(QueryRef::view_mut) {
        Some(QueryViewMut::Latency(query)) => {
            query.set(true, ClockTime::ZERO, ClockTime::NONE);
            PadProbeReturn::Handled
        }
        _ => PadProbeReturn::Ok,
    });
}

/// Ends the branch when `decoder` is fed and makes nothing of it: most decoders only shrug at garbage.
fn watch(decoder: &Element) {
    let (Some(inward), Some(outward)) = (decoder.static_pad("sink"), decoder.static_pad("src")) else { return };
    let fed = Arc::new(AtomicU32::new(0));
    let made = Arc::clone(&fed);
    outward.add_probe(PadProbeType::BUFFER, move |_, _| {
        made.store(0, Ordering::Relaxed);
        PadProbeReturn::Ok
    });
    let decoder = decoder.downgrade();
    inward.add_probe(PadProbeType::BUFFER, move |_, _| {
        if fed.fetch_add(1, Ordering::Relaxed) == MOST_FED_IN_VAIN
            && let Some(decoder) = decoder.upgrade()
        {
            gstreamer::element_error!(decoder, gstreamer::StreamError::Decode, ["nothing can be decoded"]);
        }
        PadProbeReturn::Ok
    });
}

/// Goes on decoding while output is late, so that no key frame is needed afterwards, but shows nothing new.
fn leave_out(decoder: &Element, pace: Arc<Pace>) {
    if let Some(pad) = decoder.static_pad("src") {
        let leave = move |late| if late { PadProbeReturn::Drop } else { PadProbeReturn::Ok };
        pad.add_probe(PadProbeType::BUFFER, move |_, _| leave(pace.late()));
    }
}

/// Shows nothing new of a stream that changes its size all the time.
fn hold_still(decoder: &Element) {
    let Some(pad) = decoder.static_pad("src") else { return };
    let state = Mutex::new((Sizes::default(), false));
    pad.add_probe(PadProbeType::EVENT_DOWNSTREAM | PadProbeType::BUFFER, move |_, info| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (sizes, changed) = &mut *state;
        if info.event().is_some_and(|event| event.type_() == EventType::Caps) {
            *changed = true;
        } else if let Some(at) = info.buffer().and_then(|buffer| buffer.pts())
            && !sizes.bearable(at.into(), std::mem::take(changed))
        {
            return PadProbeReturn::Drop;
        }
        PadProbeReturn::Ok
    });
}

/// A stream that announces a giant picture ends its branch before the decoder sees any of it.
fn refuse_large(parser: &Element) {
    let Some(pad) = parser.static_pad("src") else { return };
    let (parser, giant) = (parser.downgrade(), AtomicBool::new(false));
    pad.add_probe(PadProbeType::EVENT_DOWNSTREAM | PadProbeType::BUFFER, move |_, info| {
        if let Some(EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            let side = |name| caps.caps().structure(0)?.get::<i32>(name).ok()?.try_into().ok();
            let size = side("width").zip(side("height")).filter(|&size| too_large(size));
            giant.store(size.is_some(), Ordering::Relaxed);
            if let Some(((width, height), parser)) = size.zip(parser.upgrade()) {
                gstreamer::element_error!(parser, gstreamer::StreamError::Format, ["picture of {width}x{height}"]);
            }
        } else if info.buffer().is_some() && giant.load(Ordering::Relaxed) {
            return PadProbeReturn::Drop;
        }
        PadProbeReturn::Ok
    });
}

fn write(overlay: &Element, text: &Text) {
    overlay.set_property("font-desc", &text.font);
    overlay.set_property("text", &text.markup);
    overlay.set_property("xpad", 4);
    overlay.set_property("ypad", 4);
}
