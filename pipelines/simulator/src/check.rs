//! What must hold at every moment, checked as it happens; and the books that the verdict at the end is made from. The
//! checker sees everything and influences nothing.

use std::collections::{BTreeMap, BTreeSet};

use claim::{Phase, Record};

use crate::event::Client;
use crate::schedule::{MS, Micros, SECOND};
use crate::store::{Key, Store, Value};

/// A holder that could be heard for less than this was not silent. One look less than `claim::PATIENCE`, for a look's
/// answer takes as long as the store wants.
const SILENT: Micros = 4 * SECOND;

/// Sealing and one fsync.
const UNSPOOLED: Micros = SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In memory, on its way to the disk.
    Closed,
    /// In memory, since the disk refused it.
    Memory,
    Spooled,
    /// A receipt was given for it.
    Stored,
    /// In memory only when its worker died, on a node that is gone, or not even closed.
    Lost,
}

/// A segment that was recorded, whatever became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Truth {
    pub(crate) recording: usize,
    pub(crate) epoch: u32,
    pub(crate) from: i64,
    pub(crate) to: i64,
    at: Micros,
    pub(crate) fate: Fate,
}

#[derive(Debug, Default)]
pub(crate) struct Check {
    /// The first promise that was broken.
    pub(crate) broken: Option<String>,
    pub(crate) segments: Vec<Truth>,
    /// When the whole store was away.
    outages: Vec<(Micros, Micros)>,
    owners: BTreeMap<(usize, u32), String>,
    changed: BTreeMap<usize, Micros>,
    published: BTreeMap<usize, u64>,
    /// Of which epochs something was there whenever a finalizer looked, be it in the ledger alone.
    heard_of: BTreeMap<usize, BTreeSet<u32>>,
    authors: u64,
}

impl Check {
    pub(crate) fn new(mut outages: Vec<(Micros, Micros)>) -> Self {
        outages.sort_unstable();
        // One that begins within another goes on from its end.
        let mut end = 0;
        for (from, to) in &mut outages {
            (*from, *to) = ((*from).max(end), (*to).max(end));
            end = *to;
        }
        Self { outages, ..Self::default() }
    }

