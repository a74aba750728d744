//! Encoded test signals, made by a second GStreamer pipeline, and a thread that plays one as a meeting would: each
//! frame at its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use media::{Frame, FrameSink, RunningTime};

/// What libopus' encoder looks ahead, and nobody on the way to us takes back.
pub(crate) const OPUS_DELAY: Duration = Duration::from_micros(6500);

/// Frames whose times count from zero.
#[derive(Clone)]
pub(crate) struct Film(pub(crate) Vec<Frame>);

impl Film {
    /// Runs `description` to its end and keeps what it encodes.
    fn encode(description: &str) -> Self {
        graph::init().unwrap();
        let pipeline = gstreamer::parse::launch(&format!("{description} ! appsink name=out sync=false")).unwrap();
        let pipeline = pipeline.downcast::<gstreamer::Pipeline>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
        pipeline.set_state(gstreamer::State::Playing).unwrap();
        let mut frames = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().unwrap();
            let pts =
                sample.segment().unwrap().downcast_ref::<gstreamer::ClockTime>().unwrap().to_running_time(buffer.pts());
            frames.push(Frame {
                pts: RunningTime(pts.unwrap().nseconds()),
                keyframe: !buffer.flags().contains(gstreamer::BufferFlags::DELTA_UNIT),
                bytes: bytes::Bytes::copy_from_slice(&buffer.map_readable().unwrap()),
            });
        }
        pipeline.set_state(gstreamer::State::Null).unwrap();
        assert!(!frames.is_empty(), "nothing came out of {description}");
        Self(frames)
    }

    pub(crate) fn vp8(source: &str, size: (u32, u32), frames: u32) -> Self {
        let (width, height) = size;
        Self::encode(&format!(
            "videotestsrc num-buffers={frames} {source} ! video/x-raw,format=I420,width={width},height={height},\
             framerate=30/1 ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=15 target-bitrate=800000"
        ))
    }

    pub(crate) fn h264(source: &str, size: (u32, u32), frames: u32) -> Self {
        let (width, height) = size;
        Self::encode(&format!(
            "videotestsrc num-buffers={frames} {source} ! video/x-raw,format=I420,width={width},height={height},\
             framerate=30/1 ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=15 ! \
             video/x-h264,stream-format=byte-stream,alignment=au,profile=constrained-baseline"
        ))
    }

    /// A colour as `videotestsrc` wants it: `0xAARRGGBB`.
    pub(crate) fn colour(argb: u32) -> String {
        format!("pattern=solid-color foreground-color={argb}")
    }

    /// A tone or whatever `source` says. What is decoded is late by [`OPUS_DELAY`].
    pub(crate) fn opus(source: &str, seconds: u32) -> Self {
        Self::voices(&[(source, seconds)])
    }

    /// Several sources, one after the other, through one encoder.
    pub(crate) fn voices(sources: &[(&str, u32)]) -> Self {
        let buffers: u32 = sources.iter().map(|(_, seconds)| seconds * 50).sum();
        let inputs: String = sources
            .iter()
            .map(|(source, seconds)| {
                let caps = "audio/x-raw,format=S16LE,rate=48000,channels=1";
                format!("audiotestsrc num-buffers={} samplesperbuffer=960 {source} ! {caps} ! all. ", seconds * 50)
            })
            .collect();
        let mut film = Self::encode(&format!("{inputs} concat name=all ! opusenc bitrate=64000 frame-size=20"));
        // As RTP counts: 20 ms from packet to packet. GStreamer shortens the first by the encoder's delay.
        film.0.truncate(buffers as usize);
        for (frame, n) in film.0.iter_mut().zip(0..) {
            frame.pts = RunningTime(n * 20_000_000);
        }
        film
    }

    /// A voice whose packets are of one channel in the first second and of two in the next, and so on (RFC 6716 3.1 has
    /// the bit in each packet).
    pub(crate) fn channels(seconds: u32) -> Self {
        let mut films = [1, 2].map(|channels| {
            Self::encode(&format!(
                "audiotestsrc num-buffers={} samplesperbuffer=960 freq=500 volume=0.5 ! \
                 audio/x-raw,format=S16LE,rate=48000,channels={channels} ! opusenc bitrate=64000 frame-size=20",
                seconds * 50
            ))
            .0
            .into_iter()
        });
        let turns = (0..seconds).flat_map(|second| films[second as usize % 2].by_ref().take(50).collect::<Vec<_>>());
        Self(turns.zip(0..).map(|(frame, n)| Frame { pts: RunningTime(n * 20_000_000), ..frame }).collect())
    }

    /// The same voice in a sixth of the packets: six frames of 20 ms in each, by their own lengths (RFC 6716 3.2.5).
    pub(crate) fn in_long_packets(self) -> Self {
        let pack = |frames: &[Frame]| {
            let toc = frames[0].bytes[0];
            assert!(
                frames.iter().all(|frame| frame.bytes[0] == toc && toc & 3 == 0),
                "one frame each, all of one sort"
            );
            let mut bytes = vec![toc | 3, 0x80 | 6];
            for frame in &frames[..5] {
                let length = frame.bytes.len() - 1;
                // 3.2.1: one byte up to 251, two above.
                let first = if length < 252 { length } else { 252 + length % 4 };
                bytes.push(u8::try_from(first).unwrap());
                bytes.extend((length >= 252).then(|| u8::try_from((length - first) / 4).unwrap()));
            }
            bytes.extend(frames.iter().flat_map(|frame| &frame.bytes[1..]));
            Frame { bytes: bytes.into(), ..frames[0].clone() }
        };
        Self(self.0.chunks_exact(6).map(pack).collect())
    }

    /// This film, then `other`, each frame one step after the one before.
    pub(crate) fn then(mut self, other: Self) -> Self {
        let step = self.0[1].pts.0 - self.0[0].pts.0;
        let begin = self.0.last().unwrap().pts.0 + step;
        self.0.extend(other.0.into_iter().map(|frame| Frame { pts: RunningTime(frame.pts.0 + begin), ..frame }));
        self
    }

    /// Gives each frame to `sink` at `begin` plus its time, on a thread of its own.
    pub(crate) fn play(self, time: &graph::Timebase, begin: RunningTime, mut sink: FrameSink) -> Playing {
        let (time, stop) = (time.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for frame in self.0 {
                let pts = RunningTime(begin.0 + frame.pts.0);
                loop {
                    let wait = pts.since(time.now());
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    if wait.is_zero() {
                        break;
                    }
                    std::thread::sleep(wait.min(Duration::from_millis(20)));
                }
                sink(Frame { pts, ..frame });
            }
        });
        Playing { stop, thread: Some(thread) }
    }
}

/// A film that is being played. Dropping it stops it.
pub(crate) struct Playing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Playing {
    /// Waits for the last frame.
    pub(crate) fn finish(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
