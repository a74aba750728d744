//! Who holds a recording: the record that lies in the store as `state.json`, and the rules by which it may change.
//! Rules only; the store does the compare-and-swap. Holds no personal data.
//!
//! ```text
//! Claimer   makes a recording ours: creates the record, takes one that is offered, takes one over
//! Holder    keeps it ours: signs of life, phases, the offer; notices that it is another's
//! Watch     sees whose holder has gone silent
//! ```
//!
//! # Design
//! The message that asks for a recording is a trigger, never the ownership (DESIGN D2). A worker creates the record
//! where none was, takes one that its holder has offered, or takes one over whose holder is silent; each is one
//! conditional write, so of any number of workers one wins. An owner is a random word of one attempt to claim: a worker
//! whose write's answer was lost reads the record back and knows by its own word whether it won.
//!
//! Epochs only grow, and phases only go forward; a record that says otherwise was not written by these rules. What a
//! worker stores lies under its own epoch, so two workers that both believe to hold a recording cost an overlap, which
//! the finalizer cuts, and never a lecture.
//!
//! [`Claimer`] and [`Holder`] are values that say what to [`Ask`] of the store and are told what it [`Answer`]s. The
//! recorder performs them over S3; the simulator performs the very same ones over a store that delays, loses replies,
//! ignores conditions and lies. Neither compares clocks of two machines: silence is measured by whoever listens.

mod claimer;
mod holder;
mod record;
mod watch;

pub use claimer::{Claimed, Claimer};
pub use holder::{Change, Heard, Holder};
pub use record::{EPOCHS, Phase, RESUMED, Record, Refused, TRIES};
pub use watch::{PATIENCE, Watch};

/// What a rule asks of the one cell that holds a record. Etags are opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Read,
    /// Write where nothing is.
    Create(Box<Record>),
    /// Write in the place of what has `etag`.
    Swap {
        next: Box<Record>,
        etag: String,
    },
}

/// What the store says to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was written, and has this etag now.
    Written(String),
    Found(Box<Record>, String),
    /// There is nothing to read.
    Missing,
    /// The condition did not hold.
    Refused,
    /// No answer, or none that says so: what was asked may have happened, or may yet happen.
    Unknown,
}
