//! What may be pushed, and what is answered. Where an epoch falls on the timeline is `timeline`'s part, when viewers go on
//! with another one is `staged`'.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use media::{Init, MediaTime, Part, Rendition, SegmentClosed, WallTime};

use crate::staged::Staged;
use crate::stream::{Segment, Stream, whole};
use crate::timeline::{MOST_LOST, Start, gap_limit};
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
    /// Nothing has come for some time: GAPs are listed until a recorder is back.
    Interrupted,
    Ended,
}

/// One live presentation.
#[derive(Debug)]
pub struct Webinar {
    pub(crate) rules: Rules,
    pub(crate) streams: BTreeMap<Rendition, Stream>,
    /// The epoch that viewers see. Lower ones are fenced.
    pub(crate) live: u32,
    /// The live epoch's parts of segments before this one have no place.
    pub(crate) from: u64,
    /// Where the live epoch lies on the timeline; none before its first closed segment.
    pub(crate) start: Option<Start>,
    /// The live epoch has said that there is no more.
    pub(crate) over: bool,
    /// Higher epochs, which push beside the live one.
    pub(crate) staged: BTreeMap<u32, Staged>,
    /// A higher epoch has said that there is no more, and the live one has closed no segment since.
    pub(crate) last_word: bool,
    pub(crate) turn: Option<u64>,
    /// Where the list ended when the live epoch was last heard of; known once somebody has asked since.
    pub(crate) quiet: Option<WallTime>,
    pub(crate) interrupted: bool,
    /// The first MSN that is listed.
    pub(crate) head: u64,
    /// The first MSN whose bytes are kept.
    pub(crate) floor: u64,
    /// The longest that any playlist ever was.
    pub(crate) longest: Duration,
    pub(crate) ended: bool,
}