    pub(crate) fn fail(&mut self, now: Micros, why: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(format!("{:.3} s: {}", now as f64 / SECOND as f64, why()));
        }
    }

    /// A number for a manifest that no other has.
    pub(crate) fn author(&mut self) -> u64 {
        self.authors += 1;
        self.authors
    }

    /// A worker believes that it holds this epoch.
    pub(crate) fn ours(&mut self, recording: usize, record: &Record, worker: usize, now: Micros) {
        let owner = self.owners.entry((recording, record.epoch)).or_insert_with(|| record.owner.clone());
        if *owner != record.owner {
            let owner = owner.clone();
            let epoch = record.epoch;
            self.fail(now, || format!("{owner} and a claim of worker {worker} both hold epoch {epoch} of {recording}"));
        }
    }

    pub(crate) fn closed(&mut self, recording: usize, epoch: u32, from: i64, to: i64, now: Micros) -> u64 {
        self.segments.push(Truth { recording, epoch, from, to, at: now, fate: Fate::Closed });
        self.segments.len() as u64 - 1
    }

    /// A media process died, and its open segment with it.
    pub(crate) fn unfinished(&mut self, recording: usize, epoch: u32, open: Option<(i64, i64)>, now: Micros) {
        if let Some((from, to)) = open {
            let id = self.closed(recording, epoch, from, to, now);
            self.fate(id, Fate::Lost);
        }
    }

    fn fate(&mut self, id: u64, fate: Fate) {
        if let Some(truth) = usize::try_from(id).ok().and_then(|id| self.segments.get_mut(id)) {
            truth.fate = fate;
        }
    }

    pub(crate) fn spooled(&mut self, id: u64, durable: bool) {
        self.fate(id, if durable { Fate::Spooled } else { Fate::Memory });
    }

    pub(crate) fn acknowledged(&mut self, id: u64) {
        self.fate(id, Fate::Stored);
    }

    /// A worker died, and held these in memory only.
    pub(crate) fn died(&mut self, unspooled: &[u64], suspended: bool, now: Micros) {
        for id in unspooled {
            let Some(truth) = usize::try_from(*id).ok().and_then(|id| self.segments.get(id)).copied() else { continue };
            match truth.fate {
                Fate::Closed if suspended || now - truth.at <= UNSPOOLED => self.fate(*id, Fate::Lost),
                Fate::Memory => self.fate(*id, Fate::Lost),
                other => self.fail(now, || format!("segment {id} was {other:?} and is lost with its worker's memory")),
            }
        }
    }

    pub(crate) fn node_lost<'a>(&mut self, files: impl Iterator<Item = &'a Value>) {
        for file in files {
            if let Value::Segment(segment) = file {
                self.fate(segment.id, Fate::Lost);
            }
        }
    }

    /// The store is about to apply a write.
    pub(crate) fn write(&mut self, store: &Store, key: Key, value: &Value, by: Client, now: Micros) {
        let standing = store.get(key).map(|(value, _)| value);
        match (value, standing) {
            (Value::State(next), standing) => {
                let before = if let Some(Value::State(before)) = standing { Some(&**before) } else { None };
                if let Err(why) = legal(before, next, by) {
                    self.fail(now, || format!("the record of {}: {why}", key.recording()));
                }
                if let Some(before) = before {
                    self.taken(key.recording(), before, next, now);
                }
                if matches!(next.phase, Phase::Ready | Phase::Partial) && !self.published.contains_key(&key.recording())
                {
                    self.fail(now, || format!("{} is {:?} without a manifest", key.recording(), next.phase));
                }
                self.changed.insert(key.recording(), now);
            }
            (value, Some(standing)) if matches!(key, Key::Segment(..)) && value != standing => {
                self.fail(now, || format!("{key:?} is another worker's, and is overwritten"));
            }
            _ => {}
        }
    }

    /// Nobody takes over from a holder that gives signs of life, or would if the store took them.
    fn taken(&mut self, recording: usize, before: &Record, next: &Record, now: Micros) {
        let by = |owner: &str| owner.split('-').next().map(str::to_owned);
        if next.epoch == before.epoch || before.owner.is_empty() || by(&next.owner) == by(&before.owner) {
            return;
        }
        let since = self.changed.get(&recording).copied().unwrap_or(0);
        let away: Micros =
            self.outages.iter().map(|(from, to)| (*to).min(now).saturating_sub((*from).max(since))).sum();
        let silent = (now - since).saturating_sub(away);
        if silent < SILENT {
            let (from, to) = (before.owner.clone(), next.owner.clone());
            self.fail(now, || format!("{to} takes {recording} from {from}, silent for {} ms only", silent / MS));
        }
    }

    /// What stands as published after a write of a manifest or a signature.
    pub(crate) fn published(&mut self, store: &Store, key: Key, now: Micros) {
        let (Key::Manifest(recording, generation) | Key::Signature(recording, generation)) = key else { return };
        let manifest = match store.get(Key::Manifest(recording, generation)) {
            Some((Value::Manifest(manifest), _)) => Some(manifest.id),
            _ => None,
        };
        let signed = match store.get(Key::Signature(recording, generation)) {
            Some((Value::Signature(of), _)) => Some(*of),
            _ => None,
        };
        match self.published.get(&recording) {
            Some(author) if manifest != Some(*author) => {
                let author = *author;
                self.fail(now, || format!("{recording} was published by {author}, and its manifest is replaced"));
            }
            Some(author) if signed != Some(*author) => {
                let author = *author;
                self.fail(now, || format!("{recording} was published by {author}, and its signature is replaced"));
            }
            None if manifest.is_some() && manifest == signed => {
                self.published.insert(recording, manifest.unwrap_or_default());
            }
            _ => {}
        }
    }

    /// A finalizer has looked at what there is of a recording.
    pub(crate) fn gathered(&mut self, recording: usize, there: &BTreeSet<u32>) {
        let known = self.heard_of.entry(recording).or_insert_with(|| there.clone());
        known.retain(|epoch| there.contains(epoch));
    }

    /// Whether a finalizer could know that this epoch had begun; without one, whether anybody could.
    pub(crate) fn heard_of(&self, store: &Store, recording: usize, epoch: u32) -> bool {
        match self.heard_of.get(&recording) {
            Some(known) => known.contains(&epoch),
            None => store.get(Key::Begun(recording, epoch)).is_some(),
        }
    }

    pub(crate) fn author_of(&self, recording: usize) -> Option<u64> {
        self.published.get(&recording).copied()
    }
}

/// Whether a record may follow another: the reference that the rules of `claim` are held against.
fn legal(before: Option<&Record>, next: &Record, by: Client) -> Result<(), String> {
    let Some(before) = before else {
        let first = next.epoch == 1 && next.phase == Phase::Claimed && !next.owner.is_empty();
        return if first { Ok(()) } else { Err(format!("begins with epoch {} {:?}", next.epoch, next.phase)) };
    };
    let rank = |phase: Phase| match phase {
        Phase::Claimed => 0,
        Phase::Recording => 1,
        Phase::Ended => 2,
        Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty => 3,
    };
    if !before.phase.open() && !matches!(by, Client::Finalizer(..)) {
        return Err(format!("is {:?}, and a worker writes {:?}", before.phase, next.phase));
    }
    if next.epoch == before.epoch {
        let kept = next.owner == before.owner || next.owner.is_empty();
        if !kept {
            return Err(format!("epoch {} goes from {} to {}", next.epoch, before.owner, next.owner));
        }
        if rank(next.phase) < rank(before.phase) || next.beat < before.beat {
            return Err(format!("goes back from {:?} to {:?}", before.phase, next.phase));
        }
        return Ok(());
    }
    let taken = next.epoch == before.epoch + 1 && next.phase == Phase::Claimed;
    let new = !next.owner.is_empty() && next.owner != before.owner;
    if taken && new && before.phase.open() {
        Ok(())
    } else {
        Err(format!("goes from epoch {} {:?} to {} {:?}", before.epoch, before.phase, next.epoch, next.phase))
    }
}
