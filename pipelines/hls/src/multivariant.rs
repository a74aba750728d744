//! The multivariant playlist: every picture is a variant, sound is a rendition group beside it.

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, ClosedCaptionGroupId, MasterPlaylist, Resolution, VariantStream,
};
use media::{Canvas, Init, Rendition};

use crate::Webinar;
use crate::stream::Stream;

const VERSION: usize = 6;
const AUDIO: &str = "audio";

/// A quiet beginning, slides that stand still, says little about what follows, and a player reads this once. So no
/// rendition is declared below what its picture (0.045 bit per pixel on average, as lecture ladders have it) or
/// stereo AAC usually takes.
const BITS_PER_THOUSAND_PIXELS: u64 = 45;
const AUDIO_BITS: u64 = 128_000;

/// None when nothing is listed that an init section describes.
pub(crate) fn write(webinar: &Webinar) -> Option<String> {
    let listed: Vec<Listed<'_>> =
        webinar.streams.iter().filter_map(|(name, stream)| Listed::of(name, stream)).collect();
    let (pictures, sounds): (Vec<_>, Vec<_>) = listed.into_iter().partition(|listed| listed.init.picture.is_some());
    let playlist = MasterPlaylist {
        version: Some(VERSION),
        independent_segments: true,
        alternatives: if pictures.is_empty() { Vec::new() } else { group(&sounds) },
        variants: if pictures.is_empty() {
            sounds.iter().map(|sound| variant(sound, &[])).collect()
        } else {
            pictures.iter().map(|picture| variant(picture, &sounds)).collect()
        },
        ..MasterPlaylist::default()
    };
    let mut text = Vec::new();
    playlist.write_to(&mut text).ok()?;
    String::from_utf8(text).ok().filter(|_| !playlist.variants.is_empty())
}

/// What is said about one rendition.
struct Listed<'a> {
    name: &'a Rendition,
    init: &'a Init,
    average: u64,
    peak: u64,
}

impl<'a> Listed<'a> {
    fn of(name: &'a Rendition, stream: &'a Stream) -> Option<Self> {
        let init = stream.inits.get(&stream.segments.back()?.epoch)?;
        let average = stream.rate.average().max(init.picture.map_or(AUDIO_BITS, usual));
        let peak = stream.rate.peak.max(if init.picture.is_some() { average * 3 / 2 } else { average });
        Some(Self { name, init, average, peak })
    }

    fn uri(&self) -> String {
        format!("{}/index.m3u8", self.name)
    }
}

fn usual(picture: Canvas) -> u64 {
    let pixels = u64::from(picture.width) * u64::from(picture.height) * u64::from(picture.fps);
    pixels * BITS_PER_THOUSAND_PIXELS / 1000
}

fn group(sounds: &[Listed<'_>]) -> Vec<AlternativeMedia> {
    let entry = |(n, sound): (usize, &Listed<'_>)| AlternativeMedia {
        media_type: AlternativeMediaType::Audio,
        uri: Some(sound.uri()),
        group_id: AUDIO.into(),
        // What is spoken may change from sentence to sentence; nobody has said (BCP 47's word for that).
        language: Some("und".into()),
        name: if n == 0 { "Room".into() } else { sound.name.to_string() },
        default: n == 0,
        autoselect: true,
        channels: Some("2".into()),
        ..AlternativeMedia::default()
    };
    sounds.iter().enumerate().map(entry).collect()
}

fn variant(of: &Listed<'_>, sounds: &[Listed<'_>]) -> VariantStream {
    let most = |rate: fn(&Listed<'_>) -> u64| rate(of) + sounds.iter().map(rate).max().unwrap_or(0);
    let mut codecs: Vec<&str> = vec![&of.init.codec];
    codecs.extend(sounds.iter().map(|sound| sound.init.codec.as_str()));
    codecs.dedup();
    VariantStream {
        uri: of.uri(),
        bandwidth: most(|listed| listed.peak),
        average_bandwidth: Some(most(|listed| listed.average)),
        codecs: Some(codecs.join(",")),
        resolution: of.init.picture.map(|p| Resolution { width: u64::from(p.width), height: u64::from(p.height) }),
        frame_rate: of.init.picture.map(|p| f64::from(p.fps)),
        audio: (!sounds.is_empty()).then(|| AUDIO.into()),
        closed_captions: Some(ClosedCaptionGroupId::None),
        ..VariantStream::default()
    }
}
