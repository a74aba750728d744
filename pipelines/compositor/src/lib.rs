//! GStreamer policy: tracks and a scene in, encoded segments and parts out, never a gap in the output. Decides nothing
//! about who is shown; stores and sends nothing; nothing it holds ever touches a disk.
//!
//! # Design
//! **One pipeline, one owner.** A control thread builds, changes and stops it; callers and streaming threads only send
//! it word. Two sources that never stop, black and silence, feed the two mixers, so output is a matter of the clock
//! alone: frame *n* follows frame *n-1* by exactly one step, late or not, and whatever a track does can at most change
//! what is on it. When the machine is too slow, output falls behind the clock but keeps every frame.
//!
//! **A track is a branch.** Each decodes on its own thread, in its own bin. An error from inside a bin takes that bin
//! out and nothing else. A picture without a tile has no branch, so it costs nothing; it needs a key frame to come back.
//!
//! **The grid.** 16 pictures at 30 a second last exactly as long as 25 AAC frames at 48 kHz, so parts and segments of
//! sound and picture are cut by counting frames, and begin at the same instants for ever (DESIGN D9). The AAC encoder
//! puts one frame (21.3 ms) of priming before its input. Sound is therefore captured one frame later than picture and
//! stamped as if it were not: what is heard at a position was said at that position, the first frame of a recording is
//! silence, and there is no edit list for a player to ignore.
//!
//! **Rate.** x264 runs at constant quality under a ceiling (`video_kbps`, evened out over 1.6 s), not at a constant
//! rate: a slide that stands still costs next to nothing to encode, to store and to send.

mod branch;
mod control;
mod elements;
mod encode;
mod gate;
mod grid;
mod label;
mod pace;
mod package;
mod sizes;
mod stage;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use graph::Timebase;
use layout::Scene;
use media::{FrameSink, Output, PipelineSpec, Rendition, RunningTime, Track, TrackId, WallTime};

use crate::control::{Control, Input, Phase};
use crate::encode::{Core, Ears};
use crate::gate::Gate;
use crate::grid::Grid;
use crate::pace::Pace;
use crate::package::Packager;
use crate::stage::Stage;

pub use elements::{check, keep_only_needed};

/// About what a pipeline without tracks takes to start. A start that takes longer makes the first frames late, no more.
const START_NS: u64 = 50_000_000;

