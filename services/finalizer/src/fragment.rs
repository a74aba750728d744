//! Reads what recorders stored: an init section, and segments of `moof` + `mdat` chunks (ISO/IEC 14496-12, CMAF).
//! Tells where each sample lies and when it is shown; looks into no sample. Every size and offset is checked, since
//! anything may lie in a store.

use media::WallTime;
use mp4_atom::{Atom, DecodeMaybe, FourCC, Header, Moof, Moov, Traf, Trak, Trex, Trun};

/// Bytes that are not what they should be. Names what is wrong with them, for a gap's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Odd {
    #[error("it is empty")]
    Empty,
    #[error("its boxes cannot be read")]
    Boxes,
    #[error("it lacks {0}")]
    Lacks(&'static str),
    #[error("a sample lies outside of it")]
    Outside,
    #[error("it has too many samples")]
    TooMany,
}

/// A segment lasts seconds; a hundred thousand samples are none of ours.
const MOST_SAMPLES: usize = 100_000;

/// ISO/IEC 14496-12 8.8.3.1, sample_is_non_sync_sample.
const NON_SYNC: u32 = 0x0001_0000;

/// One rendition's `moov`, for its only track.
#[derive(Debug, Clone)]
pub(crate) struct Init {
    pub(crate) trak: Trak,
    pub(crate) timescale: u32,
    /// Units from a composition time to the time of presentation, from the edit list: negative where an encoder's
    /// priming comes before the beginning.
    pub(crate) shift: i64,
    /// Wall time of the epoch's media time zero, if its worker left it here.
    pub(crate) zero: Option<WallTime>,
    defaults: Trex,
}

/// One sample of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Decode time in units of the track, within its epoch.
    pub(crate) at: u64,
    pub(crate) lasts: u32,
    /// Composition time less decode time.
    pub(crate) shift: i32,
    /// Where its bytes begin in the segment.
    pub(crate) offset: u32,
    pub(crate) size: u32,
    pub(crate) sync: bool,
}

impl Init {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Odd> {
        let mut found = None;
        for item in boxes(bytes) {
            let (kind, mut body, _) = item?;
            if kind == Moov::KIND {
                found = Some(Moov::decode_body(&mut body).map_err(|_| Odd::Boxes)?);
            }
        }
        let mut moov = found.ok_or(if bytes.is_empty() { Odd::Empty } else { Odd::Lacks("a moov box") })?;
        let trak = moov.trak.pop().filter(|_| moov.trak.is_empty()).ok_or(Odd::Lacks("exactly one track"))?;
        let timescale = trak.mdia.mdhd.timescale;
        if timescale == 0 || trak.mdia.minf.stbl.stsd.codecs.len() != 1 {
            return Err(Odd::Lacks("a timescale and one sample entry"));
        }
        let defaults =
            moov.mvex.and_then(|mvex| mvex.trex.into_iter().find(|trex| trex.track_id == trak.tkhd.track_id));
        let shift = edit(&trak, moov.mvhd.timescale).ok_or(Odd::Boxes)?;
        Ok(Self { shift, zero: storage::clock::zero(bytes), timescale, defaults: defaults.unwrap_or_default(), trak })
    }
}

/// What the edit list does to the beginning: empty edits delay it, the first media time skips into it.
fn edit(trak: &Trak, movie: u32) -> Option<i64> {
    let edits = trak.edts.iter().filter_map(|edts| edts.elst.as_ref()).flat_map(|elst| &elst.entries);
    let mut delay = 0_i128;
    for edit in edits {
        match edit.media_time {
            None => delay += i128::from(edit.segment_duration),
            Some(skipped) => {
                let delay = delay * i128::from(trak.mdia.mdhd.timescale) / i128::from(movie.max(1));
                return i64::try_from(delay - i128::from(skipped)).ok();
            }
        }
    }
    Some(0)
}

