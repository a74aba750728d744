//! Two live sources into `janusvrwebrtcsink`. Starts nothing.

use std::time::Duration;

use anyhow::Context;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::Options;
use super::sources::PERIOD;
use crate::participants::signal::RATE;

/// The microphone and the pitch of its beeps, when there is one.
pub(super) type Audio = Option<(gst_app::AppSrc, u32)>;

pub(super) fn build(options: &Options) -> anyhow::Result<(gst::Pipeline, gst_app::AppSrc, Audio)> {
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
