//! One rendition: its init sections, its segments in order, and the parts of those not yet closed. Knows nothing of
//! other renditions or of what is listed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use media::{Init, MediaTime, Part, WallTime};

use crate::PushError;

/// Parts are as long as their frames say; the sum may differ from the segment by rounding, not by a frame.
pub(crate) const ROUNDING: Duration = Duration::from_millis(10);

/// Two pictures at 25 a second, or four packets of sound.
const FRAYED: Duration = Duration::from_millis(80);

/// One place on the timeline.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) msn: u64,
    pub(crate) epoch: u32,
    /// Its number within the epoch.
    pub(crate) number: u64,
    pub(crate) lasts: Duration,
    /// Where it ends within its epoch.
    pub(crate) ends: MediaTime,
    pub(crate) date: WallTime,
    /// Its discontinuity sequence number.
    pub(crate) turn: u64,
    /// The timeline breaks before it.
    pub(crate) breaks: bool,
    /// None of them: the segment never arrived whole, a GAP.
    pub(crate) parts: Vec<Part>,
}

impl Segment {
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }

    /// The date at which the next one begins.
    pub(crate) fn until(&self) -> WallTime {
        self.date.plus(self.lasts)
    }

    /// What follows it when nothing came.
    pub(crate) fn gap_after(&self, lasts: Duration) -> Self {
        Self {
            msn: self.msn + 1,
            epoch: self.epoch,
            number: self.number + 1,
            lasts,
            ends: self.ends.plus(lasts),
            date: self.until(),
            turn: self.turn,
            breaks: false,
            parts: Vec::new(),
        }
    }
}

/// Parts of segments not yet closed, by number.
#[derive(Debug, Default)]
pub(crate) struct Open(BTreeMap<u64, Vec<Part>>);

impl Open {
    /// Keeps a part. One that is here already changes nothing.
    pub(crate) fn keep(&mut self, part: Part) -> Result<(), PushError> {
        let (segment, index) = (part.segment, part.index);
        let parts = self.0.entry(segment).or_default();
        let here = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        match index.cmp(&here) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => parts.push(part),
            std::cmp::Ordering::Greater => return Err(PushError::PartsMissing { segment, index }),
        }
        Ok(())
    }

    pub(crate) fn of(&self, number: u64) -> &[Part] {
        self.0.get(&number).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn take(&mut self, number: u64) -> Vec<Part> {
        self.0.remove(&number).unwrap_or_default()
    }

    /// How long the parts from segment `number` on last, up to the first segment of which there is none.
    pub(crate) fn lasts_from(&self, number: u64) -> Duration {
        (number..).map(|number| self.of(number)).take_while(|parts| !parts.is_empty()).map(sum).sum()
    }

    pub(crate) fn forget_before(&mut self, number: u64) {
        self.0.retain(|open, _| *open >= number);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().flatten().map(|part| part.bytes.len() as u64).sum()
    }
}

/// How long parts last together.
pub(crate) fn sum(parts: &[Part]) -> Duration {
    parts.iter().map(|part| part.lasts).sum()
}

/// Whether `parts` are all of a segment that lasts `lasts`.
pub(crate) fn whole(parts: &[Part], lasts: Duration) -> bool {
    sum(parts).abs_diff(lasts) <= ROUNDING
}

/// Whether `parts` are all of a segment that lasts `lasts` in another rendition: where a worker stops, its sound and its
/// picture do not end together.
pub(crate) fn frayed(parts: &[Part], lasts: Duration) -> bool {
    sum(parts).abs_diff(lasts) <= FRAYED
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) inits: BTreeMap<u32, Init>,
    /// Without holes in `msn`.
    pub(crate) segments: VecDeque<Segment>,
    /// Of the live epoch.
    pub(crate) open: Open,
    pub(crate) rate: Rate,
}

impl Stream {
    /// The MSN after the last one, if there is any.
    pub(crate) fn next(&self) -> Option<u64> {
        self.segments.back().map(|last| last.msn + 1)
    }

    pub(crate) fn at(&self, msn: u64) -> Option<&Segment> {
        let first = self.segments.front()?.msn;
        self.segments.get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    /// Segments from `msn` on.
    pub(crate) fn from(&self, msn: u64) -> impl Iterator<Item = &Segment> {
        let skipped = self.segments.front().map_or(0, |first| msn.saturating_sub(first.msn));
        self.segments.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }

    pub(crate) fn lasts_from(&self, msn: u64) -> Duration {
        self.from(msn).map(|segment| segment.lasts).sum()
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.rate.add(segment.bytes(), segment.lasts);
        self.segments.push_back(segment);
    }

    /// Forgets all before `msn`, and init sections that nothing needs any more.
    pub(crate) fn forget_before(&mut self, msn: u64) {
        while self.segments.front().is_some_and(|first| first.msn < msn) {
            self.segments.pop_front();
        }
        if let Some(first) = self.segments.front() {
            self.inits.retain(|epoch, _| *epoch >= first.epoch);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let inits = self.inits.values().map(|init| init.bytes.len() as u64);
        inits.chain([self.open.bytes()]).chain(self.segments.iter().map(Segment::bytes)).sum()
    }
}

/// Bits per second over the whole life of a rendition.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// Of the densest segment.
    pub(crate) peak: u64,
    bytes: u64,
    lasts: Duration,
}

impl Rate {
    pub(crate) fn average(&self) -> u64 {
        bits_per_second(self.bytes, self.lasts)
    }

    fn add(&mut self, bytes: u64, lasts: Duration) {
        if bytes == 0 {
            return;
        }
        self.bytes += bytes;
        self.lasts += lasts;
        // rfc8216bis 4.4.6.2: the peak counts runs of at least half a target duration; the cut end of an epoch may
        // be one frame long and as dense as a key frame.
        if lasts > Duration::from_secs(1) {
            self.peak = self.peak.max(bits_per_second(bytes, lasts));
        }
    }
}

fn bits_per_second(bytes: u64, lasts: Duration) -> u64 {
    let bits = u128::from(bytes) * 8 * 1_000_000_000;
    u64::try_from(bits / lasts.as_nanos().max(1)).unwrap_or(u64::MAX)
}
