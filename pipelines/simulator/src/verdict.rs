//! What must hold when all is over: nothing that was recorded is missing without a name, and everything has an end.

use claim::{Phase, Record};

use crate::check::{Fate, Truth};
use crate::final_film::{Manifest, SLACK};
use crate::outside::Outside;
use crate::store::{Key, Value};

impl Outside {
    /// Nothing happens any more.
    pub(crate) fn judge(&mut self) {
        let now = self.now();
        self.everything_recorded_is_kept();
        for recording in 0..self.rooms.len() {
            let Some(record) = self.store.record(recording).cloned() else {
                self.check.fail(now, || format!("{recording} was asked for, and nobody has a record of it"));
                continue;
            };
            if let Err(why) = self.film_of(recording, &record) {
                self.check.fail(now, || format!("{recording}: {why}"));
            }
        }
    }

    fn everything_recorded_is_kept(&mut self) {
        let now = self.now();
        let mut there = vec![false; self.check.segments.len()];
        for (_, value) in self.store.cells() {
            if let Value::Segment(segment) = value
                && let Some(there) = usize::try_from(segment.id).ok().and_then(|id| there.get_mut(id))
            {
                *there = true;
            }
        }
        let missing = |(id, truth): (usize, &Truth)| (truth.fate != Fate::Lost && !there[id]).then_some((id, *truth));
        if let Some((id, truth)) = self.check.segments.iter().enumerate().find_map(missing) {
            let Truth { recording, epoch, fate, .. } = truth;
            self.check.fail(now, || format!("segment {id} of {recording}, epoch {epoch}, was {fate:?} and is nowhere"));
        }
    }

    fn film_of(&self, recording: usize, record: &Record) -> Result<(), String> {
        // What began while the store was away is known to nobody, as long as nothing of it comes.
        let known = |truth: &&Truth| self.check.heard_of(&self.store, recording, truth.epoch);
        let recorded = || self.check.segments.iter().filter(|truth| truth.recording == recording).filter(known);
        match record.phase {
            Phase::Ready | Phase::Partial => {
                let Some((Value::Manifest(manifest), _)) = self.store.get(Key::Manifest(recording, 1)) else {
                    return Err("has no manifest".into());
                };
                if self.check.author_of(recording) != Some(manifest.id) {
                    return Err("its manifest is not the published one".into());
                }
                if (record.phase == Phase::Ready) != manifest.complete() {
                    return Err(format!("is {:?} with gaps {:?}, {:?}", record.phase, manifest.gaps, manifest.doubts));
                }
                whole(manifest)?;
                // Where clocks differ, what was lost at the end of an epoch may lie at the end of the line as well, where
                // no hole shows it.
                let told = |truth: &&Truth| !(self.clocks_differ && truth.fate == Fate::Lost);
                recorded().filter(told).try_for_each(|truth| shown_or_named(manifest, truth))
            }
            Phase::Empty => match recorded().next() {
                Some(truth) => Err(format!("is empty, and epoch {} has recorded something", truth.epoch)),
                None => Ok(()),
            },
            Phase::Failed => match recorded().find(|truth| truth.fate == Fate::Stored) {
                Some(truth) if record.reason.as_deref() != Some("unreadable") => Err(format!(
                    "is {:?} ({}), and epoch {} has stored something",
                    record.phase,
                    record.reason.as_deref().unwrap_or_default(),
                    truth.epoch
                )),
                _ => Ok(()),
            },
            Phase::Claimed | Phase::Recording | Phase::Ended => {
                Err(format!("is still {:?} in epoch {}, and nothing happens any more", record.phase, record.epoch))
            }
        }
    }
}

/// Every hole in the film has a name.
fn whole(manifest: &Manifest) -> Result<(), String> {
    for pair in manifest.pieces.windows(2) {
        let (end, next) = (pair[0].1, pair[1].0);
        if next < end {
            return Err("shows a moment twice".into());
        }
        if next - end > SLACK && !named(manifest, end, next) {
            return Err(format!("a hole of {} ms has no name", (next - end) / 1000));
        }
    }
    Ok(())
}

fn shown_or_named(manifest: &Manifest, truth: &Truth) -> Result<(), String> {
    let mut at = truth.from;
    for (from, to) in &manifest.pieces {
        if *from <= at + SLACK && *to > at {
            at = *to;
        }
    }
    let shown = at + SLACK >= truth.to;
    if shown || manifest.doubts.contains(&truth.epoch) || named(manifest, truth.from, truth.to) {
        Ok(())
    } else {
        Err(format!("{truth:?} is neither in the film nor in a named gap"))
    }
}

fn named(manifest: &Manifest, from: i64, to: i64) -> bool {
    manifest.gaps.iter().any(|(begin, end)| *begin < to && *end > from)
}
