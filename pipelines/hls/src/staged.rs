//! Higher epochs that push beside the live one, and when viewers go on with one of them. Decided by what was pushed
//! alone; no clock is read.
//!
//! The old worker still records when the new one begins, and leaves once a segment of the new one is stored. So viewers
//! go on with the new one's second segment, at the first part of the old one that reaches the beginning of it: no gap,
//! and less than a part is seen twice. When the old one does not get there, they go on with what the new one has.

use std::collections::BTreeMap;
use std::time::Duration;

use media::{Init, Part, Rendition, SegmentClosed, WallTime};

use crate::stream::{Open, ROUNDING, Segment, Stream, frayed, sum, whole};
use crate::{PushError, Webinar};

/// More workers never wait for one recording. The lowest of more has been superseded.
const MOST_STAGED: usize = 4;

/// The live epoch may be listed so much past a beginning and still go on there: about a part.
const TWICE: Duration = Duration::from_millis(600);

/// All that a higher epoch has pushed, until viewers go on with it.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    renditions: BTreeMap<Rendition, (Init, Open)>,
    /// By number, in every rendition that has said so; the first one was whole.
    closed: BTreeMap<u64, Vec<SegmentClosed>>,
    /// It has said that there is no more. Only that is known of it then.
    over: bool,
}

impl Staged {
    pub(crate) fn over(&self) -> bool {
        self.over
    }

    pub(crate) fn init(&mut self, init: Init) -> Result<(), PushError> {
        match self.renditions.get(&init.rendition) {
            Some((known, _)) if *known != init => Err(PushError::InitChanged),
            Some(_) => Ok(()),
            None => {
                self.renditions.insert(init.rendition.clone(), (init, Open::default()));
                Ok(())
            }
        }
    }

    pub(crate) fn part(&mut self, part: Part) -> Result<(), PushError> {
        let first = self.closed.keys().next().copied();
        let (_, open) = self.renditions.get_mut(&part.rendition).ok_or(PushError::NoInit)?;
        // One that never closes a segment must not fill the memory.
        open.forget_before(first.unwrap_or(part.segment.saturating_sub(1)));
        if first.is_some_and(|first| part.segment < first) { Ok(()) } else { open.keep(part) }
    }

    pub(crate) fn closed(&mut self, closed: &SegmentClosed) -> Result<(), PushError> {
        let (_, open) = self.renditions.get(&closed.rendition).ok_or(PushError::NoInit)?;
        if self.closed.is_empty() && !whole(open.of(closed.segment), closed.lasts) {
            return Ok(());
        }
        if self.closed.keys().next().is_some_and(|first| closed.segment < *first) {
            return Ok(());
        }
        let said = self.closed.entry(closed.segment).or_default();
        if said.iter().all(|said| said.rendition != closed.rendition) {
            said.push(closed.clone());
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.renditions.values().map(|(init, open)| init.bytes.len() as u64 + open.bytes()).sum()
    }

    /// Where each closed segment begins, and the one after them.
    fn beginnings(&self) -> impl Iterator<Item = (u64, WallTime)> {
        let closed = self.closed.iter().filter_map(|(number, said)| Some((*number, said.first()?)));
        let open = closed.clone().next_back().map(|(number, last)| (number + 1, last.wall.plus(last.lasts)));
        closed.map(|(number, said)| (number, said.wall)).chain(open)
    }
}

impl Webinar {
    /// Goes on with a staged epoch if it is time.
    pub(crate) fn go_on(&mut self) {
        let ready = |(epoch, staged): (&u32, &Staged)| Some((*epoch, self.first_shown(staged)?));
        if let Some((epoch, from)) = self.staged.iter().rev().find_map(ready) {
            self.switch(epoch, from);
        }
    }

    /// A higher epoch ends before viewers have gone on with it, and they never will: the live one may still record, which
    /// an epoch that pushes no more cannot.
    pub(crate) fn let_go(&mut self, epoch: u32) {
        if let Some(staged) = self.staged.get_mut(&epoch) {
            *staged = Staged { over: true, ..Staged::default() };
        }
        self.last_word = true;
    }

    /// Whether a staged epoch has not yet said that there is no more.
    pub(crate) fn awaited(&self) -> bool {
        self.staged.values().any(|staged| !staged.over)
    }

