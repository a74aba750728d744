//! One clock and one base time for every pipeline of a process, so that running times compare directly.

use gstreamer::prelude::*;
use media::RunningTime;

use crate::InitError;

/// The one clock and base time that every pipeline of a process shares, so that running times compare directly.
#[derive(Debug, Clone)]
pub struct Timebase {
    clock: gstreamer::Clock,
    base: gstreamer::ClockTime,
}

impl Timebase {
    /// Takes the system's monotonic clock; now becomes running time zero.
    ///
    /// # Errors
    /// When GStreamer does not start.
    pub fn start() -> Result<Self, InitError> {
        crate::init()?;
        let clock = gstreamer::SystemClock::obtain();
        let base = clock.time();
        Ok(Self { clock, base })
    }

    /// The running time of this instant in every pipeline ruled by this time base.
    #[must_use]
    pub fn now(&self) -> RunningTime {
        RunningTime(self.clock.time().saturating_sub(self.base).nseconds())
    }

    /// Makes `pipeline` run on this clock from this base time, whenever it starts. Call it before PLAYING.
    pub fn rule(&self, pipeline: &gstreamer::Pipeline) {
        pipeline.use_clock(Some(&self.clock));
        // Without a start time the pipeline leaves the base time alone when it goes to PLAYING.
        pipeline.set_start_time(gstreamer::ClockTime::NONE);
        pipeline.set_base_time(self.base);
    }
}
