//! GStreamer mechanism without policy: typed bus events, state changes with a deadline, EOS, dot dumps, the one time
//! base of a process, and which elements may be made in it. Knows nothing of meetings or layouts.
//!
//! # Design
//! The bus has no thread and no main loop of its own: a sync handler turns each message into an [`Event`] on the
//! thread that posted it and hands it to a channel, so that whoever owns the pipeline reads its fate in order and in
//! its own loop. Events carry the element itself; an owner compares handles and never parses names.
//!
//! A state change can hang for ever in a broken element. [`reach`] therefore runs it on a thread of its own and gives
//! that thread up after a deadline: what hangs is leaked and reported, and the process goes on or ends.

mod allowed;
mod bus;
mod missing;
mod pipeline;
mod state;
mod time;

pub use allowed::{ALLOWED, Group, allowed, keep_only};
pub use bus::{Event, Events, translate};
pub use missing::missing;
pub use pipeline::Pipeline;
pub use state::{StateError, reach};
pub use time::Timebase;

/// GStreamer could not start in this process.
#[derive(Debug, thiserror::Error)]
#[error("GStreamer does not start; check that libgstreamer1.0-0 and its plugins are installed whole")]
pub struct InitError(#[source] gstreamer::glib::Error);

/// Starts GStreamer in this process. Calling it again does nothing.
///
/// # Errors
/// When the library or its registry is broken.
pub fn init() -> Result<(), InitError> {
    gstreamer::init().map_err(InitError)
}
