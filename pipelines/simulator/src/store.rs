//! The object store: cells with conditional writes, each applied in one moment. How a call gets there and back, and what
//! is lost on the way, stands in `network`.

use std::collections::BTreeMap;
use std::rc::Rc;

use claim::Record;

use crate::event::Client;
use crate::final_film::Manifest;
use crate::schedule::Micros;
use crate::spool::{Journal, Segment};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// `state.json` of a recording.
    State(usize),
    Init(usize, u32),
    Segment(usize, u32, u64),
    Journal(usize, u32),
    Manifest(usize, u32),
    Signature(usize, u32),
    /// The ledger's word that an epoch begins to capture.
    Begun(usize, u32),
    /// Its word that it has captured nothing.
    Nothing(usize, u32),
}

impl Key {
    pub(crate) fn recording(self) -> usize {
        match self {
            Self::State(of)
            | Self::Init(of, _)
            | Self::Segment(of, ..)
            | Self::Journal(of, _)
            | Self::Manifest(of, _)
            | Self::Signature(of, _)
            | Self::Begun(of, _)
            | Self::Nothing(of, _) => of,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    State(Rc<Record>),
    Init,
    Segment(Segment),
    Journal(Rc<Journal>),
    Manifest(Rc<Manifest>),
    /// Of the manifest with this number.
    Signature(u64),
    /// In the place of a signature: nobody signs what stands there now but the try with this number.
    Fence(u64),
    /// An entry of the ledger.
    Entry,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    Absent,
    Match(Rc<str>),
}

#[derive(Debug, Clone)]
pub(crate) enum Request {
    Get(Key),
    Put(Key, Value, Condition),
    /// The records of all recordings that are not over, or all that are not ready.
    List {
        ended: bool,
    },
    /// All journals and segments of a recording, as they lie there, and its ledger.
    Gather(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Written(Rc<str>),
    Found(Value, Rc<str>),
    Missing,
    Refused,
    Listed(Vec<(usize, Rc<Record>, Rc<str>)>),
    Gathered(Vec<(Key, Value)>),
    /// None came, or none that says anything.
    Unknown,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) from: Client,
    pub(crate) number: u64,
    pub(crate) request: Request,
    pub(crate) sent: Micros,
    /// How long its answer takes; none is lost.
    pub(crate) back: Option<Micros>,
    /// Says that it was written, and it is not.
    pub(crate) lie: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    cells: BTreeMap<Key, (Value, Rc<str>)>,
    writes: u64,
}

impl Store {
    pub(crate) fn get(&self, key: Key) -> Option<&(Value, Rc<str>)> {
        self.cells.get(&key)
    }

    pub(crate) fn record(&self, recording: usize) -> Option<&Rc<Record>> {
        match self.cells.get(&Key::State(recording)) {
            Some((Value::State(record), _)) => Some(record),
            _ => None,
        }
    }

    /// What is read. A write has no answer here.
    pub(crate) fn read(&self, request: &Request) -> Answer {
        match request {
            Request::Get(key) => match self.cells.get(key) {
                Some((value, etag)) => Answer::Found(value.clone(), etag.clone()),
                None => Answer::Missing,
            },
            Request::List { ended } => {
                let states = self.cells.range(Key::State(0)..Key::Init(0, 0));
                let all = states.filter_map(|(key, (value, etag))| match value {
                    Value::State(record) if record.phase.open() || (*ended && record.phase == claim::Phase::Ended) => {
                        Some((key.recording(), record.clone(), etag.clone()))
                    }
                    _ => None,
                });
                Answer::Listed(all.collect())
            }
            Request::Gather(recording) => {
                let segments = Key::Segment(*recording, 0, 0)..Key::Segment(*recording + 1, 0, 0);
                let journals = Key::Journal(*recording, 0)..Key::Journal(*recording + 1, 0);
                let begun = Key::Begun(*recording, 0)..Key::Begun(*recording + 1, 0);
                let nothing = Key::Nothing(*recording, 0)..Key::Nothing(*recording + 1, 0);
                let all = [segments, journals, begun, nothing].map(|keys| self.cells.range(keys));
                let all = all.into_iter().flatten();
                Answer::Gathered(all.map(|(key, (value, _))| (*key, value.clone())).collect())
            }
            Request::Put(..) => Answer::Unknown,
        }
    }

    /// Whether a write with this condition may happen now.
    pub(crate) fn allows(&self, key: Key, condition: &Condition) -> bool {
        match (condition, self.cells.get(&key)) {
            (Condition::None, _) | (Condition::Absent, None) => true,
            (Condition::Match(etag), Some((_, standing))) => etag == standing,
            (Condition::Absent, Some(_)) | (Condition::Match(_), None) => false,
        }
    }

    pub(crate) fn etag(&mut self) -> Rc<str> {
        self.writes += 1;
        Rc::from(format!("{:x}", self.writes))
    }

    pub(crate) fn put(&mut self, key: Key, value: Value, etag: Rc<str>) {
        self.cells.insert(key, (value, etag));
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.cells.iter().map(|(key, (value, _))| (key, value))
    }
}
