//! The one thread that owns the pipeline. Whatever changes it comes in by one channel and is done in order, so that
//! nothing races and no caller and no streaming thread ever waits for a state change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use layout::Scene;
use media::{TrackId, WallTime};
use tokio::sync::mpsc::UnboundedSender;

use crate::Event;
use crate::gate::Gate;
use crate::stage::{Broken, Owner, Stage};

/// A pipeline without tracks starts in milliseconds.
const START_WITHIN: Duration = Duration::from_secs(10);
/// From one part to the next while draining. What is queued is a second long, unless the machine is too slow; then a
/// drain may take longer, as long as it gets on.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Parts come every half second; a machine that makes none for this long makes none.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// What the control thread is told.
pub(crate) enum Input {
    Add(TrackId, Arc<Gate>),
    Drop(TrackId),
    Arrange(Scene),
    Drain,
    Kill,
    /// One of the two mixers has given out its first frame.
    FirstFrame,
    /// The arrangement is in force.
    Moved,
    /// The packager met something it cannot use.
    Broke(String),
    Graph(graph::Event),
}

pub(crate) struct Control {
    pub(crate) pipeline: graph::Pipeline,
    pub(crate) stage: Stage,
    pub(crate) time: graph::Timebase,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) zero: WallTime,
    /// Parts made so far.
    pub(crate) produced: Arc<AtomicU64>,
    pub(crate) phase: Phase,
}

pub(crate) enum Phase {
    /// Waiting for the first frame of both mixers; branches that join before it would decide when time begins.
    Starting {
        frames: u8,
        waiting: Vec<Input>,
    },
    /// This many parts had been made at that time.
    Playing {
        parts: u64,
        since: Instant,
    },
    Draining {
        parts: u64,
        since: Instant,
    },
    /// Drained or broken: nothing more comes out.
    Over,
}

impl Control {
    /// Runs until killed, or until every handle is gone.
    pub(crate) fn run(mut self, inputs: &Receiver<Input>) {
        if let Err(error) = self.pipeline.play(START_WITHIN) {
            self.broke(error.to_string());
        }
        loop {
            let input = match self.deadline() {
                Some(at) => inputs.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match input {
                Ok(Input::Kill) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(input) => self.handle(input),
                Err(RecvTimeoutError::Timeout) => self.late(),
            }
        }
        self.stage.close();
        if let Err(error) = self.pipeline.stop_now(STOP_WITHIN) {
            tracing::error!(%error, "the compositor's pipeline did not stop");
        }
    }

    fn handle(&mut self, input: Input) {
        if let Phase::Starting { waiting, .. } = &mut self.phase
            && matches!(input, Input::Add(..) | Input::Drop(_) | Input::Arrange(_))
        {
            waiting.push(input);
            return;
        }
        match input {
            Input::Add(track, gate) => {
                let broken = self.stage.add(track, gate);
                self.tell_broken(broken);
            }
            Input::Drop(track) => self.stage.remove(&track),
            Input::Arrange(scene) => {
                let broken = self.stage.arrange(scene);
                self.tell_broken(broken);
            }
            Input::Drain => self.drain(),
            Input::FirstFrame => self.first_frame(),
            Input::Moved => self.stage.moved(),
            Input::Broke(why) => self.broke(why),
            Input::Graph(event) => self.graph(event),
            Input::Kill => {}
        }
    }

    fn graph(&mut self, event: graph::Event) {
        match event {
            graph::Event::Error { node, what } => {
                match node.as_ref().map_or(Owner::Core, |node| self.stage.owner(node)) {
                    Owner::Track(track) => {
                        let broken = self.stage.give_up(track, &what);
                        self.tell_broken(vec![broken]);
                    }
                    Owner::Nobody => tracing::debug!(%what, "an element that is not needed any more failed"),
                    Owner::Core => self.broke(what),
                }
            }
            graph::Event::Eos => match self.phase {
                Phase::Draining { .. } => {
                    self.phase = Phase::Over;
                    self.tell(Event::Drained);
                }
                Phase::Over => {}
                Phase::Starting { .. } | Phase::Playing { .. } => self.broke("the streams ended by themselves".into()),
            },
            graph::Event::Latency => self.pipeline.spread_latency(),
            graph::Event::State(_) => {}
        }
    }

    fn first_frame(&mut self) {
        let Phase::Starting { frames, waiting } = &mut self.phase else { return };
        *frames += 1;
        if *frames < 2 {
            return;
        }
        let waiting = std::mem::take(waiting);
        self.phase = Phase::Playing { parts: 0, since: Instant::now() };
        self.tell(Event::Playing { wall: self.zero });
        for input in waiting {
            self.handle(input);
        }
    }

    fn drain(&mut self) {
        match self.phase {
            Phase::Starting { .. } | Phase::Playing { .. } => {
                let parts = self.produced.load(Ordering::Relaxed);
                self.phase = Phase::Draining { parts, since: Instant::now() };
                self.stage.end(self.time.now());
            }
            Phase::Draining { .. } | Phase::Over => {}
        }
    }

    /// When [`Control::late`] has something to say.
    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { .. } | Phase::Over => None,
            Phase::Playing { since, .. } => Some(since + LONGEST_SILENCE),
            Phase::Draining { since, .. } => Some(since + DRAIN_WITHIN),
        }
    }

    fn late(&mut self) {
        let limit = if matches!(self.phase, Phase::Draining { .. }) { DRAIN_WITHIN } else { LONGEST_SILENCE };
        let made = self.produced.load(Ordering::Relaxed);
        match &mut self.phase {
            Phase::Playing { parts, since } | Phase::Draining { parts, since } if made > *parts => {
                (*parts, *since) = (made, Instant::now());
            }
            Phase::Playing { .. } | Phase::Draining { .. } => {
                self.broke(format!("no part was made for {limit:?}; the machine is overloaded, or an encoder hangs"));
            }
            Phase::Starting { .. } | Phase::Over => {}
        }
    }

    fn broke(&mut self, why: String) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.pipeline.dump("broke");
        self.tell(Event::Broke { why });
    }

    fn tell_broken(&self, broken: Vec<Broken>) {
        for Broken { track, why } in broken {
            self.tell(Event::TrackBroke { track, why });
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more: the owner is about to kill us.
        let _ = self.events.send(event);
    }
}
