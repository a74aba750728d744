//! From parts to receipts: puts a segment's parts together, seals it, spools it, uploads it, and notes the receipt in the
//! epoch's journal. Decides nothing about when to try again: a failed try is told, and the session asks again.
//!
//! # Design
//! Plaintext lives in memory from its part to its seal, a segment's length. From then on there is ciphertext alone: on
//! disk, durable before anything is uploaded, or in memory should the disk refuse. What the disk then spoils is a gap that
//! the journal names, and holds up nothing else.
//!
//! As the spool fills, what it takes grows less ([`storage::spool::Level`]): pictures go first, each a gap unless the
//! store takes it at once; sound is kept to the last; and the session is told to end while there is room for the end.

mod way;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use media::{Init, MediaTime, Part, PipelineSpec, Rendition, SegmentClosed, Source, WallTime};
use session::{Object, Storage, Suspect};
use storage::clock;
use storage::journal::{Entry, Gap, RenditionInfo};
use storage::{Journal, Receipt, RecordingPath, SealKey, Spool, Store, StoreError};
use tokio::task::{Id, JoinSet};
use tracing::{Instrument, error, warn};

use self::way::{CUT, Failed, Kind, Lot, SPOILT, Way};
use crate::faults;

/// A segment of 3.2 s at a hundred times our bitrate. Beyond it the media process is not sane.
const LONGEST: usize = 64 << 20;

/// More than any ladder of qualities has rungs.
const RENDITIONS: usize = 16;

/// The media process made something that no compositor of ours makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the media process sent what does not fit: {0}")]
pub(crate) struct Odd(&'static str);

/// Where everything of one epoch goes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: RecordingPath,
    pub(crate) epoch: u32,
    pub(crate) key: SealKey,
    pub(crate) store: Store,
    pub(crate) spool: Spool,
}

impl Place {
    /// The session's inputs, to be replayed.
    pub(crate) fn log_key(&self) -> String {
        format!("{}meta/{:04}/inputs.jsonl.age", self.path.prefix(), self.epoch)
    }

    fn key(&self, object: &Object) -> String {
        match object {
            Object::Init(rendition) => self.path.init(self.epoch, rendition),
            Object::Segment(rendition, number) => self.path.segment(self.epoch, rendition, *number),
            Object::Journal => self.path.journal(self.epoch),
        }
    }
}

/// One epoch's memory of what was made, tried and stored.
pub(crate) struct Keeper {
    way: Arc<Way>,
    open: BTreeMap<Rendition, Open>,
    facts: BTreeMap<Object, Fact>,
    /// Whole, and not yet asked to be stored.
    fresh: BTreeMap<Object, Vec<Bytes>>,
    /// Sealed, tried, and not stored.
    held: BTreeMap<Object, VecDeque<Lot>>,
    tries: JoinSet<Result<Receipt, Failed>>,
    /// What each try is of.
    tried: HashMap<Id, Object>,
    journal: Journal,
    captured: bool,
    heard: bool,
    whole: bool,
    /// The session was told that the spool is full.
    full: bool,
}

/// A segment whose parts still come.
#[derive(Default)]
struct Open {
    number: u64,
    parts: Vec<Bytes>,
    size: usize,
}

/// What the journal will say about an object.
enum Fact {
    Init(Init),
    Segment(SegmentClosed),
}

impl Keeper {
    pub(crate) fn new(place: Place, spec: PipelineSpec, now: WallTime) -> Self {
        let journal = Journal {
            recording: place.path.recording,
            epoch: place.epoch,
            began: now,
            ended: now,
            spec,
            entries: Vec::new(),
            gaps: Vec::new(),
            closed: BTreeMap::new(),
            renditions: Vec::new(),
        };
        Self {
            way: Arc::new(Way::new(place)),
            open: BTreeMap::new(),
            facts: BTreeMap::new(),
            fresh: BTreeMap::new(),
            held: BTreeMap::new(),
            tries: JoinSet::new(),
            tried: HashMap::new(),
            journal,
            captured: false,
            heard: false,
            whole: false,
            full: false,
        }
    }

    /// The pipeline's time zero.
    pub(crate) fn began(&mut self, wall: WallTime) {
        self.journal.began = wall;
    }

    /// A stretch in which nobody of the room could be recorded.
    pub(crate) fn gap(&mut self, from: WallTime, to: WallTime, why: &str) {
        let at = |wall: WallTime| MediaTime::default().plus(wall.since(self.journal.began));
        self.journal.gaps.push(Gap { from: at(from), to: at(to), why: why.into() });
    }

