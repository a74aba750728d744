//! Media, from the moment it is recorded to its receipt: segments of 3.2 s, sealed into the spool, put, read back, and
//! only then deleted. What an earlier life left in the spool is stored before anything else.

use media::Rendition;
use session::{Input, Object, Pipeline, Storage};

use super::job::Job;
use super::{Purpose, Worker};
use crate::event::Wake;
use crate::mistake::Mistake;
use crate::outside::Outside;
use crate::schedule::{MS, Micros, SECOND};
use crate::spool::Segment;
use crate::store::{Answer, Condition, Key, Request, Value};

pub(crate) const SEGMENT: Micros = 3_200 * MS;

/// What the media process makes.
#[derive(Debug, Default)]
pub(super) struct Media {
    /// Number, when it began, and where on the worker's wall that was.
    open: Option<(u64, Micros, i64)>,
    /// On the wall, where the first one began, and when that was: later ones follow it, wherever the wall steps.
    zero: Option<(i64, Micros)>,
}

/// Something that is to be stored.
#[derive(Debug, Clone)]
pub(super) struct Item {
    key: Key,
    value: Value,
    /// The disk was asked to take it, and has answered.
    pub(super) durable: Option<bool>,
}

impl Job {
    /// On the wall, what the open segment has so far.
    pub(super) fn open(&self, now: Micros) -> Option<(i64, i64)> {
        let (_, began, from) = self.media.as_ref()?.open?;
        let lasts = i64::try_from((now - began).min(SEGMENT)).ok()?;
        Some((from, from + lasts))
    }

    /// Closed segments that only memory holds.
    pub(super) fn unspooled(&self) -> Vec<u64> {
        let kept = self.items.values().filter(|item| item.durable != Some(true));
        kept.filter_map(|item| if let Value::Segment(segment) = item.value { Some(segment.id) } else { None }).collect()
    }
}

fn video() -> Rendition {
    Rendition::video()
}

impl Worker {
    pub(super) fn playing(&mut self, number: u32, out: &mut Outside) {
        let now = out.now();
        let wall = out.schedule.wall(self.clock).0;
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let Some(media) = &mut job.media else { return };
        if media.zero.is_some() {
            return;
        }
        (media.zero, media.open) = (Some((wall, now)), Some((0, now, wall)));
        job.items.insert(
            Object::Init(video()),
            Item { key: Key::Init(job.recording, job.epoch), value: Value::Init, durable: None },
        );
        out.wake(self.client(), SEGMENT, Wake::Full(number, 0));
        self.tell(number, Input::Pipeline(Pipeline::Playing), out);
        self.tell(number, Input::Pipeline(Pipeline::Init(video())), out);
    }

    pub(super) fn full(&mut self, number: u32, segment: u64, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let open = job.media.as_ref().and_then(|media| media.open);
        if open.is_some_and(|(open, ..)| open == segment) {
            self.close(number, true, out);
            out.wake(self.client(), SEGMENT, Wake::Full(number, segment + 1));
        }
    }

    pub(super) fn drained(&mut self, number: u32, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        if job.media.is_some() {
            self.close(number, false, out);
        }
        // Taken only now: what was closed is told of before.
        if let Some(job) = self.jobs.iter_mut().find(|job| job.number == number)
            && job.media.take().is_some()
        {
            self.tell(number, Input::Pipeline(Pipeline::Drained), out);
        }
    }

    /// The open segment is whole; another one follows, if `on`.
    fn close(&mut self, number: u32, on: bool, out: &mut Outside) {
        let now = out.now();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let Some(media) = &mut job.media else { return };
        let (Some((n, began, from)), Some((zero, zero_at))) = (media.open.take(), media.zero) else { return };
        // A process that was suspended has recorded nothing meanwhile.
        let lasts = (now - began).min(SEGMENT);
        let signed = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        if on {
            media.open = Some((n + 1, now, zero + signed(now - zero_at)));
        }
        if lasts == 0 {
            return;
        }
        let id = out.check.closed(job.recording, job.epoch, from, from + signed(lasts), now);
        let value = Value::Segment(Segment { id, from, to: from + signed(lasts) });
        let object = Object::Segment(video(), n);
        job.captured = true;
        let key = Key::Segment(job.recording, job.epoch, n);
        job.items.insert(object, Item { key, value, durable: None });
        self.tell(number, Input::Pipeline(Pipeline::Closed(video(), n)), out);
    }

