//! From one pad of webrtcbin to frames: depayload, parse, hand on. Decides nothing about whose frames they are, and
//! nothing about whether they are wanted: H.264's parameter sets may come once and early, and the parser keeps them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer::{BufferFlags, Caps, Element, ElementFactory, FlowError, FlowSuccess, PadProbeReturn, PadProbeType};
use gstreamer_app::{AppSink, AppSinkCallbacks};
use media::{Codec, Frame, RunningTime};

use super::PeerError;

/// Every element that a peer is made of, with the Debian package that has it.
pub(super) const ELEMENTS: &[(&str, &str)] = &[
    ("webrtcbin", "gstreamer1.0-plugins-bad"),
    ("nicesrc", "gstreamer1.0-nice"),
    ("dtlssrtpdec", "gstreamer1.0-plugins-bad"),
    ("srtpdec", "gstreamer1.0-plugins-bad"),
    ("rtpbin", "gstreamer1.0-plugins-good"),
    ("rtpvp8depay", "gstreamer1.0-plugins-good"),
    ("rtph264depay", "gstreamer1.0-plugins-good"),
    ("rtpopusdepay", "gstreamer1.0-plugins-good"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("appsink", "gstreamer1.0-plugins-base"),
    ("capsfilter", "libgstreamer1.0-0"),
    ("fakesink", "libgstreamer1.0-0"),
];

/// No sender is asked for key frames more often than this: each costs it a burst.
const KEY_ASKING: Duration = Duration::from_secs(1);

/// What a branch does with what passes.
pub(super) trait Receiver: Send + Sync + 'static {
    /// A packet has arrived; `gap` when some before it never did.
    fn packet(&self, gap: bool);
    /// A frame is there.
    fn frame(&self, frame: Frame);
    /// The sender is being asked for a key frame.
    fn key_wanted(&self);
}

/// Puts elements for `codec` behind `source` and starts them. Runs in webrtcbin's `pad-added`.
pub(super) fn attach(
    pipeline: &gstreamer::Pipeline,
    source: &gstreamer::Pad,
    codec: Codec,
    receiver: &Arc<impl Receiver>,
) -> Result<(), PeerError> {
    let (depay, parse) = match codec {
        Codec::Vp8 => ("rtpvp8depay", None),
        Codec::H264 => ("rtph264depay", Some("h264parse")),
        Codec::Opus => ("rtpopusdepay", None),
    };
    let depay = make(depay)?;
    let mut chain = vec![depay.clone()];
    if let Some(parse) = parse {
        let parse = make(parse)?;
        // Parameter sets before every key frame, so that a decoder can start at any of them.
        parse.set_property("config-interval", -1);
        chain.extend([annex_b()?, parse, annex_b()?]);
    }
    chain.push(sink(codec, receiver).upcast());

    count_packets(source, receiver);
    limit_key_askings(source, receiver);

    pipeline.add_many(&chain).map_err(|_| PeerError::Graph("add a branch"))?;
    Element::link_many(&chain).map_err(|_| PeerError::Graph("link a branch"))?;
    for element in chain.iter().rev() {
        element.sync_state_with_parent().map_err(|_| PeerError::Graph("start a branch"))?;
    }
    let entry = depay.static_pad("sink").ok_or(PeerError::Graph("find a branch's entry"))?;
    source.link(&entry).map_err(|_| PeerError::Graph("link a track"))?;
    Ok(())
}

/// Lets `source` run into nothing, so that its refusal does not stop its neighbours.
pub(super) fn discard(pipeline: &gstreamer::Pipeline, source: &gstreamer::Pad) -> Result<(), PeerError> {
    let nothing = make("fakesink")?;
    nothing.set_property("sync", false);
    nothing.set_property("async", false);
    pipeline.add(&nothing).map_err(|_| PeerError::Graph("add a discard"))?;
    nothing.sync_state_with_parent().map_err(|_| PeerError::Graph("start a discard"))?;
    let entry = nothing.static_pad("sink").ok_or(PeerError::Graph("find a discard's entry"))?;
    source.link(&entry).map_err(|_| PeerError::Graph("link a discard"))?;
    Ok(())
}

pub(super) fn make(element: &'static str) -> Result<Element, PeerError> {
    ElementFactory::make(element).build().map_err(|_| PeerError::Missing(element))
}

fn annex_b() -> Result<Element, PeerError> {
    let filter = make("capsfilter")?;
    let caps = Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au");
    filter.set_property("caps", caps.build());
    Ok(filter)
}

fn sink(codec: Codec, receiver: &Arc<impl Receiver>) -> AppSink {
    let receiver = Arc::clone(receiver);
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
        if let Some(frame) = frame(codec, &sample) {
            receiver.frame(frame);
        }
        Ok(FlowSuccess::Ok)
    });
    // No clock here: whoever takes the frames knows when to show them.
    AppSink::builder().sync(false).async_(false).enable_last_sample(false).callbacks(callbacks.build()).build()
}

fn frame(codec: Codec, sample: &gstreamer::Sample) -> Option<Frame> {
    let buffer = sample.buffer_owned()?;
    let segment = sample.segment()?.downcast_ref::<gstreamer::ClockTime>()?;
    let pts = RunningTime(segment.to_running_time(buffer.pts()?)?.nseconds());
    let delta = buffer.flags().contains(BufferFlags::DELTA_UNIT);
    let bytes = Bytes::from_owner(buffer.into_mapped_buffer_readable().ok()?);
    let keyframe = match codec {
        // RFC 6386 §9.1: the lowest bit of the first byte is clear in a key frame.
        Codec::Vp8 => bytes.first()? & 1 == 0,
        Codec::H264 => !delta,
        Codec::Opus => true,
    };
    (!bytes.is_empty()).then_some(Frame { pts, keyframe, bytes })
}

fn count_packets(source: &gstreamer::Pad, receiver: &Arc<impl Receiver>) {
    let receiver = Arc::clone(receiver);
    // The jitter buffer hands out one packet at a time, and marks the first one after those it has given up.
    source.add_probe(PadProbeType::BUFFER, move |_, info| {
        let flags = info.buffer().map_or(BufferFlags::empty(), |buffer| buffer.flags());
        receiver.packet(flags.contains(BufferFlags::DISCONT));
        PadProbeReturn::Ok
    });
}

/// One gate for all who ask, on whatever thread: we for a new decoder, the VP8 depayloader until it has its first key
/// frame.
fn limit_key_askings(source: &gstreamer::Pad, receiver: &Arc<impl Receiver>) {
    let receiver = Arc::clone(receiver);
    let last: Mutex<Option<Instant>> = Mutex::new(None);
    source.add_probe(PadProbeType::EVENT_UPSTREAM, move |_, info| {
        let asks = info
            .event()
            .is_some_and(|event| event.structure().is_some_and(|structure| structure.name() == "GstForceKeyUnit"));
        if !asks {
            return PadProbeReturn::Ok;
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < KEY_ASKING) {
            // Not Drop: GStreamer 1.22 then unreferences the event that Rust already has.
            return PadProbeReturn::Handled;
        }
        *last = Some(Instant::now());
        drop(last);
        receiver.key_wanted();
        PadProbeReturn::Ok
    });
}
