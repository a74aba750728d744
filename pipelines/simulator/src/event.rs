//! All that can happen in the simulated world.

use session::{Input, Object, Room};

use crate::fault::Fault;
use crate::room::Bot;
use crate::schedule::Micros;
use crate::store::{Answer, Call};

/// A program in one of its lives: what was meant for an earlier one is not heard by the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Worker(usize, u32),
    Finalizer(usize, u32),
}

#[derive(Debug)]
pub(crate) enum Event {
    /// A call reaches the store.
    Reach(Box<Call>),
    /// It is answered, or given up.
    Answer(Client, u64, Answer),
    Worker(usize, u32, Wake),
    Finalizer(usize, u32, Step),
    /// The broker has this for somebody.
    Post(Letter),
    /// Something happens in a room.
    Room(usize, Happening),
    Enter(usize, Bot),
    Begin(Fault),
    End(Fault),
    /// The last fault is over, and everybody has had the time to find back.
    Recovered,
    /// A second has passed.
    Tick,
    /// Bots that are still in a room that is over have had the time to leave.
    Deserted,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Letter {
    /// `recording.requested`.
    Request(usize),
    /// `epoch.stored`, the last one.
    Stored(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    Come(u32),
    Go(u32),
    /// The run is over; whether the platform closes the room as well.
    End {
        closes: bool,
    },
    Stop,
}

/// What wakes a worker. Jobs and claims are told by number.
#[derive(Debug)]
pub(crate) enum Wake {
    /// Asks for work, for the first time in this life.
    Boot,
    Orphans,
    Request(usize),
    /// Said about a recording's room from outside.
    News(usize, Room),
    Look,
    Claim(u32),
    Adopt(usize, String),
    Beat(u32),
    Hold(u32),
    /// The ledger does not know yet what became of this job's epoch.
    Ledger(u32),
    Poll(u32),
    /// The session wanted to be woken then.
    Deadline(u32, Micros),
    /// From the meeting, in this attempt to join.
    Heard(u32, u32, Input),
    Playing(u32),
    /// The open segment is full.
    Full(u32, u64),
    Drained(u32),
    /// The disk has an object, or has refused it.
    Written(u32, Object),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Steward,
    Begin(usize),
    /// Goes on after a pause.
    On(u32),
}
