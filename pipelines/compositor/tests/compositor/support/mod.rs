//! What every test needs: films to feed, a compositor to feed them to, and eyes and ears for what comes out.

pub(crate) mod decode;
pub(crate) mod film;
pub(crate) mod rig;

use layout::{Rect, Scene, Tile};
use media::{Canvas, Codec, ParticipantId, PipelineSpec, Source, Track, TrackId};

pub(crate) const SMALL: Canvas = Canvas { width: 320, height: 180, fps: 30 };

/// Quick to encode; good enough to tell colours apart.
pub(crate) fn spec(canvas: Canvas) -> PipelineSpec {
    PipelineSpec { canvas, preset: "ultrafast".into(), video_kbps: 2000, audio_kbps: 96 }
}

pub(crate) fn track(id: &str, codec: Codec) -> Track {
    let source = if codec == Codec::Opus { Source::Microphone } else { Source::Camera };
    Track { id: TrackId(id.into()), participant: ParticipantId(format!("of {id}")), source, codec }
}

/// A tile for `track`, or a card for someone without one.
pub(crate) fn tile(track: Option<&Track>, label: &str, place: Rect) -> Tile {
    let participant = track.map_or(ParticipantId("nobody".into()), |track| track.participant.clone());
    Tile { participant, track: track.map(|track| track.id.clone()), label: label.into(), place }
}

pub(crate) fn scene(canvas: Canvas, tiles: Vec<Tile>) -> Scene {
    Scene { canvas, tiles }
}

pub(crate) fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
    Rect { x, y, width, height }
}
