//! Who is on the canvas now, and how that changes between two frames.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer::prelude::*;
use gstreamer::{Object, Pad, PadProbeReturn, PadProbeType};
use layout::{Rect, Scene};
use media::{Codec, ParticipantId, RunningTime, TrackId};

use crate::branch::{self, Branch, Card, Picture};
use crate::encode::{Core, int};
use crate::gate::Gate;
use crate::pace::Pace;

/// A track's branch could not be built, or failed.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) track: TrackId,
    pub(crate) why: String,
}

/// Whose element failed.
pub(crate) enum Owner {
    Track(TrackId),
    /// One that is leaving or gone, or a card: nothing that anyone would miss.
    Nobody,
    Core,
}

/// All branches of the running pipeline.
#[derive(Debug)]
pub(crate) struct Stage {
    pipeline: gstreamer::Pipeline,
    core: Core,
    mover: Arc<Mover>,
    pace: Arc<Pace>,
    gates: HashMap<TrackId, Arc<Gate>>,
    /// Not tried again until they are added anew.
    broken: HashSet<TrackId>,
    sounds: HashMap<TrackId, Branch>,
    pictures: HashMap<TrackId, Picture>,
    cards: BTreeMap<(ParticipantId, Option<TrackId>), Card>,
    leaving: Vec<Branch>,
    scene: Option<Scene>,
}

impl Stage {
    /// `moved` is called on the streaming thread when a new arrangement is in force.
    pub(crate) fn new(
        pipeline: gstreamer::Pipeline,
        core: Core,
        pace: Arc<Pace>,
        moved: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let mover = Mover::between_frames_of(&core.compositor, Arc::clone(&pace), moved);
        Self {
            pipeline,
            core,
            mover,
            pace,
            gates: HashMap::new(),
            broken: HashSet::new(),
            sounds: HashMap::new(),
            pictures: HashMap::new(),
            cards: BTreeMap::new(),
            leaving: Vec::new(),
            scene: None,
        }
    }

    /// Takes a track in: sound is heard at once, a picture is seen once a scene has a tile for it.
    pub(crate) fn add(&mut self, track: TrackId, gate: Arc<Gate>) -> Vec<Broken> {
        self.broken.remove(&track);
        if gate.codec() == Codec::Opus {
            let missing = !self.sounds.contains_key(&track);
            if missing {
                match branch::sound(&self.pipeline, &self.core.mixer) {
                    Ok((branch, source)) => {
                        gate.open(source);
                        self.sounds.insert(track.clone(), branch);
                    }
                    Err(error) => return vec![self.give_up(track, &error.to_string())],
                }
            }
            self.gates.insert(track, gate);
            return Vec::new();
        }
        self.gates.insert(track, gate);
        match self.scene.clone() {
            Some(scene) => self.arrange(scene),
            None => Vec::new(),
        }
    }

    /// Forgets a track.
    pub(crate) fn remove(&mut self, track: &TrackId) {
        self.broken.remove(track);
        if let Some(gate) = self.gates.remove(track) {
            gate.close();
        }
        let picture = self.pictures.remove(track).map(|picture| picture.branch);
        for branch in self.sounds.remove(track).into_iter().chain(picture) {
            self.dismiss(branch);
        }
    }