/// A compositor could not be built or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Element and Debian package.
    #[error("GStreamer lacks {}; apt-get install {}", elements(.0), packages(.0))]
    Missing(Vec<(&'static str, &'static str)>),
    #[error("a canvas of {0}x{1} cannot be encoded; choose even sides from 64 to 4096")]
    Canvas(u32, u32),
    #[error("{0} frames a second fit no grid of sound and picture; choose a multiple of 5 up to 60, such as 25 or 30")]
    FrameRate(u32),
    #[error("x264 has no preset \"{0}\"; choose one from ultrafast to slow, such as veryfast")]
    Preset(String),
    #[error("a GStreamer element cannot be built or linked")]
    Build(#[from] gstreamer::glib::BoolError),
    #[error("a branch cannot be linked to its mixer")]
    Pad,
    #[error("a branch does not stop")]
    State(#[from] graph::StateError),
    #[error("GStreamer does not start")]
    Init(#[from] graph::InitError),
    #[error("no thread for the compositor")]
    Thread(#[from] std::io::Error),
}

fn elements(missing: &[(&str, &str)]) -> String {
    missing.iter().map(|(element, _)| *element).collect::<Vec<_>>().join(", ")
}

fn packages(missing: &[(&str, &str)]) -> String {
    let packages: BTreeSet<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.into_iter().collect::<Vec<_>>().join(" ")
}

/// Whether `spec` can be encoded at all.
///
/// # Errors
/// With what to choose instead.
pub fn judge(spec: &PipelineSpec) -> Result<(), Error> {
    fits(spec).map(drop)
}

fn fits(spec: &PipelineSpec) -> Result<Grid, Error> {
    let canvas = spec.canvas;
    let side = |side: u32| (64..=4096).contains(&side) && side.is_multiple_of(2);
    if !side(canvas.width) || !side(canvas.height) {
        return Err(Error::Canvas(canvas.width, canvas.height));
    }
    if !encode::PRESETS.split(' ').any(|preset| preset == spec.preset) {
        return Err(Error::Preset(spec.preset.clone()));
    }
    Grid::of(canvas.fps).ok_or(Error::FrameRate(canvas.fps))
}

/// What a running compositor tells.
#[derive(Debug)]
pub enum Event {
    /// Frames flow; the epoch's time zero is `wall`.
    Playing {
        wall: WallTime,
    },
    Output(Output),
    /// A track's branch failed and was removed; the recording goes on. Its frames are dropped until it is added anew.
    TrackBroke {
        track: TrackId,
        why: String,
    },
    /// Every part has been given out.
    Drained,
    /// Nothing more comes out. What was given out before is whole.
    Broke {
        why: String,
    },
}

/// A running compositor. Dropping it stops it at once, as [`Compositor::kill`] does.
#[derive(Debug)]
pub struct Compositor {
    tell: Sender<Input>,
    gates: Mutex<HashMap<TrackId, Arc<Gate>>>,
    thread: Option<JoinHandle<()>>,
}

impl Compositor {
    /// Builds and starts; returns at once. Events arrive on `events` (unbounded: parts are never dropped).
    ///
    /// # Errors
    /// When `spec` cannot be encoded, or an element is not installed.
    pub fn start(
        spec: &PipelineSpec,
        time: &Timebase,
        events: tokio::sync::mpsc::UnboundedSender<Event>,
    ) -> Result<Self, Error> {
        check()?;
        elements::register()?;
        let (canvas, grid) = (spec.canvas, fits(spec)?);
        let (zero, wall) = zero(time);

        let (tell, inputs) = channel();
        let send = |tell: &Sender<Input>| {
            let tell = tell.clone();
            // A closed channel means that the control thread is gone, and the pipeline with it.
            move |input| drop(tell.send(input))
        };
        let on_graph = send(&tell);
        let pipeline = graph::Pipeline::telling("compositor", time, move |event| on_graph(Input::Graph(event)));
        let produced = Arc::new(AtomicU64::new(0));
        let (on_frame, on_broken, on_move) = (send(&tell), send(&tell), send(&tell));
        let ears = Arc::new(Ears {
            first_frame: Box::new(move || on_frame(Input::FirstFrame)),
            broke: Box::new(move |why| on_broken(Input::Broke(why))),
            events: events.clone(),
            produced: Arc::clone(&produced),
        });
        let packagers = (
            Packager::new(Rendition::video(), Some(canvas), grid.video, wall),
            Packager::new(Rendition::audio(), None, grid.audio, wall),
        );
        let core = Core::build(pipeline.gst(), spec, grid, zero, packagers, &ears)?;
        let pace = Arc::new(Pace::new(time));
        let stage = Stage::new(pipeline.gst().clone(), core, pace, move || on_move(Input::Moved));
        let phase = Phase::Starting { frames: 0, waiting: Vec::new() };
        let control = Control { pipeline, stage, time: time.clone(), events, zero: wall, produced, phase };
        let thread = std::thread::Builder::new().name("compositor".into()).spawn(move || control.run(&inputs))?;
        Ok(Self { tell, gates: Mutex::default(), thread: Some(thread) })
    }

    /// Opens a branch for `track`; its frames go into the returned sink. A sound track is heard from now on; a picture
    /// is decoded while a scene has a tile for it, from its next key frame on: whoever shows it asks for one.
    ///
    /// Called again for the same track it gives another sink for it, and tries a track that broke anew.
    ///
    /// # Errors
    /// None at present; a branch that cannot be built is told by [`Event::TrackBroke`].
    pub fn add_track(&self, track: &Track) -> Result<FrameSink, Error> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = match gates.entry(track.id.clone()) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => Arc::clone(new.insert(Gate::new(track.codec))),
        };
        self.send(Input::Add(track.id.clone(), Arc::clone(&gate)));
        Ok(gate.sink())
    }

    /// Ends `track`. Frames that still come for it are dropped.
    pub fn drop_track(&self, track: &TrackId) {
        if let Some(gate) = self.gates.lock().unwrap_or_else(PoisonError::into_inner).remove(track) {
            gate.close();
        }
        self.send(Input::Drop(track.clone()));
    }

    /// Shows `scene` from the next frame on. Tracks without a tile are heard but not seen.
    pub fn arrange(&self, scene: &Scene) {
        self.send(Input::Arrange(scene.clone()));
    }

    /// Sends EOS; `Event::Drained` follows, or `Event::Broke` once no part has been made for 10 s.
    pub fn drain(&self) {
        self.send(Input::Drain);
    }

    /// Stops without draining. Blocks until the pipeline has stopped: milliseconds, at most 5 s.
    pub fn kill(self) {}

    fn send(&self, input: Input) {
        // A closed channel means that the control thread is gone; it has told why.
        let _ = self.tell.send(input);
    }
}

impl Drop for Compositor {
    fn drop(&mut self) {
        self.send(Input::Kill);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the compositor's thread panicked");
        }
    }
}

/// The running time of position zero, a whole millisecond (and so a whole sample), and its wall time.
fn zero(time: &Timebase) -> (RunningTime, WallTime) {
    let (now, wall) = (time.now(), WallTime::from_system(SystemTime::now()));
    let zero = RunningTime((now.0 + START_NS).next_multiple_of(1_000_000));
    (zero, wall.plus(zero.since(now)))
}
