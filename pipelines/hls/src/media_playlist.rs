//! The text of a live media playlist (rfc8216bis 4.4.3, 4.4.4).

use std::fmt::Write;

use media::WallTime;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::stream::Segment;

/// fMP4 with EXT-X-MAP needs 6 (rfc8216bis 8); nothing here needs more.
const VERSION: u32 = 6;

/// None when there is no segment to list.
pub(crate) fn write<'a>(segments: impl Iterator<Item = &'a Segment>, target: u64, ended: bool) -> Option<String> {
    let mut segments = segments.peekable();
    let first = segments.peek()?;
    // 4.4.3.3: a break before the first listed segment is counted when that segment leaves the list.
    let turn = first.turn - u64::from(first.breaks);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{turn}\n#EXT-X-INDEPENDENT-SEGMENTS\n",
        first.msn
    );
    let mut map = None;
    for segment in segments {
        // Writing to a String cannot fail.
        let _ = write_segment(&mut text, segment, map.replace(segment.epoch) != Some(segment.epoch));
    }
    if ended {
        text += "#EXT-X-ENDLIST\n";
    }
    Some(text)
}

fn write_segment(text: &mut String, segment: &Segment, new_map: bool) -> std::fmt::Result {
    if segment.breaks {
        writeln!(text, "#EXT-X-DISCONTINUITY")?;
    }
    if new_map {
        writeln!(text, "#EXT-X-MAP:URI=\"{}-init.mp4\"", segment.epoch)?;
    }
    writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date(segment.date))?;
    if segment.parts.is_empty() {
        writeln!(text, "#EXT-X-GAP")?;
    }
    writeln!(text, "#EXTINF:{:.6},", segment.lasts.as_secs_f64())?;
    writeln!(text, "{}-{}.m4s", segment.epoch, segment.number)
}

/// ISO 8601 to the millisecond, in UTC.
fn date(at: WallTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(form).unwrap_or_default()
}
