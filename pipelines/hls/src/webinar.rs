//! What is pushed, and where it falls on the one timeline.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use media::{Init, MediaTime, Part, Rendition, SegmentClosed, WallTime};

use crate::stream::{Segment, Stream};
use crate::{media_playlist, multivariant};

/// What never changes over the life of a webinar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `EXT-X-TARGETDURATION` in seconds. A segment may last up to half a second more, for EXTINF is rounded
    /// (rfc8216bis 4.4.3.1): segments of 3.2 s fit a target of 3.
    pub target: u64,
    /// How far back players can go. Bytes are kept about twice as long (rfc8216bis 6.2.2).
    pub window: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { target: 3, window: Duration::from_secs(15 * 60) }
    }
}

/// Why a push was not taken. Whatever was pushed before stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    #[error("epoch {epoch} was superseded by epoch {newest}")]
    Fenced { epoch: u32, newest: u32 },
    #[error("this epoch has ended the webinar")]
    Ended,
    #[error("nothing can be placed before the init section of its epoch; push that first")]
    NoInit,
    #[error("an init section cannot change within an epoch")]
    InitChanged,
    #[error("part {index} of segment {segment} follows parts that never came")]
    PartsMissing { segment: u64, index: u32 },
    #[error("segment {segment} lasts {lasts:?}, more than the target duration of {target} s allows")]
    TooLong { segment: u64, lasts: Duration, target: u64 },
    #[error("segment {segment} lies too far ahead of the last one")]
    TooFarAhead { segment: u64 },
}

/// What a viewer is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not yet enough to play without stalling.
    Waiting,
    Live,
    Ended,
}

/// One live presentation.
#[derive(Debug)]
pub struct Webinar {
    pub(crate) rules: Rules,
    pub(crate) streams: BTreeMap<Rendition, Stream>,
    newest: u32,
    /// Where the newest epoch lies on the timeline; none before its first closed segment.
    start: Option<Start>,
    turn: Option<u64>,
    /// The first MSN that is listed.
    pub(crate) head: u64,
    /// The first MSN whose bytes are kept.
    pub(crate) floor: u64,
    /// The longest that any playlist ever was.
    pub(crate) longest: Duration,
    ended: bool,
}

/// The first closed segment of an epoch, in whichever rendition.
#[derive(Debug, Clone, Copy)]
struct Start {
    msn: u64,
    number: u64,
    begins: MediaTime,
    date: WallTime,
    turn: u64,
    breaks: bool,
}

impl Start {
    /// Wall time of a position in the epoch. One mapping for all renditions keeps their dates equal.
    fn date(&self, at: MediaTime) -> WallTime {
        self.date.plus(Duration::from_nanos(at.0.saturating_sub(self.begins.0)))
    }
}

/// The longest run of lost segments that is filled with GAPs: about a day. What claims more is a broken counter.
const MOST_LOST: u64 = 30_000;

/// Parts are as long as their frames say; the sum may differ from the segment by rounding, not by a frame.
const ROUNDING: Duration = Duration::from_millis(10);

