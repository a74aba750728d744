//! A compositor with someone who writes down what it tells.

use std::time::{Duration, SystemTime};

use compositor::{Compositor, Event};
use graph::Timebase;
use media::{Init, Output, Part, PipelineSpec, RunningTime, SegmentClosed, TrackId, WallTime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Generous: other work may share the machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Rig {
    pub(crate) time: Timebase,
    pub(crate) compositor: Compositor,
    events: UnboundedReceiver<Event>,
    /// Running time of position zero.
    pub(crate) zero: RunningTime,
    pub(crate) wall: WallTime,
    pub(crate) video: Taken,
    pub(crate) audio: Taken,
    pub(crate) broken: Vec<TrackId>,
}

/// What came out of one rendition.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) init: Option<Init>,
    pub(crate) parts: Vec<Part>,
    pub(crate) closed: Vec<SegmentClosed>,
}

impl Taken {
    fn take(&mut self, output: Output) {
        match output {
            Output::Init(init) => {
                assert!(self.init.is_none() && self.parts.is_empty(), "one init section, before all parts");
                self.init = Some(init);
            }
            Output::Part(part) => {
                let closed = self.closed.len() as u64;
                assert_eq!(part.segment, closed, "a part belongs to the segment that is open");
                let before = self.parts.iter().filter(|p| p.segment == closed).count();
                assert_eq!(part.index as usize, before);
                self.parts.push(part);
            }
            Output::Closed(closed) => {
                assert_eq!(closed.segment, self.closed.len() as u64);
                self.closed.push(closed);
            }
        }
    }

    /// The whole file, as a player would have it.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file = self.init.as_ref().expect("no init section").bytes.to_vec();
        for part in &self.parts {
            file.extend_from_slice(&part.bytes);
        }
        file
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.parts.iter().map(|part| part.lasts).sum()
    }
}

impl Rig {
    /// Starts a compositor and waits until frames flow.
    pub(crate) async fn start(spec: &PipelineSpec) -> Self {
        let time = Timebase::start().unwrap();
        let (tell, events) = unbounded_channel();
        let compositor = Compositor::start(spec, &time, tell).unwrap();
        let mut rig = Self {
            time,
            compositor,
            events,
            zero: RunningTime(0),
            wall: WallTime(0),
            video: Taken::default(),
            audio: Taken::default(),
            broken: Vec::new(),
        };
        rig.until("playing", |rig| rig.wall != WallTime(0)).await;
        rig
    }

    /// Writes events down until `done`.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let reached = tokio::time::timeout(PATIENCE, async {
            while !done(self) {
                let event = self.events.recv().await.expect("the compositor is gone");
                assert!(!self.note(event), "drained while waiting for: {what}");
            }
        });
        assert!(reached.await.is_ok(), "never: {what}; given up: {:?}", self.broken);
    }

    /// Waits until the picture has been recorded up to `position`.
    pub(crate) async fn recorded(&mut self, position: Duration) {
        self.until("recorded", |rig| rig.video.lasts() >= position && rig.audio.lasts() >= position).await;
    }

    /// Drains and gives back what was recorded, after everything has come out.
    pub(crate) async fn drain(mut self) -> Recorded {
        self.compositor.drain();
        let drained = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = self.events.recv().await {
                if self.note(event) {
                    return;
                }
            }
            panic!("the compositor is gone");
        });
        assert!(drained.await.is_ok(), "never drained");
        self.compositor.kill();
        Recorded { video: self.video, audio: self.audio, wall: self.wall, broken: self.broken }
    }

    /// When a branch that is asked for now will surely be there.
    pub(crate) fn soon(&self) -> RunningTime {
        RunningTime(self.time.now().0 + 300_000_000)
    }

    /// Where `at` lies in the recording.
    pub(crate) fn position(&self, at: RunningTime) -> Duration {
        at.since(self.zero)
    }

    fn note(&mut self, event: Event) -> bool {
        match event {
            Event::Playing { wall } => {
                self.wall = wall;
                // Position zero may lie a little ahead.
                let ago = (WallTime::from_system(SystemTime::now()).0 - wall.0) * 1000;
                self.zero = RunningTime(self.time.now().0.checked_add_signed(-ago).unwrap());
            }
            Event::Output(output) => {
                let rendition = match &output {
                    Output::Init(init) => &init.rendition,
                    Output::Part(part) => &part.rendition,
                    Output::Closed(closed) => &closed.rendition,
                };
                let taken = if rendition.as_str() == "video" { &mut self.video } else { &mut self.audio };
                taken.take(output);
            }
            Event::TrackBroke { track, .. } => self.broken.push(track),
            Event::Drained => return true,
            Event::Broke { why } => panic!("broke: {why}"),
        }
        false
    }
}

pub(crate) struct Recorded {
    pub(crate) video: Taken,
    pub(crate) audio: Taken,
    pub(crate) wall: WallTime,
    pub(crate) broken: Vec<TrackId>,
}
