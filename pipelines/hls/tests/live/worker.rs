//! A worker that pushes, and a reader of playlists that is not ours (quick-m3u8).

use std::time::Duration;

use bytes::Bytes;
use hls::{PushError, Webinar};
use media::{Canvas, Init, MediaTime, Part, Rendition, SegmentClosed, WallTime};
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag;
use quick_m3u8::{HlsLine, Reader};

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: WallTime = WallTime(1_795_348_800_000_000);

/// What one epoch's compositor would push.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) epoch: u32,
    pub(crate) segment: u64,
    pub(crate) begins: MediaTime,
    pub(crate) began: WallTime,
}

impl Worker {
    pub(crate) fn start(webinar: &mut Webinar, epoch: u32, began: WallTime) -> Self {
        for rendition in [Rendition::video(), Rendition::audio()] {
            webinar.init(epoch, init(epoch, rendition)).expect("a new epoch is admitted");
        }
        Self { epoch, segment: 0, begins: MediaTime(0), began }
    }

    pub(crate) fn parts(&self, rendition: &Rendition, lasts: Duration) -> Vec<Part> {
        let part = |index| Part {
            rendition: rendition.clone(),
            segment: self.segment,
            index,
            lasts: lasts / 6,
            independent: index % 3 == 0,
            bytes: Bytes::from(format!("{rendition} {}-{}.{index};", self.epoch, self.segment)),
        };
        (0..6).map(part).collect()
    }

    pub(crate) fn end_of(&self, rendition: &Rendition, lasts: Duration) -> SegmentClosed {
        SegmentClosed {
            rendition: rendition.clone(),
            segment: self.segment,
            begins: self.begins,
            lasts,
            wall: self.began.plus(Duration::from_nanos(self.begins.0)),
        }
    }

    /// One rendition's segment, whole.
    pub(crate) fn push(&self, to: &mut Webinar, rendition: &Rendition, lasts: Duration) -> Result<(), PushError> {
        for part in self.parts(rendition, lasts) {
            to.part(self.epoch, part)?;
        }
        to.closed(self.epoch, &self.end_of(rendition, lasts))
    }

    pub(crate) fn advance(&mut self, lasts: Duration) {
        self.segment += 1;
        self.begins = self.begins.plus(lasts);
    }

    /// `count` segments of 3.2 s in both renditions.
    pub(crate) fn run(&mut self, to: &mut Webinar, count: u64) {
        for _ in 0..count {
            for rendition in [Rendition::video(), Rendition::audio()] {
                self.push(to, &rendition, SEGMENT).expect("the segment fits");
            }
            self.advance(SEGMENT);
        }
    }
}

pub(crate) const SEGMENT: Duration = Duration::from_millis(3200);

/// Six of them are a segment, to the nanosecond that is lost.
pub(crate) const PART: Duration = Duration::from_nanos(533_333_333);

pub(crate) fn init(epoch: u32, rendition: Rendition) -> Init {
    let picture = (rendition == Rendition::video()).then(Canvas::default);
    let codec = if picture.is_some() { "avc1.64001f" } else { "mp4a.40.2" };
    Init { bytes: Bytes::from(format!("init {epoch} {rendition}")), codec: codec.into(), picture, rendition }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) msn: u64,
    pub(crate) turn: u64,
    pub(crate) uri: String,
    pub(crate) lasts: f64,
    pub(crate) gap: bool,
    pub(crate) breaks: bool,
    pub(crate) map: Option<String>,
    /// Seconds of the day, and the text.
    pub(crate) date: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Playlist {
    pub(crate) version: u64,
    pub(crate) target: u64,
    pub(crate) msn: u64,
    pub(crate) turn: u64,
    pub(crate) independent: bool,
    pub(crate) segments: Vec<Listed>,
    pub(crate) ended: bool,
}

impl Playlist {
    pub(crate) fn lasts(&self) -> f64 {
        self.segments.iter().map(|segment| segment.lasts).sum()
    }
}