impl Webinar {
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            streams: BTreeMap::new(),
            newest: 0,
            start: None,
            turn: None,
            head: 0,
            floor: 0,
            longest: Duration::ZERO,
            ended: false,
        }
    }

    /// Takes a rendition's init section for `epoch`. A higher epoch than before fences all lower ones, and goes on with
    /// a webinar that a lower one had ended: a worker that is told to stop says so before another has taken over.
    ///
    /// # Errors
    /// When the epoch is fenced or has ended, or had another init section before.
    pub fn init(&mut self, epoch: u32, init: Init) -> Result<(), PushError> {
        self.admit(epoch)?;
        if epoch > self.newest {
            self.newest = epoch;
            self.start = None;
            self.ended = false;
            self.streams.values_mut().for_each(|stream| stream.open.clear());
        }
        let inits = &mut self.streams.entry(init.rendition.clone()).or_default().inits;
        if inits.get(&epoch).is_some_and(|known| *known != init) {
            return Err(PushError::InitChanged);
        }
        inits.insert(epoch, init);
        Ok(())
    }

    /// Keeps a part. One that is here already, or whose segment is closed, changes nothing: pushes may be repeated.
    ///
    /// # Errors
    /// When the epoch is fenced or unknown, the epoch has ended, or an earlier part of the segment is missing.
    pub fn part(&mut self, epoch: u32, part: Part) -> Result<(), PushError> {
        let start = self.start;
        let stream = self.stream(epoch, &part.rendition)?;
        if closed(start, stream, part.segment) {
            return Ok(());
        }
        let (segment, index) = (part.segment, part.index);
        let parts = stream.open.entry(segment).or_default();
        let here = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        match index.cmp(&here) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => {
                parts.push(part);
                Ok(())
            }
            std::cmp::Ordering::Greater => Err(PushError::PartsMissing { segment, index }),
        }
    }

    /// Lists a segment, and GAPs for those before it that never came; or a GAP if parts of its own are missing.
    ///
    /// # Errors
    /// When the epoch is fenced or unknown, the epoch has ended, or the segment does not fit the playlist.
    pub fn closed(&mut self, epoch: u32, closed: &SegmentClosed) -> Result<(), PushError> {
        let number = closed.segment;
        if rounded(closed.lasts) > self.rules.target {
            return Err(PushError::TooLong { segment: number, lasts: closed.lasts, target: self.rules.target });
        }
        self.stream(epoch, &closed.rendition)?;
        let start = self.start.unwrap_or_else(|| self.begin(epoch, closed));
        // The epoch began, for us, with a later segment: this one has no place any more.
        let Some(ahead) = number.checked_sub(start.number) else { return Ok(()) };
        let msn = start.msn + ahead;
        let longest = gap_limit(self.rules.target);
        let stream = self.stream(epoch, &closed.rendition)?;
        let next = stream.next().unwrap_or(start.msn).max(start.msn);
        let Some(missing) = msn.checked_sub(next) else { return Ok(()) };
        if missing > MOST_LOST {
            return Err(PushError::TooFarAhead { segment: number });
        }
        let place = |msn: u64, begins: MediaTime, lasts: Duration, parts: Vec<Part>| Segment {
            msn,
            epoch,
            number: start.number + (msn - start.msn),
            lasts,
            ends: begins.plus(lasts),
            date: start.date(begins),
            turn: start.turn,
            breaks: start.breaks && msn == start.msn,
            parts,
        };
        let from = stream.segments.back().filter(|last| last.epoch == epoch).map_or(start.begins, |last| last.ends);
        let hole = closed.begins.0.saturating_sub(from.0);
        let each = Duration::from_nanos(hole.checked_div(missing).unwrap_or(0)).min(longest);
        for n in 0..missing {
            let begins = from.plus(each * u32::try_from(n).unwrap_or(u32::MAX));
            stream.push(place(next + n, begins, each, Vec::new()));
        }
        let mut parts = stream.open.remove(&number).unwrap_or_default();
        if parts.iter().map(|part| part.lasts).sum::<Duration>().abs_diff(closed.lasts) > ROUNDING {
            parts.clear();
        }
        stream.open.retain(|open, _| *open > number);
        stream.push(place(msn, closed.begins, closed.lasts, parts));
        self.start = Some(start);
        self.turn = Some(start.turn);
        self.slide();
        Ok(())
    }

    /// No more will come of this epoch. Playlists get their ENDLIST, until a higher epoch takes it away again.
    ///
    /// # Errors
    /// When the epoch is fenced. Ending twice is no error.
    pub fn end(&mut self, epoch: u32) -> Result<(), PushError> {
        if epoch < self.newest {
            return Err(PushError::Fenced { epoch, newest: self.newest });
        }
        self.ended = true;
        self.streams.values_mut().for_each(|stream| stream.open.clear());
        Ok(())
    }

    #[must_use]
    pub fn state(&self) -> State {
        // rfc8216bis 6.2.2 never lets a playlist shrink below three target durations; do not begin below them either.
        let enough = Duration::from_secs(3 * self.rules.target);
        let listed = |stream: &Stream| stream.lasts_from(self.head) >= enough;
        match self.ended {
            true => State::Ended,
            false if !self.streams.is_empty() && self.streams.values().all(listed) => State::Live,
            false => State::Waiting,
        }
    }

    /// The newest epoch that pushed anything.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.newest
    }

    /// How far back players can go.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.rules.window
    }

    /// The multivariant playlist; none while the webinar waits, or when it ended before it was live.
    #[must_use]
    pub fn multivariant(&self) -> Option<String> {
        (self.state() != State::Waiting).then(|| multivariant::write(self)).flatten()
    }

    /// The media playlist of one rendition; none while nothing is listed in it.
    #[must_use]
    pub fn playlist(&self, rendition: &Rendition) -> Option<String> {
        let stream = self.streams.get(rendition)?;
        media_playlist::write(stream.from(self.head), self.rules.target, self.ended)
    }

    #[must_use]
    pub fn init_section(&self, rendition: &Rendition, epoch: u32) -> Option<Bytes> {
        Some(self.streams.get(rendition)?.inits.get(&epoch)?.bytes.clone())
    }

    /// The parts that are segment `number` of `epoch`; none for a GAP or what is no longer or not yet here.
    #[must_use]
    pub fn segment(&self, rendition: &Rendition, epoch: u32, number: u64) -> Option<Vec<Bytes>> {
        let stream = self.streams.get(rendition)?;
        let segment = stream.segments.iter().find(|segment| (segment.epoch, segment.number) == (epoch, number))?;
        let parts: Vec<Bytes> = segment.parts.iter().map(|part| part.bytes.clone()).collect();
        (!parts.is_empty()).then_some(parts)
    }

    /// Media bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.streams.values().map(Stream::bytes).sum()
    }

    fn admit(&self, epoch: u32) -> Result<(), PushError> {
        if epoch < self.newest {
            return Err(PushError::Fenced { epoch, newest: self.newest });
        }
        if self.ended && epoch == self.newest { Err(PushError::Ended) } else { Ok(()) }
    }

    fn stream(&mut self, epoch: u32, rendition: &Rendition) -> Result<&mut Stream, PushError> {
        self.admit(epoch)?;
        let stream = self.streams.get_mut(rendition).ok_or(PushError::NoInit)?;
        if stream.inits.contains_key(&epoch) { Ok(stream) } else { Err(PushError::NoInit) }
    }

    /// Finds the place of an epoch on the timeline, after all that is there.
    fn begin(&mut self, epoch: u32, first: &SegmentClosed) -> Start {
        let Some(next) = self.streams.values().filter_map(Stream::next).max() else {
            let msn = first_msn(epoch, first);
            (self.head, self.floor) = (msn, msn);
            let turn = u64::from(epoch.saturating_sub(1));
            return Start::of(first, msn, first.wall, turn, false);
        };
        self.level(next);
        // A worker whose clock is behind must not make dates run backwards.
        let ends = self.streams.values().filter_map(|stream| stream.segments.back());
        let date = ends.map(|last| last.date.plus(last.lasts)).fold(first.wall, Ord::max);
        Start::of(first, next, date, self.turn.map_or(0, |turn| turn + 1), true)
    }

    /// Fills renditions that the last epoch left shorter than others, so that all go on from `next`.
    fn level(&mut self, next: u64) {
        let shorter: Vec<(Rendition, u64)> =
            self.streams.iter().filter_map(|(name, stream)| Some((name.clone(), stream.next()?))).collect();
        for (name, from) in shorter {
            for msn in from..next {
                let Some(model) = self.streams.values().find_map(|stream| stream.at(msn)) else { return };
                let gap = Segment { parts: Vec::new(), ..*model };
                if let Some(stream) = self.streams.get_mut(&name) {
                    stream.push(gap);
                }
            }
        }
    }
}

