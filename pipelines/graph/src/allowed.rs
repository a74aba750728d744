//! The closed list: every element that a process with strangers' media may make, and why. All else is forgotten, so that
//! nothing picks a demuxer, a source or a decoder that nobody meant.
//!
//! # Design
//! Elements are made by name here, and nothing is plugged automatically: no `decodebin`, no `playbin`. Forgetting the
//! rest means that neither a mistake nor a stream can bring in one of the parsers in which most holes are found
//! (demuxers, subtitles, images). GStreamer learns a plug-in's elements again when it loads it, so what is allowed is
//! loaded first and the rest forgotten after: from then on no plug-in is opened any more.

use gstreamer::ElementFactory;
use gstreamer::prelude::*;

use crate::InitError;

/// Elements that are allowed for one reason.
#[derive(Debug)]
pub struct Group {
    pub why: &'static str,
    /// Element, and the Debian package (12 and 13) that has it.
    pub elements: &'static [(&'static str, &'static str)],
}

const CORE: &str = "libgstreamer1.0-0";
const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";

/// All that a recording is made of, but for the muxer, which is linked into our programs.
#[rustfmt::skip]
pub const ALLOWED: &[Group] = &[
    Group { why: "what any pipeline is put together with", elements: &[
        ("bin", CORE), ("pipeline", CORE), ("capsfilter", CORE), ("queue", CORE), ("fakesink", CORE),
        ("appsrc", BASE), ("appsink", BASE),
    ] },
    Group { why: "a connection: webrtcbin, and the ICE, DTLS and SRTP that it makes", elements: &[
        ("webrtcbin", BAD), ("nicesrc", "gstreamer1.0-nice"), ("nicesink", "gstreamer1.0-nice"),
        ("dtlssrtpdec", BAD), ("dtlssrtpenc", BAD), ("dtlssrtpdemux", BAD), ("dtlsdec", BAD), ("dtlsenc", BAD),
        ("srtpdec", BAD), ("srtpenc", BAD), ("funnel", CORE), ("clocksync", CORE),
    ] },
    Group { why: "a connection's packets: put in order, asked for again, told apart", elements: &[
        ("rtpbin", GOOD), ("rtpsession", GOOD), ("rtpjitterbuffer", GOOD), ("rtpssrcdemux", GOOD), ("rtpptdemux", GOOD),
        ("rtpfunnel", GOOD), ("rtprtxreceive", GOOD), ("rtprtxsend", GOOD),
        ("rtphdrextmid", GOOD), ("rtphdrexttwcc", GOOD),
    ] },
    Group { why: "webrtcbin puts these before every receiver, though we negotiate neither", elements: &[
        ("rtpreddec", GOOD), ("rtpulpfecdec", GOOD), ("rtpstorage", GOOD),
    ] },
    Group { why: "webrtcbin needs these where a server offers a data channel; we open none", elements: &[
        ("sctpdec", BAD), ("sctpenc", BAD),
    ] },
    Group { why: "the codecs that a meeting may send: VP8, H.264, Opus", elements: &[
        ("rtpvp8depay", GOOD), ("vp8dec", GOOD),
        ("rtph264depay", GOOD), ("h264parse", BAD), ("avdec_h264", "gstreamer1.0-libav"),
        ("rtpopusdepay", GOOD), ("opusdec", BASE),
    ] },
    Group { why: "one picture and one sound of many", elements: &[
        ("videotestsrc", BASE), ("videoconvertscale", BASE), ("textoverlay", "gstreamer1.0-x"), ("compositor", BASE),
        ("audiotestsrc", BASE), ("audioconvert", BASE), ("audiomixer", BASE),
    ] },
    Group { why: "what is stored and streamed: H.264 and AAC", elements: &[
        ("x264enc", "gstreamer1.0-plugins-ugly"), ("avenc_aac", "gstreamer1.0-libav"),
    ] },
];

/// Element and package of all of [`ALLOWED`].
pub fn allowed() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALLOWED.iter().flat_map(|group| group.elements.iter().copied())
}

/// Makes GStreamer forget, in this process and for good, every element but [`ALLOWED`] and those `linked_in`, and all
/// else that a plug-in can bring. Returns how many elements are left.
///
/// # Errors
/// When GStreamer does not start.
pub fn keep_only(linked_in: &[&str]) -> Result<usize, InitError> {
    crate::init()?;
    for (element, _) in allowed() {
        if let Some(factory) = ElementFactory::find(element)
            && factory.load().is_err()
        {
            tracing::warn!(element, "its plug-in cannot be loaded");
        }
    }
    let kept = |name: &str| linked_in.contains(&name) || allowed().any(|(element, _)| element == name);
    let registry = gstreamer::Registry::get();
    let mut left = 0;
    for plugin in registry.plugins() {
        let (keep, forget): (Vec<_>, Vec<_>) = registry
            .features_by_plugin(&plugin.plugin_name())
            .into_iter()
            .partition(|feature| feature.is::<ElementFactory>() && kept(&feature.name()));
        for feature in &forget {
            registry.remove_feature(feature);
        }
        if keep.is_empty() {
            registry.remove_plugin(&plugin);
        }
        left += keep.len();
    }
    Ok(left)
}
