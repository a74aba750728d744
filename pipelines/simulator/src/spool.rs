//! A model of what a worker keeps on its node: sealed objects, durable once written, and whom it worked for. Survives
//! the death of every process; goes with the node.

use std::collections::BTreeMap;

use crate::store::{Key, Value};

/// One segment as the wall clock of its worker placed it. Its bytes are its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// One of all segments that were ever closed.
    pub(crate) id: u64,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// An epoch's receipts, and what it could not record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    pub(crate) entries: BTreeMap<u64, Segment>,
    pub(crate) gaps: Vec<(i64, i64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<Key, Value>,
    /// The recordings that this worker holds, each with its owner's word.
    pub(crate) notes: Vec<(usize, String)>,
    pub(crate) full: bool,
}
