//! Somebody who follows a webinar's playlist, fetches what it names once it is named, and looks at it afterwards: by the
//! playlist's own dates, and by decoding.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use events::RecordingId;
use tokio_util::task::AbortOnDropHandle;

use super::look::Codes;

/// Two dates further apart than this and their segment's length do not follow one another.
const APART: f64 = 0.1;
/// A part (0.53 s), and what the clocks of two workers may differ by.
const TWICE: f64 = 0.65;

/// A viewer at work. Dropping it ends that.
#[derive(Debug)]
pub struct Viewer {
    seen: Arc<Mutex<Fetched>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Fetched {
    /// By media sequence number.
    segments: BTreeMap<u64, Segment>,
    inits: BTreeMap<String, Bytes>,
}

/// One segment, as the playlist tells of it.
#[derive(Debug, Clone)]
struct Segment {
    /// Seconds since 1970, by EXT-X-PROGRAM-DATE-TIME.
    begins: Option<f64>,
    lasts: f64,
    gap: bool,
    /// The address of its init section.
    init: String,
    body: Bytes,
}

/// What a viewer got.
#[derive(Debug)]
pub struct Watched {
    pub segments: usize,
    /// Seconds of wall time that no segment holds, between the first and the last, by the playlist's dates.
    pub missing: f64,
    /// How many workers' streams they come from: each has an init section of its own.
    pub epochs: usize,
    /// Seconds since 1970 of the last thing shown.
    pub last: f64,
    /// The longest stretch, in seconds of wall time, of which nothing is shown, by decoding.
    pub unseen: f64,
    pub problems: Vec<String>,
}

impl Viewer {
    /// Watches the video of `recording` at the origin on `port`.
    pub fn of(port: u16, recording: RecordingId) -> Self {
        let seen = Arc::<Mutex<Fetched>>::default();
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let client = reqwest::Client::new();
            let base = format!("http://127.0.0.1:{port}/hls/{recording}/video");
            loop {
                // What cannot be fetched now is asked for again.
                let _ = look(&client, &base, &into).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        Self { seen, _task: AbortOnDropHandle::new(task) }
    }

    /// How many segments were got so far.
    pub fn fetched(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).segments.len()
    }

    /// What was got so far, decoded in `folder`; `about` is some moment within an hour of it.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn seen(&self, folder: &Path, about: SystemTime) -> anyhow::Result<Watched> {
        let (segments, inits) = {
            let fetched = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            (fetched.segments.clone(), fetched.inits.clone())
        };
        let mut problems = Vec::new();
        let missing = dates(&segments, &mut problems);
        // Segments that share an init section are one file; another epoch's may be coded otherwise.
        let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for segment in segments.values().filter(|segment| !segment.gap) {
            let file = files.entry(&segment.init);
            file.or_insert_with(|| inits.get(&segment.init).map(|init| init.to_vec()).unwrap_or_default())
                .extend(&segment.body);
        }
        let mut walls = Vec::new();
        for (n, bytes) in files.values().enumerate() {
            let file = folder.join(format!("seen-{n}.mp4"));
            std::fs::write(&file, bytes)?;
            walls.extend(Codes::read(&file, about)?.shown.into_iter().map(|shown| shown.wall));
        }
        walls.sort_by(f64::total_cmp);
        let unseen = walls.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        if segments.len() < 4 || walls.is_empty() {
            problems.push(format!("only {} segments with {} codes were seen", segments.len(), walls.len()));
        }
        let (epochs, last) = (files.len(), walls.last().copied().unwrap_or(0.0));
        Ok(Watched { segments: segments.len(), missing, epochs, last, unseen, problems })
    }
}

/// Seconds that are missing by the playlist's dates.
fn dates(segments: &BTreeMap<u64, Segment>, problems: &mut Vec<String>) -> f64 {
    let mut missing = 0.0;
    let mut last: Option<(u64, &Segment)> = None;
    for (number, segment) in segments {
        if segment.gap {
            missing += segment.lasts;
            problems.push(format!("segment {number} is a gap"));
        }
        if let Some((before, earlier)) = last {
            if number - before != 1 {
                problems.push(format!("segment {number} follows {before}"));
            }
            if let (Some(from), Some(to)) = (earlier.begins, segment.begins) {
                let hole = to - from - earlier.lasts;
                // Where one worker follows another, less than a part and a frame may be shown twice.
                let twice = if segment.init == earlier.init { APART } else { TWICE };
                if !(-twice..=APART).contains(&hole) {
                    problems.push(format!("{hole:.2} s lie between segments {before} and {number}"));
                    missing += hole.max(0.0);
                }
            }
        }
        last = Some((*number, segment));
    }
    missing
}

async fn look(client: &reqwest::Client, base: &str, into: &Mutex<Fetched>) -> anyhow::Result<()> {
    let fetch = async |name: &str| -> reqwest::Result<Bytes> {
        client.get(format!("{base}/{name}")).send().await?.error_for_status()?.bytes().await
    };
    let text = fetch("index.m3u8").await?;
    let (_, list) = m3u8_rs::parse_media_playlist(&text).map_err(|error| anyhow::anyhow!("{error}"))?;
    let known = |number: u64| into.lock().unwrap_or_else(PoisonError::into_inner).segments.contains_key(&number);
    let (mut clock, mut init) = (None, String::new());
    for (number, segment) in (list.media_sequence..).zip(list.segments) {
        if let Some(told) = segment.program_date_time {
            clock = Some(told.timestamp_micros() as f64 / 1e6);
        }
        if let Some(map) = &segment.map {
            init.clone_from(&map.uri);
        }
        let (begins, lasts) = (clock, f64::from(segment.duration));
        clock = clock.map(|at| at + lasts);
        if known(number) {
            continue;
        }
        let gap = segment.unknown_tags.iter().any(|tag| tag.tag == "X-GAP");
        let has_init = into.lock().unwrap_or_else(PoisonError::into_inner).inits.contains_key(&init);
        if !has_init && !init.is_empty() {
            let bytes = fetch(&init).await?;
            into.lock().unwrap_or_else(PoisonError::into_inner).inits.insert(init.clone(), bytes);
        }
        let body = if gap { Bytes::new() } else { fetch(&segment.uri).await? };
        let segment = Segment { begins, lasts, gap, init: init.clone(), body };
        into.lock().unwrap_or_else(PoisonError::into_inner).segments.insert(number, segment);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(begins: &[(u64, f64, bool)]) -> BTreeMap<u64, Segment> {
        let segment = |begins: f64, gap| Segment {
            begins: Some(begins),
            lasts: 3.2,
            gap,
            init: String::new(),
            body: Bytes::new(),
        };
        begins.iter().map(|(number, at, gap)| (*number, segment(*at, *gap))).collect()
    }

    #[test]
    fn holes_gaps_and_jumps_are_told() {
        let mut problems = Vec::new();
        assert!(dates(&line(&[(4, 10.0, false), (5, 13.2, false), (6, 16.4, false)]), &mut problems) < 0.01);
        assert_eq!(problems, Vec::<String>::new());
        let missing = dates(&line(&[(4, 10.0, false), (5, 13.2, true), (7, 20.0, false)]), &mut problems);
        assert!((missing - 3.2 - 3.6).abs() < 0.01, "{missing}");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
