//! The fault matrix: every fault that Lectern promises to survive, injected into a real installation, with what was
//! promised and what was measured (trust.md §4.8).
//!
//! - [`proxy`], [`front`] and [`weather`] do harm: to a TCP line, to a store, to RTP. All in user space, by a seed.
//! - [`campus`] runs the services apart, so that each can be killed, stopped or starved alone.
//! - [`look`] measures what was lost in the film itself, by the wall time that was burnt into what was filmed; [`viewer`]
//!   does the same of a live stream.
//! - [`rows`] are the faults.
//!
//! # Design
//! A row is never held by default: it is `held` when everything that it checks was so, `broken` when anything was not or
//! the row could not be played to its end, and `not-yet` with the missing part's name when Lectern has not that part.
//! What is lost is counted from the picture's way out of the sender, so a figure holds the whole way and errs against
//! us.

pub mod bench;
pub mod campus;
pub mod front;
pub mod look;
pub mod matrix;
pub mod proxy;
mod rows;
pub mod verdict;
pub mod viewer;
pub mod weather;

pub use bench::Bench;
pub use matrix::{Id, Row};
pub use verdict::{Outcome, Verdict};
