//! Reads what the muxer wrote and says what it is: init section, part, closed segment. What is told of a part is read
//! from its own bytes, never from what the encoder was asked for.

use std::time::Duration;

use bytes::Bytes;
use media::{Canvas, Init, MediaTime, Output, Part, Rendition, SegmentClosed, WallTime};
use mp4_atom::{Any, Atom, Buf, Codec, DecodeMaybe, Moof, Moov};

use crate::grid::Cuts;

/// The muxer wrote something that is not a CMAF track of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("the muxer's {0} cannot be read")]
    Unreadable(&'static str, #[source] mp4_atom::Error),
    #[error("the muxer's output lacks {0}")]
    Lacks(&'static str),
    #[error("a part begins at {found} and should begin at {expected} (in units of 1/{timescale} s)")]
    Gap { found: u64, expected: u64, timescale: u32 },
}

/// Follows one rendition from its init section to its last part.
#[derive(Debug)]
pub(crate) struct Packager {
    rendition: Rendition,
    picture: Option<Canvas>,
    cuts: Cuts,
    /// Wall time of position zero.
    zero: WallTime,
    /// Units per second of this track, known from the init section.
    timescale: Option<u32>,
    /// Where the next part begins, in those units.
    next: u64,
    segment: u64,
    index: u32,
    samples: u32,
    began: u64,
}

impl Packager {
    pub(crate) fn new(rendition: Rendition, picture: Option<Canvas>, cuts: Cuts, zero: WallTime) -> Self {
        let (timescale, next, segment, index, samples, began) = (None, 0, 0, 0, 0, 0);
        Self { rendition, picture, cuts, zero, timescale, next, segment, index, samples, began }
    }

    /// Takes one buffer list of the muxer: an init section, a part, or the first followed by the second.
    pub(crate) fn push(&mut self, bytes: &Bytes) -> Result<Vec<Output>, PackageError> {
        let mut out = Vec::new();
        let mut rest = bytes.clone();
        if self.timescale.is_none() {
            let (init, length) = self.init(bytes)?;
            out.push(Output::Init(init));
            rest.advance(length);
        }
        if !rest.is_empty() {
            out.extend(self.part(rest)?);
        }
        Ok(out)
    }

    /// The stream has ended: closes a segment that was cut short.
    pub(crate) fn end(&mut self) -> Option<Output> {
        (self.samples > 0).then(|| self.close())
    }

    fn init(&mut self, bytes: &Bytes) -> Result<(Init, usize), PackageError> {
        let mut rest = &bytes[..];
        let moov = loop {
            match Any::decode_maybe(&mut rest).map_err(|e| PackageError::Unreadable("init section", e))? {
                Some(Any::Moov(moov)) => break moov,
                Some(_) => {}
                None => return Err(PackageError::Lacks("a moov box")),
            }
        };
        let length = bytes.len() - rest.len();
        let (codec, timescale) = describe(&moov)?;
        self.timescale = Some(timescale);
        let (rendition, picture) = (self.rendition.clone(), self.picture);
        Ok((Init { rendition, codec, picture, bytes: bytes.slice(..length) }, length))
    }

    fn part(&mut self, bytes: Bytes) -> Result<Vec<Output>, PackageError> {
        let timescale = self.timescale.ok_or(PackageError::Lacks("an init section"))?;
        let run = Run::read(&bytes)?;
        if run.begins != self.next {
            return Err(PackageError::Gap { found: run.begins, expected: self.next, timescale });
        }
        if self.samples == 0 {
            self.began = run.begins;
        }
        self.next += run.lasts;
        self.samples += run.samples;
        let part = Part {
            rendition: self.rendition.clone(),
            segment: self.segment,
            index: self.index,
            // A difference of positions, so that durations add up to positions without loss.
            lasts: seconds(self.next, timescale) - seconds(run.begins, timescale),
            independent: run.independent,
            bytes,
        };
        self.index += 1;
        let mut out = vec![Output::Part(part)];
        if self.samples >= self.cuts.segment {
            out.push(self.close());
        }
        Ok(out)
    }

    fn close(&mut self) -> Output {
        let timescale = self.timescale.unwrap_or(1);
        let begins = seconds(self.began, timescale);
        let closed = SegmentClosed {
            rendition: self.rendition.clone(),
            segment: self.segment,
            begins: MediaTime::default().plus(begins),
            lasts: seconds(self.next, timescale) - begins,
            wall: self.zero.plus(begins),
        };
        (self.segment, self.index, self.samples) = (self.segment + 1, 0, 0);
        Output::Closed(closed)
    }
}

/// The samples of one part.
struct Run {
    begins: u64,
    lasts: u64,
    samples: u32,
    independent: bool,
}

impl Run {
    fn read(bytes: &Bytes) -> Result<Self, PackageError> {
        let unreadable = |e| PackageError::Unreadable("part", e);
        let mut rest = &bytes[..];
        let moof = loop {
            let header = mp4_atom::Header::decode_maybe(&mut rest).map_err(unreadable)?;
            let header = header.ok_or(PackageError::Lacks("a moof box"))?;
            let size = header.size.filter(|size| *size <= rest.len()).ok_or(PackageError::Lacks("a whole box"))?;
            let (mut body, after) = rest.split_at(size);
            if header.kind == Moof::KIND {
                break Moof::decode_body(&mut body).map_err(unreadable)?;
            }
            rest = after;
        };
        let track = moof.traf.first().ok_or(PackageError::Lacks("a traf box"))?;
        let begins = track.tfdt.as_ref().ok_or(PackageError::Lacks("a tfdt box"))?.base_media_decode_time;
        let (mut lasts, mut samples) = (0, 0);
        let mut first_flags = None;
        for entry in track.trun.iter().flat_map(|run| run.samples.iter()) {
            let duration = entry.duration.or(track.tfhd.default_sample_duration);
            lasts += u64::from(duration.ok_or(PackageError::Lacks("a sample's duration"))?);
            first_flags = first_flags.or(entry.flags).or(track.tfhd.default_sample_flags);
            samples += 1;
        }
        // ISO/IEC 14496-12 8.8.3.1: sample_is_non_sync_sample
        let independent = first_flags.is_some_and(|flags| flags & 0x0001_0000 == 0);
        Ok(Self { begins, lasts, samples, independent })
    }
}

/// The RFC 6381 name of the only track's codec, and its units per second.
fn describe(moov: &Moov) -> Result<(String, u32), PackageError> {
    let track = moov.trak.first().ok_or(PackageError::Lacks("a track"))?;
    let codec = match track.mdia.minf.stbl.stsd.codecs.first() {
        Some(Codec::Avc1(picture)) => {
            let avcc = &picture.avcc;
            let (profile, flags, level) =
                (avcc.avc_profile_indication, avcc.profile_compatibility, avcc.avc_level_indication);
            format!("avc1.{profile:02x}{flags:02x}{level:02x}")
        }
        Some(Codec::Mp4a(sound)) => {
            let config = &sound.esds.es_desc.dec_config;
            let object = config.dec_specific.as_ref().ok_or(PackageError::Lacks("an AAC configuration"))?.profile;
            format!("mp4a.{:02x}.{object}", config.object_type_indication)
        }
        _ => return Err(PackageError::Lacks("an H.264 or AAC track")),
    };
    Ok((codec, track.mdia.mdhd.timescale))
}

fn seconds(units: u64, timescale: u32) -> Duration {
    let nanos = u128::from(units) * 1_000_000_000 / u128::from(timescale.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
