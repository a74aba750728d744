//! GStreamer policy: tracks and a scene in, encoded segments and parts out, never a gap in the output.

use graph::Timebase;
use layout::Scene;
use media::{FrameSink, Output, PipelineSpec, Track, TrackId, WallTime};

#[derive(Debug, thiserror::Error)]
#[error("compositor")]
pub struct Error;

/// What a running compositor tells.
#[derive(Debug)]
pub enum Event {
    /// Frames flow; the epoch's time zero is `wall`.
    Playing {
        wall: WallTime,
    },
    Output(Output),
    /// A track's branch failed and was removed; the recording goes on.
    TrackBroke {
        track: TrackId,
        why: String,
    },
    /// Every part has been given out.
    Drained,
    Broke {
        why: String,
    },
}

#[derive(Debug)]
pub struct Compositor;

/// Every GStreamer element this crate and `meeting` need that is not installed, with the Debian package that has it.
#[must_use]
pub fn missing_elements() -> Vec<(&'static str, &'static str)> {
    todo!()
}

impl Compositor {
    /// Builds and starts; returns at once. Events arrive on `events` (unbounded: parts are never dropped).
    pub fn start(
        _spec: &PipelineSpec,
        _time: &Timebase,
        _events: tokio::sync::mpsc::UnboundedSender<Event>,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Opens a branch for `track`; its frames go into the returned sink.
    pub fn add_track(&self, _track: &Track) -> Result<FrameSink, Error> {
        todo!()
    }

    pub fn drop_track(&self, _track: &TrackId) {
        todo!()
    }

    /// Shows `scene` from the next frame on. Tracks without a tile are heard but not seen.
    pub fn arrange(&self, _scene: &Scene) {
        todo!()
    }

    /// Sends EOS; `Event::Drained` follows.
    pub fn drain(&self) {
        todo!()
    }

    /// Stops without draining.
    pub fn kill(self) {
        todo!()
    }
}