    /// Keeps no more staged epochs than may be: those that are over go first.
    pub(crate) fn forget_staged(&mut self) {
        while self.staged.len() > MOST_STAGED {
            let over = self.staged.iter().find(|(_, staged)| staged.over).map(|(epoch, _)| *epoch);
            match over {
                Some(epoch) => _ = self.staged.remove(&epoch),
                None => _ = self.staged.pop_first(),
            }
        }
    }

    /// The segment with which viewers are to go on now, if they are.
    fn first_shown(&self, staged: &Staged) -> Option<u64> {
        let best = self.best(staged)?;
        let Some(listed) = self.last().map(Segment::until) else { return Some(best) };
        if self.over || self.interrupted || staged.closed.len() > 1 {
            return Some(best);
        }
        let (_, first) = staged.beginnings().next()?;
        let (_, begins) = staged.beginnings().last()?;
        let reach = self.reach();
        // The old one is here, or so far behind that there is a hole anyway.
        let here = reach.plus(ROUNDING) >= begins && listed <= begins.plus(TWICE);
        let hole = first > reach.plus(Duration::from_secs(self.rules.target));
        (here || hole).then_some(best)
    }

    /// The latest staged segment that leaves no gap; else the first, as after GAPs, which nobody needs to see whole.
    fn best(&self, staged: &Staged) -> Option<u64> {
        if self.interrupted {
            return staged.beginnings().next().map(|(number, _)| number);
        }
        let reach = self.reach().plus(ROUNDING);
        let within = staged.beginnings().take_while(|(_, begins)| *begins <= reach).last();
        within.or_else(|| staged.beginnings().next()).map(|(number, _)| number)
    }

    /// How far the live epoch has come in all renditions, parts included.
    fn reach(&self) -> WallTime {
        let of = |stream: &Stream| {
            let last = stream.segments.back()?;
            let open = if last.epoch == self.live { stream.open.lasts_from(last.number + 1) } else { Duration::ZERO };
            Some(last.until().plus(open))
        };
        self.streams.values().filter_map(of).min().unwrap_or_default()
    }

    fn switch(&mut self, epoch: u32, from: u64) {
        let Some(staged) = self.staged.remove(&epoch) else { return };
        if let Some((_, at)) = staged.beginnings().find(|(number, _)| *number == from) {
            self.cut(at);
        }
        self.staged = self.staged.split_off(&epoch);
        (self.live, self.from, self.start) = (epoch, from, None);
        (self.over, self.ended, self.last_word, self.quiet) = (false, false, false, None);
        self.streams.values_mut().for_each(|stream| stream.open = Open::default());
        for (name, (init, mut open)) in staged.renditions {
            open.forget_before(from);
            let stream = self.streams.entry(name).or_default();
            stream.inits.insert(epoch, init);
            stream.open = open;
        }
        for closed in staged.closed.range(from..).flat_map(|(_, said)| said) {
            // What does not fit would have been refused of a live epoch; this one has been answered.
            let _ = self.list(closed);
        }
    }

    /// Lists what the live epoch has of its open segment, up to the first part that reaches `at`, alike in all renditions.
    fn cut(&mut self, at: WallTime) {
        self.level();
        let Some(last) = self.last().filter(|last| last.epoch == self.live) else { return };
        let (number, missing) = (last.number + 1, at.since(last.until()));
        if missing <= ROUNDING {
            return;
        }
        let open = || self.streams.values().map(|stream| stream.open.of(number));
        let all = open().map(<[Part]>::len).min().unwrap_or(0);
        let Some(model) = open().next() else { return };
        let count = (1..all).find(|count| sum(&model[..*count]) + ROUNDING >= missing).unwrap_or(all);
        let lasts = sum(&model[..count]);
        if lasts.is_zero() {
            return;
        }
        let short = last.gap_after(lasts);
        for stream in self.streams.values_mut() {
            let mut parts = stream.open.take(number);
            parts.truncate(count);
            let short = Segment { parts: Vec::new(), ..short };
            stream.push(if frayed(&parts, lasts) { Segment { parts, ..short } } else { short });
        }
    }
}