    /// Shows `scene`: all tiles move between the same two frames. Tracks without a tile stop being decoded.
    pub(crate) fn arrange(&mut self, scene: Scene) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut moves = Vec::new();
        let mut cards = std::mem::take(&mut self.cards);
        let mut pictures = std::mem::take(&mut self.pictures);
        for tile in &scene.tiles {
            let key = (tile.participant.clone(), tile.track.clone());
            let card = match cards.remove(&key) {
                Some(card) if card.suits(tile.place, &tile.label) => Ok(card),
                other => {
                    self.leaving.extend(other.map(|card| card.branch));
                    Card::join(&self.pipeline, &self.core.compositor, tile.place, &tile.label)
                }
            };
            match card {
                Ok(card) => {
                    moves.push((card.branch.pad.clone(), Some(tile.place)));
                    self.cards.insert(key, card);
                }
                Err(error) => tracing::warn!(%error, "a tile has no card"),
            }
            let Some(track) = tile.track.clone().filter(|track| !self.broken.contains(track)) else { continue };
            let Some(gate) = self.gates.get(&track).filter(|gate| gate.codec() != Codec::Opus) else { continue };
            let picture = match pictures.remove(&track) {
                Some(picture) => {
                    picture.fit(tile.place, &tile.label);
                    Ok(picture)
                }
                None => {
                    let codec = (gate.codec(), &self.pace);
                    let mixer = &self.core.compositor;
                    let joined = Picture::join(&self.pipeline, mixer, codec, tile.place, &tile.label);
                    joined.map(|(picture, source)| {
                        gate.open(source);
                        picture
                    })
                }
            };
            match picture {
                Ok(picture) => {
                    moves.push((picture.branch.pad.clone(), Some(tile.place)));
                    self.pictures.insert(track, picture);
                }
                Err(error) => broken.push(self.give_up(track, &error.to_string())),
            }
        }
        for track in pictures.keys() {
            if let Some(gate) = self.gates.get(track) {
                gate.close();
            }
        }
        self.leaving.extend(cards.into_values().map(|card| card.branch));
        self.leaving.extend(pictures.into_values().map(|picture| picture.branch));
        moves.extend(self.leaving.iter().map(|branch| (branch.pad.clone(), None)));
        self.scene = Some(scene);
        self.mover.set(moves);
        broken
    }

    /// The last arrangement is in force: what it no longer shows can go.
    pub(crate) fn moved(&mut self) {
        for branch in std::mem::take(&mut self.leaving) {
            self.dismiss(branch);
        }
    }

    /// Whose element `node` is.
    pub(crate) fn owner(&self, node: &Object) -> Owner {
        let sounds = self.sounds.iter();
        let pictures = self.pictures.iter().map(|(track, picture)| (track, &picture.branch));
        if let Some((track, _)) = sounds.chain(pictures).find(|(_, branch)| branch.owns(node)) {
            return Owner::Track(track.clone());
        }
        let cards = self.cards.values().map(|card| &card.branch);
        let spare = cards.chain(&self.leaving).any(|branch| branch.owns(node));
        if spare || !node.has_as_ancestor(&self.pipeline) { Owner::Nobody } else { Owner::Core }
    }

    /// Takes a failed track's branch out; its frames are dropped until it is added anew.
    pub(crate) fn give_up(&mut self, track: TrackId, why: &str) -> Broken {
        let gate = self.gates.get(&track).cloned();
        self.remove(&track);
        self.gates.extend(gate.map(|gate| (track.clone(), gate)));
        self.broken.insert(track.clone());
        Broken { track, why: why.to_owned() }
    }

    /// Ends the recording at `at`; the pipeline's EOS follows when all up to there has come out.
    pub(crate) fn end(&self, at: RunningTime) {
        for gate in self.gates.values() {
            gate.end();
        }
        self.core.end(at);
    }

    /// Drops all frames from now on.
    pub(crate) fn close(&self) {
        for gate in self.gates.values() {
            gate.close();
        }
    }

    fn dismiss(&self, branch: Branch) {
        if let Err(error) = branch.leave(&self.pipeline) {
            tracing::error!(%error, "a branch did not leave in order");
        }
    }
}

/// Moves the compositor's pads on its own thread, after one frame and before the next.
#[derive(Debug)]
struct Mover {
    next: Mutex<Vec<(Pad, Option<Rect>)>>,
}

impl Mover {
    fn between_frames_of(
        compositor: &gstreamer::Element,
        pace: Arc<Pace>,
        moved: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let mover = Arc::new(Self { next: Mutex::default() });
        let on_thread = Arc::clone(&mover);
        if let Some(pad) = compositor.static_pad("src") {
            pad.add_probe(PadProbeType::BUFFER, move |_, info| {
                if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) {
                    pace.composed(RunningTime(pts.nseconds()));
                }
                if on_thread.apply() {
                    moved();
                }
                PadProbeReturn::Ok
            });
        }
        mover
    }

    /// Replaces what was not applied yet: each arrangement is complete.
    fn set(&self, moves: Vec<(Pad, Option<Rect>)>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = moves;
    }

    fn apply(&self) -> bool {
        let moves = std::mem::take(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner));
        for (pad, place) in &moves {
            if let Some(place) = place {
                for (name, value) in
                    [("xpos", place.x), ("ypos", place.y), ("width", place.width), ("height", place.height)]
                {
                    pad.set_property(name, int(value));
                }
            }
            pad.set_property("alpha", if place.is_some() { 1.0 } else { 0.0_f64 });
        }
        !moves.is_empty()
    }
}
