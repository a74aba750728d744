//! From what was gathered to a line of time and a manifest. Pure but for the clock that dates the manifest.

use claim::Record;
use media::{Rendition, WallTime};
use storage::Writer;
use storage::journal::Gap;
use storage::manifest::{FORMAT, Manifest, Object, Published};

use crate::finalize::{ABANDONED, Finalizer, now};
use crate::gaps::{self, Hole, Holes, Line};
use crate::gather::Gathered;
use crate::movie::{Movie, rescale};
use crate::track::{Lane, Track, Unit};

/// When the first worker began.
pub(crate) fn zero(gathered: &Gathered) -> WallTime {
    let used = gathered.segments.iter().map(|segment| gathered.epochs[segment.epoch].zero);
    used.min().unwrap_or_default()
}

pub(crate) fn lanes(gathered: &Gathered) -> Vec<Lane<'_>> {
    let zero = zero(gathered);
    let lane = |rendition: Rendition| {
        let units = gathered.segments.iter().filter(|segment| segment.rendition == rendition).filter_map(|segment| {
            let epoch = &gathered.epochs[segment.epoch];
            let init = epoch.inits.get(&rendition)?;
            let origin = rescale(epoch.zero.0 - zero.0, 1_000_000, init.timescale) + init.shift;
            Some(Unit { segment, init, origin })
        });
        Lane { units: units.collect(), rendition: rendition.clone() }
    };
    vec![lane(Rendition::video()), lane(Rendition::audio())]
}

/// The gaps that the manifest names.
pub(crate) fn missing(gathered: &Gathered, tracks: &[Track<'_>], line: Line, end: Option<&str>) -> Vec<Gap> {
    let zero = zero(gathered);
    let holes = tracks.iter().map(|track| {
        let on_wall = |at: i64| WallTime(zero.0 + rescale(at, track.timescale, 1_000_000));
        let hole = |hole: &crate::track::Hole| Hole {
            time: on_wall(hole.time.start)..on_wall(hole.time.end),
            before: hole.before,
            after: hole.after,
        };
        Holes {
            rendition: track.lane.rendition.clone(),
            kept: on_wall(track.recorded.start)..on_wall(track.recorded.end),
            holes: track.holes.iter().map(hole).collect(),
        }
    });
    gaps::name(gathered, &holes.collect::<Vec<_>>(), line, end)
}

/// Whether it is known that the recording goes to its end: in words, if not.
pub(crate) fn unknown_end(gathered: &Gathered, record: &Record) -> Option<&'static str> {
    let last = gathered.segments.iter().map(|segment| segment.epoch).max();
    // An epoch that came to its end after it says when that was, even if it stored nothing.
    let told = gathered.epochs.iter().skip(last.unwrap_or(0)).any(|epoch| epoch.told);
    if record.reason.as_deref() == Some(ABANDONED) {
        Some("the recorder was gone, and no other went on; what came after this is not recorded")
    } else if !told {
        Some("the recorder died; what came after this, up to the end of the meeting, is not recorded")
    } else {
        None
    }
}

/// A film that was written.
#[derive(Clone, Copy)]
pub(crate) struct Made<'a> {
    pub(crate) gathered: &'a Gathered,
    /// The film's objects.
    pub(crate) mine: &'a [Object],
    pub(crate) movie: &'a Movie,
}

/// The manifest of the first generation, or of the one after `standing`: what is not ours there is taken over, but for a
/// text that speaks of another film.
pub(crate) fn manifest(with: &Finalizer, record: &Record, made: Made<'_>, standing: Option<&Published>) -> Manifest {
    let Made { gathered, mine, movie } = made;
    let duration_ms = u64::try_from(movie.lasts.as_millis()).unwrap_or(u64::MAX);
    let gaps = movie.gaps.clone();
    let same = |before: &Published| before.manifest.gaps == gaps && before.manifest.duration_ms == duration_ms;
    let texts = standing.filter(|before| same(before)).map(|before| texts(&before.manifest)).unwrap_or_default();
    let mut objects = [&gathered.objects, mine, &texts].concat();
    objects.sort_by(|a, b| (a.bucket, &a.key).cmp(&(b.bucket, &b.key)));
    Manifest {
        format: FORMAT.into(),
        recording: record.recording,
        tenant: record.tenant.clone(),
        generation: standing.map_or(record.generation.unwrap_or(0), |before| before.manifest.generation) + 1,
        created: now(),
        complete: gaps.is_empty(),
        duration_ms,
        gaps,
        accounts: gathered.accounts.clone(),
        lost: gathered.vanished.iter().map(|entry| entry.epoch).collect(),
        objects,
        previous: standing.map(|before| before.sha256.clone()),
        software: concat!("lectern finalizer ", env!("CARGO_PKG_VERSION")).into(),
        recipients: with.recipients.public(),
        language: record.language.clone(),
        webinar: record.webinar,
    }
}

/// The texts that it names, with their keys.
pub(crate) fn texts(manifest: &Manifest) -> Vec<Object> {
    let text = |object: &&Object| matches!(object.writer.parse(), Ok(Writer::Text(_)));
    manifest.objects.iter().filter(text).cloned().collect()
}
