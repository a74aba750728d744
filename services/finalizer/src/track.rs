//! One rendition of the final file: which samples of which stored segments, in which order, for how long. Pure.

use std::ops::Range;

use media::Rendition;
use mp4_atom::{Codec, Trak};
use timeline::{Stored, Turn, accompany, cover, holes, turns};

use crate::fragment::{Init, Sample};
use crate::gather::Segment;
use crate::movie::rescale;
use crate::silence;

/// A good segment and its place on the common line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) init: &'a Init,
    /// Where its epoch's unit zero is presented on the common line.
    pub(crate) origin: i64,
}

/// All good segments of one rendition. Their tracks have the same timescale.
#[derive(Debug, Clone)]
pub(crate) struct Lane<'a> {
    pub(crate) rendition: Rendition,
    pub(crate) units: Vec<Unit<'a>>,
}

/// What a chunk of the final file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Of {
    /// These samples of one of the lane's units, by its index.
    Unit(usize, Range<usize>),
    /// So many of these frames.
    Silence(u32, &'static [u8]),
}

/// A run of samples that lie together in the final file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) of: Of,
    /// Decode time of its first sample on the common line.
    pub(crate) at: i64,
    /// How long its last sample is shown: longer than it was recorded where it bridges a hole.
    pub(crate) last: u32,
    /// Which sample entry decodes it, from 1.
    pub(crate) entry: u32,
}

/// A sample as the final file's tables say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) lasts: u32,
    pub(crate) shift: i32,
    pub(crate) size: u32,
    pub(crate) sync: bool,
}

/// Nothing is shown between a piece of one epoch and a piece of another, or the same: indices into the gathered epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) time: Range<i64>,
    pub(crate) before: usize,
    pub(crate) after: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Track<'a> {
    pub(crate) lane: &'a Lane<'a>,
    /// As the first worker's encoder described it.
    pub(crate) trak: &'a Trak,
    pub(crate) timescale: u32,
    pub(crate) entries: Vec<Codec>,
    /// At least one, in order of time.
    pub(crate) chunks: Vec<Chunk>,
    /// Where nothing is shown, on the common line.
    pub(crate) holes: Vec<Hole>,
    /// From the beginning of what was recorded to its end, on the common line.
    pub(crate) recorded: Range<i64>,
    /// Whose turn it is when, as it is shown.
    turns: Vec<Turn>,
    /// Where the first chunk is shown: earlier than what was recorded where silence fills it.
    pub(crate) begins: i64,
}

impl<'a> Unit<'a> {
    fn samples(&self) -> &'a [Sample] {
        &self.segment.samples
    }

    fn time(&self) -> Range<i64> {
        let samples = self.samples();
        let (first, last) = (&samples[0], &samples[samples.len() - 1]);
        self.at(first)..self.at(last) + i64::from(last.lasts)
    }

    fn at(&self, sample: &Sample) -> i64 {
        self.origin.saturating_add_unsigned(sample.at)
    }
}

/// How far apart two segments may be and still follow one another: less than anybody notices.
pub(crate) fn slack(timescale: u32) -> i64 {
    i64::from(timescale / 20)
}

