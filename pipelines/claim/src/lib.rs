//! Who holds a recording: the record that lies in the store as `state.json`, and the rules by which it may change.
//! Rules only; the store does the compare-and-swap. Holds no personal data.
//!
//! # Design
//! The message that asks for a recording is a trigger, never the ownership (DESIGN D2). A worker creates the record
//! where none was, or takes one that its holder has offered; both are one conditional write, so of any number of
//! workers one wins. An owner is a random word of one attempt to claim: a worker whose write's answer was lost reads the
//! record back and knows by its own word whether it won.
//!
//! Epochs only grow, and phases only go forward; a record that says otherwise was not written by these rules.

mod record;

pub use record::{EPOCHS, Phase, Record, Refused};