impl Webinar {
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            streams: BTreeMap::new(),
            live: 0,
            from: 0,
            start: None,
            over: false,
            staged: BTreeMap::new(),
            last_word: false,
            turn: None,
            quiet: None,
            interrupted: false,
            head: 0,
            floor: 0,
            longest: Duration::ZERO,
            ended: false,
        }
    }

    /// Takes a rendition's init section for `epoch`. A higher epoch than the live one is staged: both may push until
    /// viewers go on with the higher one. It also goes on with a webinar that a lower one had ended: a worker that is told
    /// to stop says so before another has taken over.
    ///
    /// # Errors
    /// When the epoch is fenced or has ended, or had another init section before.
    pub fn init(&mut self, epoch: u32, init: Init) -> Result<(), PushError> {
        if self.streams.is_empty() && epoch > self.live {
            (self.live, self.over, self.ended) = (epoch, false, false);
        }
        self.admit(epoch)?;
        if epoch > self.live {
            self.staged.entry(epoch).or_default().init(init)?;
            self.forget_staged();
            return Ok(());
        }
        self.quiet = None;
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
        self.admit(epoch)?;
        if epoch > self.live {
            self.staged(epoch)?.part(part)?;
        } else {
            let (start, from) = (self.start, self.from);
            let stream = self.stream(&part.rendition)?;
            if part.segment >= from && !closed(start, stream, part.segment) {
                stream.open.keep(part)?;
            }
            self.quiet = None;
        }
        self.go_on();
        Ok(())
    }

    /// Lists a segment, and GAPs for those before it that never came; or a GAP if parts of its own are missing. Of a
    /// staged epoch it is kept.
    ///
    /// # Errors
    /// When the epoch is fenced or unknown, the epoch has ended, or the segment does not fit the playlist.
    pub fn closed(&mut self, epoch: u32, closed: &SegmentClosed) -> Result<(), PushError> {
        if rounded(closed.lasts) > self.rules.target {
            let (segment, lasts) = (closed.segment, closed.lasts);
            return Err(PushError::TooLong { segment, lasts, target: self.rules.target });
        }
        self.admit(epoch)?;
        if epoch > self.live {
            self.staged(epoch)?.closed(closed)?;
        } else {
            self.list(closed)?;
            self.quiet = None;
        }
        self.go_on();
        Ok(())
    }

    /// No more will come of this epoch, which says nothing about others. While a staged one still records, the webinar
    /// goes on with that or waits for it; a staged epoch that ends is let go of, and the live one stays as it is. When all
    /// have ended, playlists get their ENDLIST, until a higher epoch takes it away again.
    ///
    /// # Errors
    /// When the epoch is fenced. Ending twice is no error.
    pub fn end(&mut self, epoch: u32) -> Result<(), PushError> {
        if epoch < self.live {
            return Err(PushError::Fenced { epoch, newest: self.live });
        }
        if self.streams.is_empty() {
            self.live = epoch;
        }
        if epoch == self.live {
            self.over = true;
            self.go_on();
        } else {
            self.let_go(epoch);
        }
        if self.over && !self.awaited() {
            self.ended = true;
            self.streams.values_mut().for_each(|stream| stream.open = <_>::default());
        }
        Ok(())
    }

    #[must_use]
    pub fn state(&self) -> State {
        // rfc8216bis 6.2.2 never lets a playlist shrink below three target durations; do not begin below them either.
        let enough = Duration::from_secs(3 * self.rules.target);
        let listed = |stream: &Stream| stream.lasts_from(self.head) >= enough;
        match self.ended {
            true => State::Ended,
            false if self.streams.is_empty() || !self.streams.values().all(listed) => State::Waiting,
            false if self.interrupted => State::Interrupted,
            false => State::Live,
        }
    }

    /// The epoch that viewers see.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.live
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
        let staged = self.staged.values().map(Staged::bytes);
        self.streams.values().map(Stream::bytes).chain(staged).sum()
    }

    /// Whether `epoch` may push: the live one, or a higher one that is staged.
    fn admit(&self, epoch: u32) -> Result<(), PushError> {
        match epoch.cmp(&self.live) {
            Ordering::Less => Err(PushError::Fenced { epoch, newest: self.live }),
            Ordering::Equal if self.over => Err(PushError::Ended),
            Ordering::Greater if self.staged.get(&epoch).is_some_and(Staged::over) => Err(PushError::Ended),
            Ordering::Equal | Ordering::Greater => Ok(()),
        }
    }

    /// A rendition of the live epoch.
    fn stream(&mut self, rendition: &Rendition) -> Result<&mut Stream, PushError> {
        let live = self.live;
        self.streams.get_mut(rendition).filter(|stream| stream.inits.contains_key(&live)).ok_or(PushError::NoInit)
    }

    fn staged(&mut self, epoch: u32) -> Result<&mut Staged, PushError> {
        self.staged.get_mut(&epoch).ok_or(PushError::NoInit)
    }

    /// Lists a segment of the live epoch.
    pub(crate) fn list(&mut self, closed: &SegmentClosed) -> Result<(), PushError> {
        let (epoch, number) = (self.live, closed.segment);
        let stream = self.stream(&closed.rendition)?;
        let here = whole(stream.open.of(number), closed.lasts);
        // An epoch begins with a whole segment; viewers never knew of what came before.
        if self.start.is_none() && !here {
            return Ok(());
        }
        let start = self.start.unwrap_or_else(|| self.begin(epoch, closed));
        // The epoch began, for us, with a later segment: this one has no place any more.
        let Some(ahead) = number.checked_sub(start.number) else { return Ok(()) };
        let msn = start.msn + ahead;
        let longest = gap_limit(self.rules.target);
        let stream = self.stream(&closed.rendition)?;
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
        let parts = stream.open.take(number);
        stream.open.forget_before(number);
        stream.push(place(msn, closed.begins, closed.lasts, if here { parts } else { Vec::new() }));
        self.start = Some(start);
        self.turn = Some(start.turn);
        (self.quiet, self.interrupted, self.last_word, self.ended) = (None, false, false, false);
        self.slide();
        Ok(())
    }
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