    /// Nobody goes on with this recording, and its last segment was never closed: what was in it is a gap.
    pub(crate) fn cut_off(&mut self, to: WallTime) {
        if self.open.values().any(|open| !open.parts.is_empty()) {
            let ends = self.journal.entries.iter().map(|entry| entry.begins.plus(entry.lasts));
            let closed = self.facts.values().filter_map(|fact| match fact {
                Fact::Segment(closed) => Some(closed.begins.plus(closed.lasts)),
                Fact::Init(_) => None,
            });
            let from = ends.chain(closed).max().unwrap_or_default();
            let to = MediaTime::default().plus(to.since(self.journal.began)).max(from);
            self.journal.gaps.push(Gap { from, to, why: "the last segment was never closed".into() });
            // Named once, however often the journal is made.
            self.open.values_mut().for_each(|open| open.parts.clear());
        }
    }

    /// A track is not recorded any more, to the end of the recording.
    pub(crate) fn shunned(&mut self, suspect: &Suspect, from: WallTime) {
        let what = match suspect.source {
            Source::Camera => "camera",
            Source::Microphone => "microphone",
            Source::Screen => "screen",
            Source::ScreenAudio => "screen's sound",
        };
        let why = format!("a participant's {what} is left out from here on: it killed the media process");
        self.gap(from, from, &why);
    }

    /// At least one segment was closed.
    pub(crate) fn captured(&self) -> bool {
        self.captured
    }

    /// The media process sent a part, whatever became of it.
    pub(crate) fn heard(&self) -> bool {
        self.heard
    }

    /// The epoch lies in the store, journal and all.
    pub(crate) fn whole(&self) -> bool {
        self.whole
    }

    /// # Errors
    /// When a rendition begins twice, or there are too many.
    pub(crate) fn init(&mut self, init: Init) -> Result<(), Odd> {
        let object = Object::Init(init.rendition.clone());
        if self.open.contains_key(&init.rendition) || self.open.len() == RENDITIONS {
            return Err(Odd("an init section too many"));
        }
        self.open.insert(init.rendition.clone(), Open::default());
        self.fresh.insert(object.clone(), self.beginning(&init));
        self.facts.insert(object, Fact::Init(init));
        Ok(())
    }

    /// An init section as it is stored: with the wall time of the pipeline's zero, should no journal come to tell it.
    fn beginning(&self, init: &Init) -> Vec<Bytes> {
        vec![init.bytes.clone(), Bytes::copy_from_slice(&clock::stamp(self.journal.began))]
    }

    /// # Errors
    /// When the part belongs to no rendition, or makes its segment too long.
    pub(crate) fn part(&mut self, part: &Part) -> Result<(), Odd> {
        self.heard = true;
        let open = self.open.get_mut(&part.rendition).ok_or(Odd("a part before its init section"))?;
        if part.segment != open.number {
            if !open.parts.is_empty() {
                warn!(rendition = %part.rendition, segment = open.number, "segment was never closed; its parts are lost");
            }
            *open = Open { number: part.segment, ..Open::default() };
        }
        open.size += part.bytes.len();
        open.parts.push(part.bytes.clone());
        if open.size > LONGEST { Err(Odd("a segment too long")) } else { Ok(()) }
    }

    /// # Errors
    /// When the segment has no parts.
    pub(crate) fn closed(&mut self, closed: SegmentClosed) -> Result<(), Odd> {
        let open = self.open.get_mut(&closed.rendition).ok_or(Odd("a segment before its init section"))?;
        if open.number != closed.segment || open.parts.is_empty() {
            return Err(Odd("a closed segment without parts"));
        }
        let object = Object::Segment(closed.rendition.clone(), closed.segment);
        *self.journal.closed.entry(closed.rendition.clone()).or_default() += 1;
        self.fresh.insert(object.clone(), std::mem::take(open).parts);
        self.facts.insert(object, Fact::Segment(closed));
        self.captured = true;
        Ok(())
    }

    /// Begins a try. What was sealed before is not sealed again.
    pub(crate) fn store(&mut self, object: Object) {
        let way = self.way.clone();
        if let Some(lots) = self.held.remove(&object) {
            self.try_to(object, async move { way.upload(lots).await });
        } else if let Some(parts) = self.fresh.remove(&object) {
            let kind = match &object {
                Object::Segment(rendition, _) if *rendition == Rendition::audio() => Kind::Sound,
                Object::Segment(..) => Kind::Picture,
                Object::Init(_) | Object::Journal => Kind::Small,
            };
            let plain = vec![(way.place.key(&object), parts.concat())];
            self.try_to(object, way.keep(kind, plain));
        } else {
            // The session only asks for what it was told of.
            error!(?object, "asked to store what was never made");
        }
    }

    fn try_to(&mut self, object: Object, store: impl Future<Output = Result<Receipt, Failed>> + Send + 'static) {
        let id = self.tries.spawn(store.in_current_span()).id();
        self.tried.insert(id, object);
    }