/// The samples of a segment, in decode order. At least one.
pub(crate) fn samples(init: &Init, bytes: &[u8]) -> Result<Vec<Sample>, Odd> {
    if bytes.is_empty() {
        return Err(Odd::Empty);
    }
    let mut samples = Vec::new();
    for item in boxes(bytes) {
        let (kind, mut body, at) = item?;
        if kind == Moof::KIND {
            let moof = Moof::decode_body(&mut body).map_err(|_| Odd::Boxes)?;
            for traf in moof.traf.iter().filter(|traf| traf.tfhd.track_id == init.trak.tkhd.track_id) {
                run(init, traf, at, bytes.len(), &mut samples)?;
            }
        }
    }
    if samples.is_empty() { Err(Odd::Lacks("samples")) } else { Ok(samples) }
}

fn run(init: &Init, traf: &Traf, moof: usize, len: usize, samples: &mut Vec<Sample>) -> Result<(), Odd> {
    let tfhd = &traf.tfhd;
    if tfhd.base_data_offset.is_some() || tfhd.sample_description_index.is_some_and(|index| index != 1) {
        return Err(Odd::Lacks("offsets that are relative to its moof box"));
    }
    let mut at = traf.tfdt.as_ref().ok_or(Odd::Lacks("a tfdt box"))?.base_media_decode_time;
    if samples.last().is_some_and(|last| at < last.at) {
        return Err(Odd::Lacks("an order in time"));
    }
    let mut offset = moof;
    for Trun { data_offset, samples: entries } in &traf.trun {
        if let Some(relative) = data_offset {
            offset = isize::try_from(*relative).ok().and_then(|by| moof.checked_add_signed(by)).ok_or(Odd::Outside)?;
        }
        if samples.len() + entries.len() > MOST_SAMPLES {
            return Err(Odd::TooMany);
        }
        for entry in entries {
            let or = |own: Option<u32>, of: Option<u32>, all: u32| own.or(of).unwrap_or(all);
            let lasts = or(entry.duration, tfhd.default_sample_duration, init.defaults.default_sample_duration);
            let size = or(entry.size, tfhd.default_sample_size, init.defaults.default_sample_size);
            let flags = or(entry.flags, tfhd.default_sample_flags, init.defaults.default_sample_flags);
            let ends = offset.checked_add(size as usize).filter(|ends| *ends <= len).ok_or(Odd::Outside)?;
            samples.push(Sample {
                at,
                lasts,
                shift: i32::try_from(entry.cts.unwrap_or(0)).map_err(|_| Odd::Boxes)?,
                offset: u32::try_from(offset).map_err(|_| Odd::Outside)?,
                size,
                sync: flags & NON_SYNC == 0,
            });
            at = at.checked_add(lasts.into()).ok_or(Odd::Boxes)?;
            offset = ends;
        }
    }
    Ok(())
}

