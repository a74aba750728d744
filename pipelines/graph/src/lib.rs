//! GStreamer mechanism without policy: typed bus events, linking, state changes with a deadline, EOS drain, dot
//! dumps, the one time base of a process. Knows nothing of meetings or layouts.

use media::RunningTime;

/// The one clock and base time that every pipeline of a process shares, so that running times compare directly.
#[derive(Debug, Clone)]
pub struct Timebase {
    clock: gstreamer::Clock,
    base: gstreamer::ClockTime,
}

impl Timebase {
    /// Takes the system's monotonic clock; now becomes running time zero.
    #[must_use]
    pub fn start() -> Self {
        todo!()
    }

    #[must_use]
    pub fn now(&self) -> RunningTime {
        todo!()
    }

    /// Makes `pipeline` run on this clock from this base time.
    pub fn rule(&self, _pipeline: &gstreamer::Pipeline) {
        let _ = (&self.clock, self.base);
        todo!()
    }
}
