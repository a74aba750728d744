//! The other end of a meeting in tests: what the recorder would be told and given, and what is to be seen and heard
//! in it, found by decoding.

#![allow(clippy::expect_used, reason = "test support: a broken test bed ends the test")]
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use media::{Codec, Frame, FrameSink, ParticipantId, Track};
use meeting::{Event, Loss, Meeting};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// A joined meeting, and its news.
pub(crate) struct Watcher {
    pub(crate) meeting: Meeting,
    events: mpsc::UnboundedReceiver<Event>,
    /// All that was told so far and not asked for.
    pub(crate) passed: Vec<Event>,
}

impl Watcher {
    pub(crate) async fn join(spec: meeting::JoinSpec) -> Result<Self, Loss> {
        let (tell, events) = mpsc::unbounded_channel();
        let time = graph::Timebase::start().expect("GStreamer starts");
        let meeting = meeting::join(spec, time, tell).await?;
        Ok(Self { meeting, events, passed: Vec::new() })
    }

    /// The first event, now or later, of which `pick` makes something.
    pub(crate) async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        if let Some(at) = self.passed.iter().position(|event| pick(event).is_some()) {
            return pick(&self.passed.remove(at)).expect("picked once already");
        }
        let found = timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("the meeting is over before {what}"));
                match pick(&event) {
                    Some(found) => return found,
                    None => self.passed.push(event),
                }
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("no {what}; told so far: {:?}", self.passed),
        }
    }

    pub(crate) async fn track(&mut self, codec: Codec) -> Track {
        self.wait(&format!("{codec:?} track"), |event| match event {
            Event::Track(track) if track.codec == codec => Some(track.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn untracked(&mut self, track: &Track) {
        self.wait("Untrack", |event| matches!(event, Event::Untrack(id) if *id == track.id).then_some(())).await;
    }

    pub(crate) async fn departed(&mut self, person: &ParticipantId) {
        self.wait("Departed", |event| matches!(event, Event::Departed(id) if id == person).then_some(())).await;
    }

    pub(crate) async fn muted(&mut self, track: &Track) {
        self.wait("Muted", |event| matches!(event, Event::Muted(id) if *id == track.id).then_some(())).await;
    }

    pub(crate) async fn unmuted(&mut self, track: &Track) {
        self.wait("Unmuted", |event| matches!(event, Event::Unmuted(id) if *id == track.id).then_some(())).await;
    }

    /// Nothing more is told, ever.
    pub(crate) async fn is_over(&mut self) {
        let last = timeout(PATIENCE, self.events.recv()).await.expect("a meeting that is over ends its news");
        assert!(last.is_none(), "after its end: {last:?}");
    }

    /// Routes `track` into a box.
    pub(crate) fn collect(&self, track: &Track) -> Frames {
        let frames = Frames { codec: track.codec, list: Arc::default() };
        self.meeting.route(&track.id, frames.sink());
        frames
    }
}

/// Frames as they came.
#[derive(Clone)]
pub(crate) struct Frames {
    codec: Codec,
    list: Arc<Mutex<Vec<Frame>>>,
}

/// One decoded frame: when, and what is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) pts: Duration,
    /// Video: the average colour. Audio: the loudness in all three, 0 to 255.
    pub(crate) rgb: [u8; 3],
}

impl Frames {
    pub(crate) fn new(codec: Codec) -> Self {
        Self { codec, list: Arc::default() }
    }

    pub(crate) fn sink(&self) -> FrameSink {
        let list = Arc::clone(&self.list);
        Box::new(move |frame| list.lock().expect("no panic in a sink").push(frame))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.lock().expect("no panic in a sink").len()
    }

    pub(crate) fn all(&self) -> Vec<Frame> {
        self.list.lock().expect("no panic in a sink").clone()
    }

    /// Waits until `count` frames are there.
    pub(crate) async fn reach(&self, count: usize) {
        let until = Instant::now() + PATIENCE;
        while self.len() < count {
            assert!(Instant::now() < until, "only {} of {count} {:?} frames came", self.len(), self.codec);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until what was there in `span` of time has come.
    pub(crate) async fn span(&self, span: Duration) {
        let until = Instant::now() + PATIENCE;
        loop {
            let frames = self.all();
            let (first, last) = (frames.first().map(|frame| frame.pts), frames.last().map(|frame| frame.pts));
            if first.zip(last).is_some_and(|(first, last)| last.since(first) >= span) {
                return;
            }
            assert!(Instant::now() < until, "{span:?} of {:?} did not come", self.codec);
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Decodes everything there is.
    pub(crate) fn decode(&self) -> Vec<Seen> {
        decode(self.codec, &self.all())
    }
}

fn decode(codec: Codec, frames: &[Frame]) -> Vec<Seen> {
    let (caps, chain) = match codec {
        Codec::Vp8 => ("video/x-vp8", "vp8dec ! videoconvert ! video/x-raw,format=RGB"),
        Codec::H264 => (
            "video/x-h264,stream-format=byte-stream,alignment=au",
            "h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=RGB",
        ),
        Codec::Opus => (
            "audio/x-opus,channel-mapping-family=0,channels=1,rate=48000",
            "opusdec ! audioconvert ! audio/x-raw,format=S16LE,channels=1",
        ),
    };
    let text = format!("appsrc name=in format=time caps={caps} ! {chain} ! appsink name=out sync=false");
    let pipeline =
        gstreamer::parse::launch(&text).expect("a decoder").downcast::<gstreamer::Pipeline>().expect("a pipeline");
    let source = pipeline.by_name("in").and_downcast::<AppSrc>().expect("appsrc");
    let sink = pipeline.by_name("out").and_downcast::<AppSink>().expect("appsink");
    pipeline.set_state(gstreamer::State::Playing).expect("a decoder starts");
    for frame in frames {
        let mut buffer = gstreamer::Buffer::from_slice(frame.bytes.clone());
        buffer.make_mut().set_pts(gstreamer::ClockTime::from_nseconds(frame.pts.0));
        source.push_buffer(buffer).expect("a decoder takes frames");
    }
    source.end_of_stream().expect("a decoder ends");
    let mut seen = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a decoded frame");
        let map = buffer.map_readable().expect("decoded bytes");
        let rgb = if codec == Codec::Opus { loudness(&map) } else { colour(&map) };
        seen.push(Seen { pts: buffer.pts().expect("a decoded frame has its time").into(), rgb });
    }
    pipeline.set_state(gstreamer::State::Null).expect("a decoder stops");
    seen
}

fn colour(pixels: &[u8]) -> [u8; 3] {
    let mut sum = [0_usize; 3];
    for pixel in pixels.chunks_exact(3) {
        for (sum, value) in sum.iter_mut().zip(pixel) {
            *sum += usize::from(*value);
        }
    }
    sum.map(|sum| u8::try_from(sum * 3 / pixels.len().max(1)).expect("an average of bytes"))
}

fn loudness(samples: &[u8]) -> [u8; 3] {
    let peak = samples.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]]).unsigned_abs()).max();
    [u8::try_from(peak.unwrap_or(0) / 129).unwrap_or(255); 3]
}

/// Whether this is `colour` (0xRRGGBB) but for what encoding does to it.
pub(crate) fn looks(seen: &Seen, colour: u32) -> bool {
    let [_, wanted @ ..] = colour.to_be_bytes();
    seen.rgb.iter().zip(wanted).all(|(seen, wanted)| seen.abs_diff(wanted) < 40)
}

/// Where something bright (or loud) begins.
pub(crate) fn onsets(seen: &[Seen]) -> Vec<Duration> {
    let bright = |seen: &Seen| seen.rgb.iter().min().expect("three") > &60;
    seen.windows(2).filter(|pair| !bright(&pair[0]) && bright(&pair[1])).map(|pair| pair[1].pts).collect()
}