/// Top-level boxes: kind, body, and where the box begins. Ends after the first that cannot be read.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<(FourCC, &[u8], usize), Odd>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let begins = std::mem::replace(&mut at, usize::MAX);
        let Ok(Some(header)) = Header::decode_maybe(&mut rest) else { return Some(Err(Odd::Boxes)) };
        let Some(body) = rest.get(..header.size.unwrap_or(rest.len())) else { return Some(Err(Odd::Boxes)) };
        at = bytes.len() - rest.len() + body.len();
        Some(Ok((header.kind, body, begins)))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use mp4_atom::{Avc1, Codec, Encode, Mdhd, Mfhd, Stbl, Stsd, Tfdt, Tfhd, TrunEntry};
    use proptest::prelude::*;

    use super::*;

    /// A track of pictures with a clock of 1000.
    pub(crate) fn trak() -> Trak {
        let mut trak = Trak::default();
        trak.tkhd.track_id = 1;
        trak.mdia.mdhd = Mdhd { timescale: 1000, language: "und".into(), ..Mdhd::default() };
        let mut picture = Avc1::default();
        (picture.avcc.configuration_version, picture.avcc.length_size) = (1, 4);
        let stsd = Stsd { codecs: vec![Codec::Avc1(picture)] };
        trak.mdia.minf.stbl = Stbl { stsd, ..Stbl::default() };
        trak
    }

    pub(crate) fn init() -> Init {
        Init { trak: trak(), timescale: 1000, shift: 0, zero: None, defaults: Trex::default() }
    }

    /// A chunk whose samples begin at `at` and have these sizes.
    fn chunk(at: u64, sizes: &[u32]) -> Vec<u8> {
        let entry = |size: &u32| TrunEntry { size: Some(*size), ..TrunEntry::default() };
        let mut moof = Moof {
            mfhd: Mfhd { sequence_number: 1 },
            traf: vec![Traf {
                tfhd: Tfhd {
                    track_id: 1,
                    default_sample_duration: Some(40),
                    default_sample_flags: Some(NON_SYNC),
                    default_base_is_moof: true,
                    ..Tfhd::default()
                },
                tfdt: Some(Tfdt { base_media_decode_time: at }),
                trun: vec![Trun { data_offset: Some(0), samples: sizes.iter().map(entry).collect::<Vec<_>>().into() }],
                ..Traf::default()
            }],
        };
        let mut bytes = Vec::new();
        moof.encode(&mut bytes).unwrap();
        moof.traf[0].trun[0].data_offset = Some(i32::try_from(bytes.len() + 8).unwrap());
        bytes.clear();
        moof.encode(&mut bytes).unwrap();
        let payload: u32 = sizes.iter().sum();
        bytes.extend_from_slice(&(payload + 8).to_be_bytes());
        bytes.extend_from_slice(b"mdat");
        bytes.extend((0..payload).map(|n| n as u8));
        bytes
    }

    #[test]
    fn samples_of_several_chunks_are_found_where_they_lie() {
        let (one, two) = (chunk(1000, &[3, 5]), chunk(1080, &[7]));
        let bytes = [one.clone(), two].concat();
        let found = samples(&init(), &bytes).unwrap();
        let told: Vec<_> = found.iter().map(|s| (s.at, s.lasts, s.size, s.sync)).collect();
        assert_eq!(told, [(1000, 40, 3, false), (1040, 40, 5, false), (1080, 40, 7, false)]);
        let media: Vec<&[u8]> = found.iter().map(|s| &bytes[s.offset as usize..][..s.size as usize]).collect();
        assert_eq!(media, [&[0, 1, 2][..], &[3, 4, 5, 6, 7], &[0, 1, 2, 3, 4, 5, 6]]);
    }

    #[test]
    fn what_is_no_segment_is_refused_with_its_reason() {
        let back = [chunk(1000, &[1]), chunk(900, &[1])].concat();
        let mut outside = chunk(0, &[4]);
        outside.truncate(outside.len() - 1);
        let table: [(&[u8], Odd); 5] = [
            (b"", Odd::Empty),
            (b"not boxes at all", Odd::Boxes),
            (b"\0\0\0\x08free", Odd::Lacks("samples")),
            (&back, Odd::Lacks("an order in time")),
            (&outside, Odd::Outside),
        ];
        for (bytes, odd) in table {
            assert_eq!(samples(&init(), bytes).unwrap_err(), odd);
        }
        assert_eq!(Init::parse(b"").unwrap_err(), Odd::Empty);
        assert_eq!(Init::parse(&chunk(0, &[1])).unwrap_err(), Odd::Lacks("a moov box"));
    }

    #[test]
    fn a_run_without_sizes_that_counts_to_four_billion_is_refused_at_once() {
        let mut moof = chunk(0, &[1]);
        let trun = moof.windows(4).position(|w| w == b"trun").unwrap();
        // No per-sample fields; the count is all that is left.
        moof[trun + 4..trun + 8].copy_from_slice(&[0, 0, 0, 1]);
        moof[trun + 8..trun + 12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(samples(&init(), &moof), Err(Odd::TooMany | Odd::Boxes)));
    }

    proptest! {
        #[test]
        fn whatever_lies_in_the_store_no_sample_lies_outside_of_it(
            sizes in proptest::collection::vec(0_u32..50, 1..6),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = [chunk(5, &sizes), chunk(9000, &sizes)].concat();
            for (at, to) in changes {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(found) = samples(&init(), &bytes) {
                prop_assert!(!found.is_empty());
                for sample in found {
                    prop_assert!(sample.offset as usize + sample.size as usize <= bytes.len());
                }
            }
        }
    }
}