impl Start {
    fn of(first: &SegmentClosed, msn: u64, date: WallTime, turn: u64, breaks: bool) -> Self {
        Self { msn, number: first.segment, begins: first.begins, date, turn, breaks }
    }
}

/// Where a webinar begins to count.
///
/// In epoch 1 a segment's MSN is its number, so an origin that lost its memory goes on where it was. In a later epoch
/// such an origin cannot know how many segments there were; half the seconds since 1970 grow faster than segments do,
/// so the number is above all that were given out before.
fn first_msn(epoch: u32, first: &SegmentClosed) -> u64 {
    let half_seconds = u64::try_from(first.wall.0 / 2_000_000).unwrap_or(0);
    if epoch <= 1 { first.segment } else { half_seconds }
}

fn closed(start: Option<Start>, stream: &Stream, number: u64) -> bool {
    let Some(start) = start else { return false };
    let next = stream.next().unwrap_or(start.msn).max(start.msn);
    number.checked_sub(start.number).is_none_or(|ahead| start.msn + ahead < next)
}

/// As EXTINF is rounded before it is compared with the target.
fn rounded(lasts: Duration) -> u64 {
    (lasts + Duration::from_millis(500)).as_secs()
}

/// The longest duration that still rounds to `target`.
fn gap_limit(target: u64) -> Duration {
    Duration::from_millis(target * 1000 + 499)
}
