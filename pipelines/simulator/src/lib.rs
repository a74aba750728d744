//! Lectern under one seeded scheduler: workers, a store, rooms, a broker and finalizers in one thread and in simulated
//! time, with whatever a seed lets go wrong. A development tool; nothing of it runs in production.
//!
//! ```text
//! cargo run -p simulator -- --seed 17             tells the story of one seed
//! cargo run -p simulator -- --seed 17 --log DIR   writes it down, with a log of each session for `recorder replay`
//! cargo run -p simulator -- --seeds 0..100000     runs many, and writes down the first that breaks a promise
//! ```
//!
//! `--mistake NAME` plants one of [`Mistake`] in it, to see it found.
//!
//! # What is real and what is a model
//! Real are the rules: `claim::{Claimer, Holder, Watch}`, `session::Session`, `timeline::cover`. A model is what calls
//! them: the recorder's glue (`worker`), the spool (`spool`), the steps of publishing (`finalizer`), the store and the way
//! to it (`store`, `network`), rooms (`room`) and the broker (`world`). Media is segments of 3.2 s that have a number and
//! a place on the wall. A model is kept by hand to what the code that it stands for promises, and may fall behind it; that
//! the code keeps its promise is tested where it stands, against real servers. Not modelled: keys, events, and the next
//! generation that the finalizer makes of what comes late.
//!
//! # What is promised
//! - What has a receipt lies in the store, and is in the film or in a named gap. What the spool of a node that survives
//!   has taken comes into the store. A death costs the open segment and what the disk had not taken.
//! - An epoch that began and left nothing is missed: no film is complete without it, and no recording empty.
//! - One author per published generation; READY only with a manifest, and only if nothing is missing without a name.
//! - No two claims hold one epoch; epochs grow, phases go forward, nothing follows the end but the finalizer's work.
//! - 20 s after the last fault, a recording whose room goes on is recorded again, and by one worker.
//! - Nobody takes a recording from a holder that gave a sign of life within the last seconds in which the store answered.
//! - With time every recording ends, and no bot stays in a room that is over.
//! - No storm: the calls to the store in a minute are bounded.
//!
//! # What is not
//! Epochs are merged on wall time (DESIGN D18). The film is judged on the line that the workers' clocks claim: with a
//! clock that is wrong by minutes, another epoch's media may be taken for the same moment, and be cut. Of a recording
//! whose worker is away with its spool for longer than the finalizer waits, the film names what is missing, and the next
//! generation has it. An epoch that begins while its worker cannot reach the store, and of which nothing
//! has come when the finalizer looks, is known to nobody. Five epochs in a row that store nothing end a recording.

mod check;
mod event;
mod fault;
mod final_film;
mod finalizer;
mod lecture;
mod mistake;
mod network;
mod outside;
mod random;
mod room;
mod scenario;
mod schedule;
mod spool;
mod store;
mod story;
mod sweep;
mod verdict;
mod worker;
mod world;

pub use mistake::Mistake;
pub use network::Spoilt;
pub use story::{SessionLog, Story};
pub use sweep::{Sweep, every_call};

use random::Random;
use scenario::Scenario;
use world::World;

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// The first promise that was broken, and when.
    pub broken: Option<String>,
    /// How the recordings ended, in words.
    pub phases: Vec<String>,
    pub epochs: u32,
    /// Segments that were recorded.
    pub segments: usize,
    /// Calls to the store and writes to disks.
    pub calls: u64,
    pub story: Story,
}

/// Runs one seed. `story`: what happens is told.
#[must_use]
pub fn run(seed: u64, mistake: Option<Mistake>, story: bool) -> Report {
    let mut random = Random::new(seed);
    let scenario = Scenario::of(&mut random);
    play(scenario, random, mistake, story)
}

fn play(scenario: Scenario, random: Random, mistake: Option<Mistake>, story: bool) -> Report {
    let mut world = World::new(scenario, random, mistake, story);
    world.run();
    let out = world.out;
    let records = (0..out.rooms.len()).filter_map(|at| out.store.record(at));
    Report {
        phases: records.clone().map(|record| format!("{:?}", record.phase)).collect(),
        epochs: records.map(|record| record.epoch).sum(),
        segments: out.check.segments.len(),
        calls: out.network.sent,
        broken: out.check.broken,
        story: out.story,
    }
}
