//! Reads what recorders stored: an init section, and segments of `moof` + `mdat` chunks (ISO/IEC 14496-12, CMAF).
//! Tells where each sample lies and when it is shown; looks into no sample. Every size and offset is checked, since
//! anything may lie in a store.

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
        Ok(Self { shift, timescale, defaults: defaults.unwrap_or_default(), trak })
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