impl<'a> Track<'a> {
    /// The tracks of these lanes that have anything to show. Those that can begin anywhere go along with the first.
    pub(crate) fn all(lanes: &'a [Lane<'a>]) -> Vec<Self> {
        let mut tracks: Vec<Self> = Vec::new();
        for lane in lanes {
            let track = Self::build(lane, tracks.first());
            tracks.extend(track);
        }
        tracks
    }

    /// None when nothing of it can be shown.
    fn build(lane: &'a Lane<'a>, lead: Option<&Self>) -> Option<Self> {
        let first = lane.units.first()?;
        let timescale = first.init.timescale;
        let stored: Vec<Stored> =
            lane.units.iter().map(|u| Stored { epoch: u.segment.epoch, time: u.time() }).collect();
        let anywhere = || lane.units.iter().flat_map(Unit::samples).all(|sample| sample.sync);
        let pieces = match lead.filter(|_| anywhere()) {
            Some(lead) => accompany(&stored, &lead.turns_in(timescale), slack(timescale)),
            None => cover(&stored, slack(timescale)),
        };
        let mut track = Self {
            lane,
            trak: &first.init.trak,
            timescale,
            entries: Vec::new(),
            chunks: Vec::new(),
            holes: Vec::new(),
            recorded: 0..0,
            turns: turns(&stored, &pieces),
            begins: 0,
        };
        for time in holes(&pieces, slack(timescale)) {
            let next = pieces.partition_point(|piece| piece.time.end <= time.start);
            let epoch = |piece: usize| stored[pieces[piece].stored].epoch;
            track.holes.push(Hole { time, before: epoch(next - 1), after: epoch(next) });
        }
        for piece in pieces {
            track.append(piece.stored, piece.fresh, piece.time);
        }
        let (first, last) = (track.chunks.first()?, track.chunks.last()?);
        let Of::Unit(unit, samples) = &first.of else { return None };
        // Frames that are decoded in another order are all shown this much later than they are decoded.
        let delay = i64::from(lane.units[*unit].samples()[samples.start].shift);
        track.recorded = first.at + delay..track.end(last) + delay;
        track.begins = track.recorded.start;
        for turn in &mut track.turns {
            let shown = |at: i64| if at == i64::MIN || at == i64::MAX { at } else { at + delay };
            turn.time = shown(turn.time.start)..shown(turn.time.end);
        }
        for hole in &mut track.holes {
            hole.time = hole.time.start + delay..hole.time.end + delay;
        }
        Some(track)
    }

    fn turns_in(&self, timescale: u32) -> Vec<Turn> {
        let at = |at: i64| match at {
            i64::MIN | i64::MAX => at,
            at => rescale(at, self.timescale, timescale),
        };
        self.turns.iter().map(|turn| Turn { epoch: turn.epoch, time: at(turn.time.start)..at(turn.time.end) }).collect()
    }

    fn append(&mut self, unit: usize, fresh: bool, time: Range<i64>) {
        let of = &self.lane.units[unit];
        let samples = of.samples();
        let before = |at: i64| samples.partition_point(|s| of.at(s) + i64::from(s.lasts / 2) <= at);
        let first = if time.start > of.time().start { before(time.start) } else { 0 };
        // A decoder that begins anew needs a key frame; the samples before it were for a segment that is gone.
        let from = if fresh { samples[first..].iter().position(|s| s.sync).map(|at| first + at) } else { Some(first) };
        let to = before(time.end);
        let Some(from) = from.filter(|from| *from < to) else { return };
        let at = of.at(&samples[from]);
        let codec = &of.init.trak.mdia.minf.stbl.stsd.codecs[0];
        let known = self.entries.iter().position(|entry| entry == codec);
        let entry = known.unwrap_or_else(|| {
            self.entries.push(codec.clone());
            self.entries.len() - 1
        });
        self.bridge(at);
        let entry = u32::try_from(entry + 1).unwrap_or(u32::MAX);
        self.chunks.push(Chunk { of: Of::Unit(unit, from..to), at, last: samples[to - 1].lasts, entry });
    }

    /// Makes what there is last until `at`: sound by silence, a picture by standing still.
    fn bridge(&mut self, at: i64) {
        let Some(last) = self.chunks.last() else { return };
        let (end, entry) = (self.end(last), last.entry);
        let silent = u32::try_from((at - end) / i64::from(silence::FRAME)).unwrap_or(0);
        if let Some(frame) = self.silent_frame(entry).filter(|_| silent > 0) {
            let of = Of::Silence(silent, frame);
            self.chunks.push(Chunk { of, at: end, last: silence::FRAME, entry });
        }
        let Some(last) = self.chunks.len().checked_sub(1) else { return };
        let rest = at - self.end(&self.chunks[last]);
        let lasts = i64::from(self.chunks[last].last) + rest;
        self.chunks[last].last = u32::try_from(lasts.max(1)).unwrap_or(u32::MAX);
    }

    /// Begins with silence at `at`, or less than a frame after it, where sound is missing at the beginning.
    pub(crate) fn begin_at(&mut self, at: i64) {
        let Some(first) = self.chunks.first() else { return };
        let silent = u32::try_from((self.begins - at) / i64::from(silence::FRAME)).unwrap_or(0);
        let Some(frame) = self.silent_frame(first.entry).filter(|_| silent > 0) else { return };
        let lasts = i64::from(silent) * i64::from(silence::FRAME);
        let (at, entry) = (first.at - lasts, first.entry);
        self.chunks.insert(0, Chunk { of: Of::Silence(silent, frame), at, last: silence::FRAME, entry });
        self.begins -= lasts;
    }

    /// A frame of silence for this entry, if it is AAC-LC whose frames are as long as its clock says.
    fn silent_frame(&self, entry: u32) -> Option<&'static [u8]> {
        let Codec::Mp4a(sound) = &self.entries[entry as usize - 1] else { return None };
        let config = sound.esds.es_desc.dec_config.dec_specific.as_ref()?;
        let plain = config.profile == 2 && u32::from(sound.audio.sample_rate.integer()) == self.timescale;
        silence::frame(config.chan_conf).filter(|_| plain)
    }

    fn end(&self, chunk: &Chunk) -> i64 {
        let before = match &chunk.of {
            Of::Unit(unit, samples) => {
                let samples = &self.lane.units[*unit].samples()[samples.clone()];
                samples[samples.len() - 1].at - samples[0].at
            }
            Of::Silence(count, _) => u64::from(count - 1) * u64::from(silence::FRAME),
        };
        chunk.at.saturating_add_unsigned(before) + i64::from(chunk.last)
    }

    /// The samples of a chunk, each lasting until the next.
    pub(crate) fn shown(&self, chunk: &Chunk) -> Vec<Shown> {
        let mut shown: Vec<Shown> = match &chunk.of {
            Of::Unit(unit, range) => {
                let samples = self.lane.units[*unit].samples();
                let next = samples[range.clone()].iter().skip(1).map(|s| s.at).chain(std::iter::once(u64::MAX));
                let each = samples[range.clone()].iter().zip(next);
                each.map(|(s, next)| Shown {
                    lasts: u32::try_from(next - s.at).unwrap_or(s.lasts),
                    shift: s.shift,
                    size: s.size,
                    sync: s.sync,
                })
                .collect()
            }
            Of::Silence(count, frame) => {
                let size = u32::try_from(frame.len()).unwrap_or(0);
                vec![Shown { lasts: silence::FRAME, shift: 0, size, sync: true }; *count as usize]
            }
        };
        if let Some(last) = shown.last_mut() {
            last.lasts = chunk.last;
        }
        shown
    }

    /// Bytes of a chunk.
    pub(crate) fn size(&self, chunk: &Chunk) -> u64 {
        match &chunk.of {
            Of::Unit(unit, range) => {
                self.lane.units[*unit].samples()[range.clone()].iter().map(|s| u64::from(s.size)).sum()
            }
            Of::Silence(count, frame) => u64::from(*count) * frame.len() as u64,
        }
    }
}
