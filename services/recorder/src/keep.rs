//! From parts to receipts: puts a segment's parts together, seals it, spools it, uploads it, and notes the receipt in the
//! epoch's journal. Decides nothing about when to try again: a failed try is told, and the session asks again.
//!
//! # Design
//! Plaintext lives in memory from its part to its seal, a segment's length. From then on there is ciphertext alone: on
//! disk, durable before anything is uploaded, or in memory should the disk refuse. What the disk then spoils is a gap that
//! the journal names, and holds up nothing else.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use media::{Init, MediaTime, Part, PipelineSpec, Rendition, SegmentClosed, WallTime};
use session::Object;
use storage::clock;
use storage::journal::{Entry, Gap, RenditionInfo};
use storage::{Bucket, Journal, Receipt, RecordingPath, SealKey, Sealed, Spool, Spooled, Store, StoreError};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tracing::{Instrument, error, warn};

use crate::faults;

/// Uploads at once: enough to catch up after an outage, few enough to leave the line to the room.
const AT_ONCE: usize = 4;

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
    place: Arc<Place>,
    open: BTreeMap<Rendition, Open>,
    facts: BTreeMap<Object, Fact>,
    /// Whole, and not yet asked to be stored.
    fresh: BTreeMap<Object, Vec<Bytes>>,
    /// Sealed, tried, and not stored.
    held: BTreeMap<Object, VecDeque<Lot>>,
    tries: JoinSet<Result<Receipt, Failed>>,
    /// What each try is of.
    tried: HashMap<Id, Object>,
    at_once: Arc<Semaphore>,
    journal: Journal,
    captured: bool,
    whole: bool,
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

/// One sealed object on its way.
#[derive(Clone)]
enum Lot {
    Disk(Spooled),
    Memory(String, Sealed<Vec<u8>>),
}

/// A try that failed, and what is left to try.
struct Failed {
    why: StoreError,
    left: VecDeque<Lot>,
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
            place: Arc::new(place),
            open: BTreeMap::new(),
            facts: BTreeMap::new(),
            fresh: BTreeMap::new(),
            held: BTreeMap::new(),
            tries: JoinSet::new(),
            tried: HashMap::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            journal,
            captured: false,
            whole: false,
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

    /// At least one segment was closed.
    pub(crate) fn captured(&self) -> bool {
        self.captured
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
        let (place, at_once) = (self.place.clone(), self.at_once.clone());
        if let Some(lots) = self.held.remove(&object) {
            self.try_to(object, async move { upload(&place, &at_once, lots).await });
        } else if let Some(parts) = self.fresh.remove(&object) {
            let plain = vec![(place.key(&object), parts.concat())];
            self.try_to(object, keep(place, at_once, plain));
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
        self.journal.entries.sort_by(|a, b| (&a.rendition, a.number).cmp(&(&b.rendition, b.number)));
        let (place, at_once) = (self.place.clone(), self.at_once.clone());
        let plain = vec![
            (place.path.description(place.epoch), description),
            (place.log_key(), log),
            (place.key(&Object::Journal), self.journal.to_bytes()),
        ];
        self.try_to(Object::Journal, keep(place, at_once, plain));
    }

    /// The next try that ended: what was tried, and whether there is a receipt. None while none is under way.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<(Object, bool)> {
        loop {
            let (id, tried) = match self.tries.join_next_with_id().await? {
                Ok(tried) => tried,
                Err(panicked) => {
                    error!(error = %panicked, "a try to store ended oddly");
                    let source = std::io::Error::other("it ended oddly");
                    let why = StoreError::Spool { key: self.place.path.prefix(), source };
                    (panicked.id(), Err(Failed { why, left: VecDeque::new() }))
                }
            };
            let Some(object) = self.tried.remove(&id) else { continue };
            match tried {
                Ok(receipt) => {
                    self.note(&object, &receipt);
                    return Some((object, true));
                }
                Err(Failed { why, left }) if left.is_empty() || matches!(why, StoreError::Spoilt { .. }) => {
                    error!(error = &why as &dyn std::error::Error, ?object, "lost on its way to the store");
                    // What was sealed together with it is sealed anew, and must not be stored over that one day.
                    for lot in left {
                        if let Lot::Disk(spooled) = lot {
                            self.place.spool.discard(&spooled);
                        }
                    }
                    let settled = self.lost(&object);
                    return Some((object, settled));
                }
                Err(Failed { why, left }) => {
                    let error = &why as &dyn std::error::Error;
                    if faults::needs_a_person(&why) {
                        error!(error, "could not store; it is kept and tried again, but somebody must look");
                    } else {
                        warn!(error, "could not store; it is kept and tried again");
                    }
                    self.held.insert(object.clone(), left);
                    return Some((object, false));
                }
            }
        }
    }

    /// What was sealed is gone. True when there is nothing more to try: a segment's plaintext is long forgotten, so it
    /// becomes a gap. The small things are made anew.
    fn lost(&mut self, object: &Object) -> bool {
        match self.facts.remove(object) {
            Some(Fact::Segment(closed)) => {
                let to = closed.begins.plus(closed.lasts);
                self.journal.gaps.push(Gap { from: closed.begins, to, why: "lost in the spool".into() });
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
        let key = self.place.key(object);
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

/// Seals and spools at once, so that a crash loses nothing that was closed; then uploads in its turn.
async fn keep(place: Arc<Place>, at_once: Arc<Semaphore>, plain: Vec<(String, Vec<u8>)>) -> Result<Receipt, Failed> {
    let sealing = tokio::task::spawn_blocking({
        let place = place.clone();
        move || plain.into_iter().map(|(key, plain)| sealed(&place, key, plain)).collect::<VecDeque<_>>()
    });
    // The blocking closure does not panic, and this runtime outlives it; an empty queue says otherwise below.
    upload(&place, &at_once, sealing.await.unwrap_or_default()).await
}

fn sealed(place: &Place, key: String, plain: Vec<u8>) -> Lot {
    let sealed = place.key.seal(plain);
    match place.spool.add(&key, &sealed) {
        Ok(spooled) => Lot::Disk(spooled),
        Err(why) => {
            error!(
                error = &why as &dyn std::error::Error,
                "the spool takes nothing; kept in memory until it is stored"
            );
            Lot::Memory(key, sealed)
        }
    }
}

/// One try for each lot in turn, up to the first that fails. The receipt of the last.
async fn upload(place: &Place, at_once: &Semaphore, mut lots: VecDeque<Lot>) -> Result<Receipt, Failed> {
    // Never closed, so this waits and succeeds.
    let _turn = at_once.acquire().await;
    let mut receipt = None;
    while let Some(lot) = lots.front().cloned() {
        let tried = match lot {
            Lot::Disk(spooled) => place.spool.upload(&place.store, spooled).await,
            Lot::Memory(key, sealed) => place.store.put_verified(Bucket::Media, &key, sealed.bytes().clone()).await,
        };
        match tried {
            Ok(done) => receipt = Some(done),
            Err(why) => return Err(Failed { why, left: lots }),
        }
        lots.pop_front();
    }
    receipt.ok_or_else(|| {
        let source = std::io::Error::other("sealing ended oddly");
        Failed { why: StoreError::Spool { key: place.path.prefix(), source }, left: lots }
    })
}
