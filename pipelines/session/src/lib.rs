//! One worker's stretch (epoch) of a recording as a value: inputs in, actions out, deadlines told. Knows no clock, no
//! socket and no GStreamer; media never passes through it, only ids and facts.
//!
//! ```text
//!  claim -> Joining ---> Lobby ---> Starting ---> Live <------> Rejoining        (lost in passing / joined)
//!             | ^ lost in passing, tries left |   |  \ Shutdown    |
//!             | +-----------------------------+   |   v            |
//!             |                                   | HandingOver    | stop, room ended, limits, removed,
//!             v                                   v   v            v tries spent, disk full, successor live
//!           Ended <---- Storing <---- Draining <------+------------+      (broke: straight to Storing)
//! ```
//!
//! The whole table stands in `tests/table.rs`, row by row; what must hold for any order of inputs in
//! `tests/properties.rs`.
//!
//! # Design
//! The lifecycle is a value (DESIGN D1), so that "stop races with the end of the room" is a unit test of microseconds
//! and a bug report is a file of inputs that `recorder replay` runs again. Delays belong to the machine too: a join or a
//! put that is to be tried again waits in [`Session::deadline`], so whoever drives it performs every action at once.
//! Jitter comes from [`Spec::seed`], never from a random source, or a replay would take another way.
//!
//! Nobody is shown or heard before the platform's recording sign is set (DESIGN D16): [`Meeting::Joined`] says that the
//! sign is set, and [`Action::Start`] comes after it alone.
//!
//! A track that is on trial ([`Caution`]) is known at once but added late, so that what dies then says of what: nobody
//! loses their place by it, and a room in which only such tracks are sent is not a silent one.
//!
//! There is no state for being in a waiting room: no connector tells one apart from joining. A drained pipeline that
//! closed no segment ends as [`Outcome::Empty`], since a complete recording of nothing helps nobody.

mod action;
mod input;
mod machine;
mod moves;
mod people;
mod shelf;
mod spec;
mod state;

pub use action::{Action, News, Release};
pub use input::{Claim, Input, Meeting, Object, Pipeline, Room, Storage};
pub use machine::Session;
pub use spec::{Caution, Limits, Spec, Suspect};
pub use state::{Ending, Fault, Outcome, Reason, State};
