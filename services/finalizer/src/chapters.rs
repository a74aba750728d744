//! Marks in the film where it was interrupted, so that a player shows them on its bar: one chapter per stretch and one
//! per gap. A film without a gap has none. Pure.
//!
//! Written as Nero's `chpl` box, which ffmpeg, VLC, mpv and the browsers' tools read, and others skip. It counts chapters
//! in a byte; a film that was interrupted more often has its longest gaps marked.

use std::time::Duration;

use media::MediaTime;
use storage::journal::Gap;

use crate::gaps::Line;

/// Counted in a byte, and as many stretches as gaps, and one more.
const GAPS: usize = 127;

/// A title's length is a byte, too.
const LONGEST_TITLE: usize = 255;

/// Gaps that are shorter are not seen on any bar.
const SHORTEST: Duration = Duration::from_millis(100);

/// From here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chapter {
    pub(crate) at: MediaTime,
    pub(crate) title: String,
}

/// The chapters of a film with these gaps, which are in order of time.
pub(crate) fn of(gaps: &[Gap], line: Line) -> Vec<Chapter> {
    let mut gaps: Vec<&Gap> = gaps.iter().filter(|gap| length(gap) >= SHORTEST).collect();
    if gaps.len() > GAPS {
        gaps.sort_by_key(|gap| std::cmp::Reverse(length(gap)));
        gaps.truncate(GAPS);
        gaps.sort_by_key(|gap| (gap.from, gap.to));
    }
    let (mut chapters, mut ends) = (Vec::new(), MediaTime::default());
    for gap in &gaps {
        if chapters.is_empty() && gap.from > ends {
            chapters.push(Chapter { at: ends, title: "Recording".into() });
        } else if gap.from > ends {
            chapters.push(Chapter { at: ends, title: "Recording goes on".into() });
        }
        chapters.push(Chapter { at: gap.from, title: title(gap, line) });
        ends = ends.max(gap.to);
    }
    if !chapters.is_empty() && ends < line.lasts {
        chapters.push(Chapter { at: ends, title: "Recording goes on".into() });
    }
    chapters
}

fn length(gap: &Gap) -> Duration {
    Duration::from_nanos(gap.to.0.saturating_sub(gap.from.0))
}

/// `Recording interrupted 14:03:12-14:03:19 UTC (7 s): the recorder died; another went on`.
fn title(gap: &Gap, line: Line) -> String {
    let clock = |at: MediaTime| {
        let text = line.zero.plus(Duration::from_nanos(at.0)).to_string();
        text.get(11..19).unwrap_or_default().to_owned()
    };
    let (what, why) = match gap.why.split_once(": ") {
        Some(("video", why)) => ("Picture missing", why),
        Some(("audio", why)) => ("Sound missing", why),
        _ => ("Recording interrupted", gap.why.as_str()),
    };
    let lasts = length(gap);
    let lasts = if lasts < Duration::from_secs(10) {
        format!("{:.1} s", lasts.as_secs_f64())
    } else {
        format!("{} s", (lasts + Duration::from_millis(500)).as_secs())
    };
    let mut title = format!("{what} {}-{} UTC ({lasts}): {why}", clock(gap.from), clock(gap.to));
    let end = (0..=LONGEST_TITLE.min(title.len())).rev().find(|at| title.is_char_boundary(*at));
    title.truncate(end.unwrap_or(0));
    title
}

/// A `udta` box with these chapters; nothing for none.
pub(crate) fn encode(chapters: &[Chapter]) -> Vec<u8> {
    if chapters.is_empty() {
        return Vec::new();
    }
    // Version 1 and flags, four bytes that nobody knows, and the count.
    let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, u8::try_from(chapters.len()).unwrap_or(u8::MAX)];
    for Chapter { at, title } in chapters.iter().take(usize::from(u8::MAX)) {
        body.extend((at.0 / 100).to_be_bytes());
        body.push(u8::try_from(title.len()).unwrap_or(0));
        body.extend(title.as_bytes());
    }
    enclose(b"udta", &enclose(b"chpl", &body))
}

fn enclose(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], kind, body].concat()
}

#[cfg(test)]
mod tests {
    use media::WallTime;

    use super::*;

    fn line() -> Line {
        let zero = WallTime::parse("2026-11-22T14:03:00Z").unwrap();
        Line { zero, lasts: MediaTime(60_000_000_000) }
    }

    fn gap(from: u64, to: u64, why: &str) -> Gap {
        Gap { from: MediaTime(from * 1_000_000), to: MediaTime(to * 1_000_000), why: why.into() }
    }

    fn told(gaps: &[Gap]) -> Vec<(u64, String)> {
        of(gaps, line()).into_iter().map(|chapter| (chapter.at.0 / 1_000_000, chapter.title)).collect()
    }

    #[test]
    fn each_stretch_and_each_gap_is_a_chapter() {
        assert!(told(&[]).is_empty());
        assert!(told(&[gap(3, 3, "a doubt")]).is_empty(), "no length, no mark");
        let gaps = [gap(0, 2000, "x"), gap(12_000, 19_000, "the recorder died"), gap(15_000, 60_000, "audio: y")];
        let all = [
            (0, "Recording interrupted 14:03:00-14:03:02 UTC (2.0 s): x"),
            (2000, "Recording goes on"),
            (12_000, "Recording interrupted 14:03:12-14:03:19 UTC (7.0 s): the recorder died"),
            (15_000, "Sound missing 14:03:15-14:04:00 UTC (45 s): y"),
        ];
        assert_eq!(told(&gaps), all.map(|(at, title)| (at, title.to_owned())));
        let one = told(&[gap(1000, 2000, "x")]);
        assert_eq!((one.len(), one[0].1.as_str(), one[2].0), (3, "Recording", 2000));
    }

    #[test]
    fn a_byte_counts_all_and_no_title_is_cut_within_a_letter() {
        let many: Vec<Gap> = (0..300).map(|n| gap(n * 100 + 1, n * 100 + 100, &"å".repeat(200))).collect();
        let (bytes, chapters) = (encode(&of(&many, line())), of(&many, line()));
        assert!(chapters.is_empty(), "shorter than anybody sees");
        assert!(bytes.is_empty());
        let many: Vec<Gap> = (0..300).map(|n| gap(n * 200 + 1, n * 200 + 102 + n % 2, &"å".repeat(200))).collect();
        let chapters = of(&many, line());
        assert_eq!(chapters.len(), 2 * GAPS + 1);
        assert!(chapters.iter().all(|chapter| chapter.title.len() <= LONGEST_TITLE && !chapter.title.is_empty()));
        assert_eq!(encode(&chapters)[24], 255);
    }
}
