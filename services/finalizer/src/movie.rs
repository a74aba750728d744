//! Lays out the final file: `ftyp`, `moov`, `mdat`, in this order, so that a player that reads from the beginning can
//! start at once. Gives the head as bytes and the order of the chunks that follow it; moves no media. Pure.

use std::time::Duration;

use media::{MediaTime, WallTime};
use mp4_atom::{
    Co64, Ctts, CttsEntry, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Header, Matrix, Moov, Mvhd, Stbl, Stco, Stsc,
    StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Trak,
};

use storage::journal::Gap;

use crate::chapters;
use crate::gaps::Line;
use crate::track::{Shown, Track};

/// Units per second of the movie: divides into frames of 24, 25, 30, 50 and 60 per second without a rest.
const TIMESCALE: u32 = 90_000;

/// Seconds from 1904 (ISO/IEC 14496-12 8.2.2) to 1970.
const EPOCH_1904: u64 = 2_082_844_800;

/// The file cannot be written with the tables that MP4 has.
#[derive(Debug, thiserror::Error)]
#[error("the recording does not fit an MP4 file's tables")]
pub struct LayoutError(#[from] mp4_atom::Error);

/// A file to be written: the head, then these chunks.
#[derive(Debug)]
pub(crate) struct Movie {
    pub(crate) head: Vec<u8>,
    /// Track and chunk, by index.
    pub(crate) order: Vec<(usize, usize)>,
    pub(crate) lasts: Duration,
    /// What is missing in it.
    pub(crate) gaps: Vec<Gap>,
}

impl Movie {
    /// Lays out `tracks`, at least one, recorded from `recorded` on. Time zero of the common line is when the first
    /// worker began; the file begins there, or later where nothing of the beginning is left. What is `missing` on its
    /// line becomes chapters.
    pub(crate) fn lay_out(
        tracks: &mut [Track<'_>],
        recorded: WallTime,
        missing: impl FnOnce(&[Track<'_>], Line) -> Vec<Gap>,
    ) -> Result<Self, LayoutError> {
        let seconds = |at: i64, track: &Track<'_>| rescale(at, track.timescale, TIMESCALE);
        let begins = tracks.iter().map(|t| seconds(t.begins, t)).min().unwrap_or(0).max(0);
        let ends = tracks.iter().map(|t| seconds(t.recorded.end, t)).max().unwrap_or(begins).max(begins);
        for track in tracks.iter_mut() {
            // Not every player waits for a sound that begins late.
            track.begin_at(rescale(begins, TIMESCALE, track.timescale));
        }
        let duration = |units: i64| Duration::from_micros(units.unsigned_abs() * 100 / 9);
        let lasts = duration(ends - begins);
        let line = Line { zero: recorded.plus(duration(begins)), lasts: MediaTime::default().plus(lasts) };
        let gaps = missing(tracks, line);
        let chapters = chapters::encode(&chapters::of(&gaps, line));
        let order = interleave(tracks);
        let payload: u64 = order.iter().map(|(track, chunk)| tracks[*track].size(&tracks[*track].chunks[*chunk])).sum();

        // The tables' length does not depend on the offsets in them, so one round of offsets from zero tells it.
        let mut large = false;
        let plan = Plan { tracks, order: &order, recorded, shown: begins..ends, payload, chapters: &chapters };
        let shape = |base, large| plan.encode(base, large);
        let mut head = shape(0, large)?;
        if head.len() as u64 + payload > u64::from(u32::MAX) {
            large = true;
            head = shape(0, large)?;
        }
        let head = shape(head.len() as u64, large)?;
        Ok(Self { head, order, lasts, gaps })
    }
}

/// All chunks in order of time, so that a player reads on without seeking.
fn interleave(tracks: &[Track<'_>]) -> Vec<(usize, usize)> {
    let all = tracks.iter().enumerate().flat_map(|(t, track)| (0..track.chunks.len()).map(move |c| (t, c)));
    let mut order: Vec<_> = all.collect();
    order.sort_by_key(|(t, c)| (rescale(tracks[*t].chunks[*c].at, tracks[*t].timescale, TIMESCALE), *t));
    order
}

/// All that the head is made of but the offsets.
struct Plan<'a> {
    tracks: &'a [Track<'a>],
    order: &'a [(usize, usize)],
    recorded: WallTime,
    shown: std::ops::Range<i64>,
    payload: u64,
    /// As a box.
    chapters: &'a [u8],
}

impl Plan<'_> {
    fn encode(&self, base: u64, large: bool) -> Result<Vec<u8>, LayoutError> {
        let Self { tracks, shown, .. } = self;
        let mut offsets: Vec<Vec<u64>> = tracks.iter().map(|track| vec![0; track.chunks.len()]).collect();
        let mut at = base;
        for (t, c) in self.order {
            offsets[*t][*c] = at;
            at += tracks[*t].size(&tracks[*t].chunks[*c]);
        }
        let created = u64::try_from(self.recorded.0 / 1_000_000).unwrap_or(0) + EPOCH_1904;
        let traks: Vec<Trak> = tracks
            .iter()
            .zip(offsets)
            .zip(1..)
            .map(|((track, offsets), id)| trak(track, offsets, id, created, shown, large))
            .collect();
        let moov = Moov {
            mvhd: Mvhd {
                creation_time: created,
                modification_time: created,
                timescale: TIMESCALE,
                duration: (shown.end - shown.start).unsigned_abs(),
                rate: 1.into(),
                volume: 1.into(),
                matrix: Matrix::default(),
                next_track_id: u32::try_from(traks.len() + 1).unwrap_or(u32::MAX),
            },
            trak: traks,
            ..Moov::default()
        };
        let brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new);
        let ftyp = Ftyp { major_brand: brands[0], minor_version: 512, compatible_brands: brands.to_vec() };
        let mut head = Vec::new();
        ftyp.encode(&mut head)?;
        let at = head.len();
        moov.encode(&mut head)?;
        // The library knows no chapters: they are put at the end of its `moov`, whose size grows by theirs.
        head.extend_from_slice(self.chapters);
        let size = u32::try_from(head.len() - at).map_err(|_| mp4_atom::Error::InvalidSize)?;
        head[at..at + 4].copy_from_slice(&size.to_be_bytes());
        let size = usize::try_from(self.payload).map_err(|_| mp4_atom::Error::InvalidSize)?;
        Header { kind: FourCC::new(b"mdat"), size: Some(size) }.encode(&mut head)?;
        Ok(head)
    }
}

fn trak(
    track: &Track<'_>,
    offsets: Vec<u64>,
    id: u32,
    created: u64,
    movie: &std::ops::Range<i64>,
    large: bool,
) -> Trak {
    let begins = rescale(track.begins, track.timescale, TIMESCALE);
    let ends = rescale(track.recorded.end, track.timescale, TIMESCALE);
    let shown = (ends - begins.max(movie.start)).max(0).unsigned_abs();
    let first = track.chunks.first().map_or(0, |chunk| chunk.at);
    // Media time counts from the first sample's decode time; what is presented first may lie after it (frames in
    // another order), and priming lies before the movie's beginning.
    let skipped = (track.begins - first) + rescale((movie.start - begins).max(0), TIMESCALE, track.timescale);
    let delay = (begins - movie.start).max(0).unsigned_abs();
    let edit = |segment_duration, media_time| ElstEntry { segment_duration, media_time, media_rate: 1.into() };
    let entries = if delay > 0 { vec![edit(delay, None)] } else { Vec::new() };
    let entries = entries.into_iter().chain([edit(shown, Some(skipped.max(0).unsigned_abs()))]).collect();

    let mut trak = track.trak.clone();
    trak.tkhd.track_id = id;
    trak.tkhd.creation_time = created;
    trak.tkhd.modification_time = created;
    trak.tkhd.duration = delay + shown;
    trak.tkhd.enabled = true;
    trak.tkhd.in_movie = true;
    trak.edts = Some(Edts { elst: Some(Elst { entries }) });
    trak.mdia.mdhd.creation_time = created;
    trak.mdia.mdhd.modification_time = created;
    trak.mdia.mdhd.duration = (track.recorded.end - first).max(0).unsigned_abs();
    trak.mdia.minf.stbl = stbl(track, offsets, large);
    trak
}

fn stbl(track: &Track<'_>, offsets: Vec<u64>, large: bool) -> Stbl {
    let (mut stts, mut ctts, mut stsc) = (Vec::<SttsEntry>::new(), Vec::<CttsEntry>::new(), Vec::<StscEntry>::new());
    let (mut sizes, mut syncs) = (Vec::new(), Vec::new());
    for (chunk, first_chunk) in track.chunks.iter().zip(1..) {
        let shown = track.shown(chunk);
        let samples_per_chunk = u32::try_from(shown.len()).unwrap_or(u32::MAX);
        let same = |last: &StscEntry| {
            last.samples_per_chunk == samples_per_chunk && last.sample_description_index == chunk.entry
        };
        if !stsc.last().is_some_and(same) {
            stsc.push(StscEntry { first_chunk, samples_per_chunk, sample_description_index: chunk.entry });
        }
        for Shown { lasts, shift, size, sync } in shown {
            match stts.last_mut() {
                Some(run) if run.sample_delta == lasts => run.sample_count += 1,
                _ => stts.push(SttsEntry { sample_count: 1, sample_delta: lasts }),
            }
            match ctts.last_mut() {
                Some(run) if run.sample_offset == i64::from(shift) => run.sample_count += 1,
                _ => ctts.push(CttsEntry { sample_count: 1, sample_offset: shift.into() }),
            }
            sizes.push(size);
            if sync {
                syncs.push(u32::try_from(sizes.len()).unwrap_or(u32::MAX));
            }
        }
    }
    let all_sync = syncs.len() == sizes.len();
    let reordered = ctts.iter().any(|run| run.sample_offset != 0);
    let small = || offsets.iter().map(|at| u32::try_from(*at).unwrap_or(u32::MAX)).collect();
    Stbl {
        stsd: Stsd { codecs: track.entries.clone() },
        stts: Stts { entries: stts },
        ctts: reordered.then_some(Ctts { entries: ctts }),
        // ISO/IEC 14496-12 8.6.2: absent when every sample is one.
        stss: (!all_sync).then_some(Stss { entries: syncs }),
        stsc: Stsc { entries: stsc },
        stsz: Stsz { samples: StszSamples::Different { sizes } },
        stco: (!large).then(|| Stco { entries: small() }),
        co64: large.then_some(Co64 { entries: offsets }),
        ..Stbl::default()
    }
}

/// `at` in other units, to the nearest.
pub(crate) fn rescale(at: i64, from: u32, to: u32) -> i64 {
    let from = i128::from(from.max(1));
    let scaled = (i128::from(at) * i128::from(to) * 2 + from).div_euclid(from * 2);
    i64::try_from(scaled).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use media::Rendition;
    use mp4_atom::{Any, DecodeMaybe};

    use super::*;
    use crate::fragment::{Init, Sample, tests::init};
    use crate::gather::Segment;
    use crate::track::{Lane, Unit};

    /// A segment of five samples of `size` bytes each, beginning at `at`.
    fn segment(at: u64, size: u32) -> Segment {
        let sample = |n: u64| Sample { at: at + n * 40, lasts: 40, shift: 0, offset: 0, size, sync: n == 0 };
        let samples = (0..5).map(sample).collect();
        Segment {
            rendition: Rendition::video(),
            epoch: 0,
            number: 0,
            key: String::new(),
            sha256: String::new(),
            samples,
        }
    }

    fn stbl_of(segments: &[Segment], init: &Init) -> (Stbl, usize) {
        let units = segments.iter().map(|segment| Unit { segment, init, origin: 0 }).collect();
        let lane = Lane { rendition: Rendition::video(), units };
        let lanes = [lane];
        let mut tracks = Track::all(&lanes);
        let movie = Movie::lay_out(&mut tracks, WallTime::default(), |_, _| Vec::new()).unwrap();
        let mut head = &movie.head[..];
        loop {
            if let Some(Any::Moov(moov)) = Any::decode_maybe(&mut head).unwrap() {
                return (moov.trak[0].mdia.minf.stbl.clone(), movie.head.len());
            }
        }
    }

    #[test]
    fn a_small_file_has_short_offsets_and_a_large_one_long_ones() {
        let init = init();
        let (small, head) = stbl_of(&[segment(0, 100), segment(200, 100)], &init);
        assert_eq!(small.stco.unwrap().entries, [head as u32, head as u32 + 500]);
        assert_eq!(small.co64, None);

        let gigabyte = 1 << 30;
        let (large, head) = stbl_of(&[segment(0, gigabyte), segment(200, gigabyte)], &init);
        assert_eq!(large.co64.unwrap().entries, [head as u64, head as u64 + 5 * u64::from(gigabyte)]);
        assert_eq!((large.stco, large.stss.unwrap().entries), (None, vec![1, 6]));
    }

    #[test]
    fn a_picture_stands_until_the_next_one() {
        let (stbl, _) = stbl_of(&[segment(0, 1), segment(1200, 1)], &init());
        let runs: Vec<_> = stbl.stts.entries.iter().map(|run| (run.sample_count, run.sample_delta)).collect();
        assert_eq!(runs, [(4, 40), (1, 1040), (5, 40)]);
    }

    #[test]
    fn times_are_rescaled_to_the_nearest() {
        //   at        from     to      becomes
        let table = [
            (1, 3, 2, 1),
            (-1, 3, 2, -1),
            (1, 1000, 90_000, 90),
            (333_333, 1_000_000, 30, 10),
            (i64::MAX, 1, 2, i64::MAX),
        ];
        for (at, from, to, becomes) in table {
            assert_eq!(rescale(at, from, to), becomes, "{at} from {from} to {to}");
        }
    }
}