/// Reads with quick-m3u8, and fails on any line that it or m3u8-rs does not understand.
pub(crate) fn read(text: &str) -> Playlist {
    let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, options);
    let (mut version, mut target, mut msn, mut turn) = (None, None, None, None);
    let (mut independent, mut ended) = (false, false);
    let mut segments: Vec<Listed> = Vec::new();
    let (mut lasts, mut gap, mut breaks, mut map, mut date) = (None, false, false, None, None);
    let mut line_number = 0;
    while let Some(line) = reader.read_line().expect("quick-m3u8 reads the line") {
        assert!(!ended, "ENDLIST is last");
        match line {
            HlsLine::KnownTag(KnownTag::Hls(tag)) => match tag {
                Tag::M3u(_) => assert_eq!(line_number, 0, "EXTM3U is first and once"),
                Tag::Version(tag) => assert_eq!(version.replace(tag.version()), None),
                Tag::Targetduration(tag) => assert_eq!(target.replace(tag.target_duration()), None),
                Tag::MediaSequence(tag) => assert_eq!(msn.replace(tag.media_sequence()), None),
                Tag::DiscontinuitySequence(tag) => assert_eq!(turn.replace(tag.discontinuity_sequence()), None),
                Tag::IndependentSegments(_) => independent = true,
                Tag::Endlist(_) => ended = true,
                Tag::Inf(tag) => assert_eq!(lasts.replace(tag.duration()), None),
                Tag::Gap(_) => gap = true,
                Tag::Discontinuity(_) => breaks = true,
                Tag::Map(tag) => assert_eq!(map.replace(tag.uri().to_owned()), None),
                Tag::ProgramDateTime(tag) => {
                    assert_eq!(date.replace(tag.program_date_time().to_string()), None);
                }
                other => panic!("a live playlist without low latency has no {other:?}"),
            },
            HlsLine::Uri(uri) => {
                let last = segments.last();
                let counted = last.map_or(turn.expect("always present"), |last| last.turn);
                segments.push(Listed {
                    msn: msn.expect("before the first segment") + segments.len() as u64,
                    turn: counted + u64::from(breaks),
                    uri: uri.into_owned(),
                    lasts: lasts.take().expect("EXTINF before each URI"),
                    gap: std::mem::take(&mut gap),
                    breaks: std::mem::take(&mut breaks),
                    map: map.take(),
                    date: date.take(),
                });
            }
            other => panic!("not a line of ours: {other:?}"),
        }
        line_number += 1;
    }
    let playlist = Playlist {
        version: version.expect("EXT-X-VERSION"),
        target: target.expect("EXT-X-TARGETDURATION"),
        msn: msn.expect("EXT-X-MEDIA-SEQUENCE"),
        turn: turn.expect("EXT-X-DISCONTINUITY-SEQUENCE"),
        independent,
        segments,
        ended,
    };
    second_opinion(text, &playlist);
    playlist
}

fn second_opinion(text: &str, playlist: &Playlist) {
    let theirs = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("m3u8-rs reads the playlist");
    assert_eq!(theirs.version, usize::try_from(playlist.version).ok());
    assert_eq!((theirs.target_duration, theirs.media_sequence), (playlist.target, playlist.msn));
    assert_eq!((theirs.discontinuity_sequence, theirs.end_list), (playlist.turn, playlist.ended));
    assert_eq!(theirs.segments.len(), playlist.segments.len());
    for (theirs, ours) in theirs.segments.iter().zip(&playlist.segments) {
        assert_eq!((&theirs.uri, theirs.discontinuity), (&ours.uri, ours.breaks));
        assert!((f64::from(theirs.duration) - ours.lasts).abs() < 1e-4);
        assert_eq!(theirs.map.as_ref().map(|map| &map.uri), ours.map.as_ref());
        assert!(theirs.program_date_time.is_some());
    }
}
