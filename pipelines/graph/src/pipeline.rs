//! A pipeline with an owner: events out, deadlines on everything, torn down when it goes.

use std::path::PathBuf;
use std::time::Duration;

use gstreamer::prelude::*;
use gstreamer::{BusSyncReply, DebugGraphDetails, State};
use tokio::sync::mpsc;

use crate::bus::{Event, Events, translate};
use crate::state::{StateError, reach};
use crate::time::Timebase;

/// How long a dropped pipeline may take to stop before it is left behind.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// One GStreamer pipeline on the process' time base.
///
/// [`Pipeline::stop`] takes it down and says how that went. Dropping it takes it down too, blocking for at most 5 s.
#[derive(Debug)]
pub struct Pipeline {
    inner: gstreamer::Pipeline,
    dots: Option<PathBuf>,
    stopped: bool,
}

impl Pipeline {
    /// An empty pipeline ruled by `time`. `name` appears in errors and logs: no person's name, no title.
    #[must_use]
    pub fn new(name: &str, time: &Timebase) -> (Self, Events) {
        let (tell, events) = mpsc::unbounded_channel();
        // Nobody listens any more: the owner is tearing the pipeline down.
        let pipeline = Self::telling(name, time, move |event| drop(tell.send(event)));
        (pipeline, events)
    }

    /// As [`Pipeline::new`], for an owner with a channel of its own. `tell` runs on the thread that posts: it must
    /// forward and return.
    #[must_use]
    pub fn telling(name: &str, time: &Timebase, tell: impl Fn(Event) + Send + Sync + 'static) -> Self {
        let inner = gstreamer::Pipeline::with_name(name);
        time.rule(&inner);
        if let Some(bus) = inner.bus() {
            bus.set_sync_handler(move |_, message| {
                if let Some(event) = translate(message) {
                    tell(event);
                }
                BusSyncReply::Drop
            });
        }
        Self { inner, dots: None, stopped: false }
    }

    /// From now on a failure leaves a picture of the pipeline in `folder`, as Graphviz text. The text holds caps and
    /// states but no properties, because overlays hold names of people and peers hold credentials.
    #[must_use]
    pub fn with_dots(mut self, folder: PathBuf) -> Self {
        self.dots = Some(folder);
        self
    }

    /// The pipeline itself, to add elements to and find things in. Change its state through this wrapper only.
    #[must_use]
    pub fn gst(&self) -> &gstreamer::Pipeline {
        &self.inner
    }

    /// Goes to PLAYING and waits for it, at most `within`. Blocks.
    ///
    /// # Errors
    /// When an element refuses or takes too long.
    pub fn play(&self, within: Duration) -> Result<(), StateError> {
        reach(self.inner.upcast_ref(), State::Playing, within).inspect_err(|_| self.dump("play"))
    }

    /// Sends EOS into every source. [`Event::Eos`](crate::Event::Eos) follows when all sinks have seen it.
    pub fn finish(&self) {
        self.inner.send_event(gstreamer::event::Eos::new());
    }

    /// Spreads a changed latency; the answer to [`Event::Latency`](crate::Event::Latency).
    pub fn spread_latency(&self) {
        if self.inner.recalculate_latency().is_err() {
            tracing::warn!(pipeline = %self.inner.name(), "latency could not be spread");
        }
    }

    /// Takes the pipeline down and waits for it, at most `within`. Blocks.
    ///
    /// # Errors
    /// When it hangs: what is left of it is leaked.
    pub fn stop_now(mut self, within: Duration) -> Result<(), StateError> {
        self.stopped = true;
        reach(self.inner.upcast_ref(), State::Null, within).inspect_err(|_| self.dump("stop"))
    }

    /// As [`Pipeline::stop_now`], from async code.
    ///
    /// # Errors
    /// When it hangs: what is left of it is leaked.
    pub async fn stop(self, within: Duration) -> Result<(), StateError> {
        let stopped = tokio::task::spawn_blocking(move || self.stop_now(within)).await;
        stopped.unwrap_or_else(|gone| Err(StateError::Thread(std::io::Error::other(gone))))
    }

    /// Leaves a picture of the pipeline, if a folder was given for it.
    pub fn dump(&self, why: &str) {
        let Some(folder) = &self.dots else { return };
        let details = DebugGraphDetails::MEDIA_TYPE | DebugGraphDetails::CAPS_DETAILS | DebugGraphDetails::STATES;
        let file = folder.join(format!("{}-{why}.dot", self.inner.name()));
        if let Err(error) = std::fs::write(&file, self.inner.debug_to_dot_data(details)) {
            tracing::warn!(file = %file.display(), %error, "no picture of the pipeline");
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(error) = reach(self.inner.upcast_ref(), State::Null, LAST_WAIT)
        {
            tracing::error!(%error, "a dropped pipeline does not stop");
        }
    }
}