    /// Begins to store the epoch's description, the log of its inputs and, last, its journal.
    pub(crate) fn conclude(&mut self, description: Vec<u8>, log: Vec<u8>, now: WallTime) {
        if self.held.contains_key(&Object::Journal) {
            return self.store(Object::Journal);
        }
        self.journal.ended = now;
        // Once, though this is said again when what it wrote is spoilt.
        if self.full && !self.journal.gaps.iter().any(|gap| gap.why == CUT) {
            let ends = self.journal.entries.iter().map(|entry| entry.begins.plus(entry.lasts));
            let end = ends.max().unwrap_or_default();
            self.journal.gaps.push(Gap { from: end, to: end, why: CUT.into() });
        }
        self.journal.entries.sort_by(|a, b| (&a.rendition, a.number).cmp(&(&b.rendition, b.number)));
        let (way, place) = (self.way.clone(), &self.way.place);
        let plain = vec![
            (place.path.description(place.epoch), description),
            (place.log_key(), log),
            (place.key(&Object::Journal), self.journal.to_bytes()),
        ];
        self.try_to(Object::Journal, way.keep(Kind::Small, plain));
    }

    /// What the session is to hear next: of a try that ended, or once that the spool is full. None while no try is under
    /// way. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Storage> {
        loop {
            let joined = tokio::select! {
                biased;
                () = self.way.full(), if !self.full => {
                    self.full = true;
                    return Some(Storage::SpoolFull);
                }
                joined = self.tries.join_next_with_id() => joined?,
            };
            let (id, tried) = match joined {
                Ok(tried) => tried,
                Err(panicked) => {
                    error!(error = %panicked, "a try to store ended oddly");
                    let source = std::io::Error::other("it ended oddly");
                    let why = StoreError::Spool { key: self.way.place.path.prefix(), source };
                    (panicked.id(), Err(Failed { why, left: VecDeque::new(), lost: SPOILT }))
                }
            };
            let Some(object) = self.tried.remove(&id) else { continue };
            match tried {
                Ok(receipt) => {
                    self.note(&object, &receipt);
                    return Some(Storage::Stored(object));
                }
                Err(Failed { why, left, lost }) if left.is_empty() || matches!(why, StoreError::Spoilt { .. }) => {
                    let error = &why as &dyn std::error::Error;
                    if lost == SPOILT {
                        error!(error, ?object, "lost on its way to the store");
                    } else {
                        warn!(error, ?object, "not kept: {lost}");
                    }
                    // What was sealed together with it is sealed anew, and must not be stored over that one day.
                    for lot in left {
                        if let Lot::Disk(spooled) = lot {
                            self.way.place.spool.discard(&spooled);
                        }
                    }
                    let settled = self.lost(&object, lost);
                    return Some(if settled { Storage::Stored(object) } else { Storage::Failed(object) });
                }
                Err(Failed { why, left, .. }) => {
                    let error = &why as &dyn std::error::Error;
                    if faults::needs_a_person(&why) {
                        error!(error, "could not store; it is kept and tried again, but somebody must look");
                    } else {
                        warn!(error, "could not store; it is kept and tried again");
                    }
                    self.held.insert(object.clone(), left);
                    return Some(Storage::Failed(object));
                }
            }
        }
    }

    /// What was sealed is gone. True when there is nothing more to try: a segment's plaintext is long forgotten, so it
    /// becomes a gap. The small things are made anew.
    fn lost(&mut self, object: &Object, why: &str) -> bool {
        match self.facts.remove(object) {
            Some(Fact::Segment(closed)) => {
                let to = closed.begins.plus(closed.lasts);
                self.journal.gaps.push(Gap { from: closed.begins, to, why: why.into() });
                true
            }
            Some(Fact::Init(init)) => {
                self.fresh.insert(object.clone(), self.beginning(&init));
                self.facts.insert(object.clone(), Fact::Init(init));
                false
            }
            None => false,
        }
    }

    fn note(&mut self, object: &Object, receipt: &Receipt) {
        let key = self.way.place.key(object);
        match self.facts.remove(object) {
            Some(Fact::Init(init)) => self.journal.renditions.push(RenditionInfo {
                rendition: init.rendition,
                codec: init.codec,
                picture: init.picture,
                init_key: key,
            }),
            Some(Fact::Segment(closed)) => self.journal.entries.push(Entry {
                rendition: closed.rendition,
                number: closed.segment,
                key,
                size: receipt.size,
                sha256: receipt.sha256_hex(),
                begins: closed.begins,
                lasts: closed.lasts,
                wall: closed.wall,
            }),
            None => self.whole |= *object == Object::Journal,
        }
    }
}