    /// One try to store it. The first begins with the disk.
    pub(super) fn store(&mut self, number: u32, object: Object, out: &mut Outside) {
        let client = self.client();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        if object == Object::Journal {
            let value = Value::Journal(job.journal.clone().into());
            let key = Key::Journal(job.recording, job.epoch);
            job.items.insert(Object::Journal, Item { key, value, durable: None });
        }
        match job.items.get(&object).map(|item| item.durable) {
            Some(None) => {
                let takes = out.random.between(2 * MS, 60 * MS);
                out.wake(client, takes, Wake::Written(number, object));
            }
            Some(Some(_)) => self.send(number, object, out),
            // Stored before, or never made.
            None => {}
        }
    }

    pub(super) fn written(&mut self, number: u32, object: Object, out: &mut Outside) {
        let spoilt = out.network.spoilt().is_some();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let Some(item) = job.items.get_mut(&object) else { return };
        let takes = !self.disk.full && !spoilt;
        item.durable = Some(takes);
        if takes {
            self.disk.files.insert(item.key, item.value.clone());
        }
        if let Value::Segment(segment) = item.value {
            out.check.spooled(segment.id, takes);
        }
        self.send(number, object, out);
    }

    fn send(&mut self, number: u32, object: Object, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let Some(item) = job.items.get(&object).cloned() else { return };
        if out.makes(Mistake::EarlyDelete) {
            self.disk.files.remove(&item.key);
        }
        self.ask(Purpose::Put(number, object), Request::Put(item.key, item.value, Condition::None), out);
    }

    pub(super) fn put(&mut self, number: u32, object: Object, answer: &Answer, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let Some(item) = job.items.get(&object) else { return };
        if out.makes(Mistake::EarlyDelete) && matches!(answer, Answer::Written(_)) {
            return self.receipt(number, object, out);
        }
        match answer {
            Answer::Written(_) => {
                let request = Request::Get(item.key);
                self.ask(Purpose::ReadBack(number, object), request, out);
            }
            _ => self.tell(number, Input::Storage(Storage::Failed(object)), out),
        }
    }

    pub(super) fn read_back(&mut self, number: u32, object: Object, answer: &Answer, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let Some(item) = job.items.get(&object) else { return };
        match answer {
            Answer::Found(found, _) if *found == item.value => self.receipt(number, object, out),
            _ => self.tell(number, Input::Storage(Storage::Failed(object)), out),
        }
    }

    /// The store has it.
    fn receipt(&mut self, number: u32, object: Object, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let Some(item) = job.items.remove(&object) else { return };
        self.disk.files.remove(&item.key);
        if let (Value::Segment(segment), Object::Segment(_, n)) = (item.value, &object) {
            out.check.acknowledged(segment.id);
            job.journal.entries.insert(*n, segment);
            job.stored = true;
        }
        self.tell(number, Input::Storage(Storage::Stored(object)), out);
    }

    /// The next object that an earlier life left; when there is none, the worker begins to serve.
    pub(super) fn next_orphan(&mut self, out: &mut Outside) {
        let Some(key) = self.orphans.front().copied() else { return self.serve(out) };
        match self.disk.files.get(&key).cloned() {
            Some(value) => self.ask(Purpose::Orphan(key), Request::Put(key, value, Condition::None), out),
            None => {
                self.orphans.pop_front();
                self.next_orphan(out);
            }
        }
    }

    pub(super) fn orphan_put(&mut self, key: Key, answer: &Answer, out: &mut Outside) {
        match answer {
            Answer::Written(_) => self.ask(Purpose::OrphanReadBack(key), Request::Get(key), out),
            _ => out.wake(self.client(), SECOND, Wake::Orphans),
        }
    }

    pub(super) fn orphan_read(&mut self, key: Key, answer: &Answer, out: &mut Outside) {
        match answer {
            Answer::Found(found, _) if self.disk.files.get(&key) == Some(found) => {
                if let Value::Segment(segment) = found {
                    out.check.acknowledged(segment.id);
                }
                self.disk.files.remove(&key);
                self.orphans.pop_front();
                self.next_orphan(out);
            }
            _ => out.wake(self.client(), SECOND, Wake::Orphans),
        }
    }

    fn serve(&mut self, out: &mut Outside) {
        if self.serves {
            return;
        }
        self.serves = true;
        let first = out.random.below(SECOND);
        out.wake(self.client(), first, Wake::Look);
        for (recording, word) in self.disk.notes.clone() {
            out.wake(self.client(), 0, Wake::Adopt(recording, word));
        }
    }
}
