//! States, times and sizes in words for people.

use std::time::Duration;

use claim::{Phase, Record};
use media::WallTime;
use storage::journal::Gap;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::catalogue::{Card, Doubt};

/// How a recording stands, for whoever looks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Starting,
    Live,
    Recording,
    Processing,
    Ready,
    Partial,
    Failed,
    Empty,
    Unproven,
    Unreachable,
}

impl Standing {
    pub(crate) fn of(card: &Card) -> Self {
        match (card.record.phase, &card.manifest) {
            (Phase::Claimed, _) => Self::Starting,
            (Phase::Recording, _) if card.record.webinar => Self::Live,
            (Phase::Recording, _) => Self::Recording,
            (Phase::Ended, _) => Self::Processing,
            (Phase::Failed, _) => Self::Failed,
            (Phase::Empty, _) => Self::Empty,
            (_, Some(Err(Doubt::Unreachable))) => Self::Unreachable,
            (Phase::Ready, Some(Ok(_))) => Self::Ready,
            (Phase::Partial, Some(Ok(_))) => Self::Partial,
            (Phase::Ready | Phase::Partial, _) => Self::Unproven,
        }
    }

    /// For programs and for the badge's class.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Recording => "recording",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Empty => "empty",
            Self::Unproven => "unproven",
            Self::Unreachable => "unreachable",
        }
    }

    pub(crate) fn badge(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Live => "Live",
            Self::Recording => "Recording now",
            Self::Processing => "Being prepared",
            Self::Ready => "Ready",
            Self::Partial => "Ready, with a gap",
            Self::Failed => "Failed",
            Self::Empty => "Nothing recorded",
            Self::Unproven => "Not proven",
            Self::Unreachable => "Out of reach",
        }
    }

    /// What to do about it, if anything.
    pub(crate) fn advice(self, record: &Record) -> Option<String> {
        let text = match self {
            Self::Starting => "The recorder is joining the room.",
            Self::Live => "It can be watched while it lasts, and here when it has ended.",
            Self::Recording => "The recording can be watched when the meeting has ended.",
            Self::Processing => {
                "The meeting has ended and its recording is being put together. Load this page again in a minute."
            }
            Self::Ready => return None,
            Self::Partial => "Not all of it could be recorded; its page says what is missing.",
            Self::Failed => return Some(failure(record.reason.as_deref())),
            Self::Empty => "The room closed before anybody sent sound or picture, so there is nothing to keep.",
            Self::Unproven => {
                "The list of its parts is not signed by this institution, so it is not played. Leave everything as it is, \
                 and give its id to whoever runs the portal."
            }
            Self::Unreachable => "The store did not answer. Load this page again in a minute.",
        };
        Some(text.to_owned())
    }
}

/// The short word of recorder or finalizer, and what to do.
fn failure(reason: Option<&str>) -> String {
    let what = match reason {
        Some("refused") => {
            "The room did not let the recorder in; it may no longer have been there. Tell whoever runs the recorder which \
             room it was."
        }
        Some("locked") => {
            "The room is locked: it lets in only those who have its PIN or an invitation, and the recorder has none that \
             it takes. Tell whoever runs the recorder which room it was, or hold the meeting in a room without a lock."
        }
        Some("encrypted") => {
            "The room is encrypted end to end: only its participants can see and hear it, and the recorder cannot. Switch \
             end-to-end encryption off for a meeting that is to be recorded."
        }
        Some("unreachable") => "The meeting server did not answer. Whoever runs it can tell why.",
        Some("removed") => "Somebody removed the recorder from the room before there was anything to keep.",
        Some("unknown-instance") => {
            "The recorder does not know this meeting server; whoever runs it must add a section [meeting.NAME]."
        }
        Some("unreadable") => {
            "What was recorded cannot be read. Leave everything as it is, and give the recording's id to whoever runs the \
             portal: `lectern recordings verify` tells which object is wrong."
        }
        Some(other) => {
            return format!("The recording could not be made ({other}). Give its id to whoever runs the recorder.");
        }
        None => "The recording could not be made. Give its id to whoever runs the recorder.",
    };
    what.to_owned()
}

/// `22 November 2026, 12:00 UTC`. The page's script shows it in the reader's own time.
pub(crate) fn date(at: WallTime) -> String {
    let form = format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    let at = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(form).unwrap_or_default()
}

/// `1 h 05 min`, `45 min`, `38 s`.
pub(crate) fn duration(lasts: Duration) -> String {
    match (lasts.as_secs() + 30) / 60 {
        0..2 if lasts.as_secs() < 90 => format!("{} s", lasts.as_secs()),
        minutes @ 0..60 => format!("{minutes} min"),
        minutes => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

/// What is missing in a gap, and why.
pub(crate) fn gap(gap: &Gap) -> (&'static str, &str) {
    match gap.why.split_once(": ") {
        Some(("video", why)) => ("No picture", why),
        Some(("audio", why)) => ("No sound", why),
        _ => ("Nothing", gap.why.as_str()),
    }
}

/// `2 interruptions, 21 s in all. Everything else is there.` Where two overlap, that time counts once.
pub(crate) fn missing(gaps: &[Gap]) -> String {
    let (mut count, mut sum, mut ends) = (0, 0, 0);
    for gap in gaps.iter().filter(|gap| gap.to > gap.from) {
        count += 1;
        sum += gap.to.0.saturating_sub(gap.from.0.max(ends));
        ends = ends.max(gap.to.0);
    }
    match count {
        0 => "There is a doubt about this recording.".to_owned(),
        1 => format!("The recording is interrupted for {}.", seconds(Duration::from_nanos(sum))),
        _ => format!("The recording is interrupted {count} times, {} in all.", seconds(Duration::from_nanos(sum))),
    }
}

/// `0.8 s`, `14 s`, `5 min`.
pub(crate) fn seconds(lasts: Duration) -> String {
    match lasts {
        short if short < Duration::from_secs(10) => format!("{:.1} s", short.as_secs_f64()),
        other => duration(other + Duration::from_millis(500)),
    }
}

/// `1:02:03`, `2:03`.
pub(crate) fn clock(at: Duration) -> String {
    let (hours, minutes, seconds) = (at.as_secs() / 3600, at.as_secs() / 60 % 60, at.as_secs() % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `1.4 GB`, `12 MB`, `3 kB`.
pub(crate) fn size(bytes: u64) -> String {
    let (giga, mega, kilo) = (1_000_000_000, 1_000_000, 1000);
    match bytes {
        _ if bytes >= giga => format!("{}.{} GB", bytes / giga, bytes % giga / (giga / 10)),
        _ if bytes >= mega => format!("{} MB", bytes / mega),
        _ => format!("{} kB", bytes.div_ceil(kilo)),
    }
}

/// Languages by their own names; others by their code.
pub(crate) fn language(code: &str) -> &str {
    match code.split('-').next().unwrap_or(code) {
        "nb" | "no" => "norsk bokmål",
        "nn" => "norsk nynorsk",
        "se" => "davvisámegiella",
        "sv" => "svenska",
        "da" => "dansk",
        "fi" => "suomi",
        "is" => "íslenska",
        "fo" => "føroyskt",
        "en" => "English",
        "de" => "Deutsch",
        "fr" => "français",
        _ => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_once() {
        let gap = |from: u64, to: u64| Gap {
            from: media::MediaTime(from * 1_000_000_000),
            to: media::MediaTime(to * 1_000_000_000),
            why: String::new(),
        };
        assert_eq!(missing(&[gap(5, 5)]), "There is a doubt about this recording.");
        assert_eq!(missing(&[gap(5, 5), gap(7, 9)]), "The recording is interrupted for 2.0 s.");
        let three = missing(&[gap(0, 10), gap(5, 15), gap(20, 30)]);
        assert_eq!(three, "The recording is interrupted 3 times, 25 s in all.");
    }

    #[test]
    fn numbers_read_as_people_say_them() {
        let seconds = Duration::from_secs;
        assert_eq!([duration(seconds(38)), duration(seconds(89)), duration(seconds(90))], ["38 s", "89 s", "2 min"]);
        assert_eq!([duration(seconds(2700)), duration(seconds(3899))], ["45 min", "1 h 05 min"]);
        let millis = Duration::from_millis;
        assert_eq!([self::seconds(millis(840)), self::seconds(millis(13_600))], ["0.8 s", "14 s"]);
        assert_eq!([clock(seconds(0)), clock(seconds(125)), clock(seconds(3723))], ["0:00", "2:05", "1:02:03"]);
        assert_eq!([size(900), size(12_600_000), size(1_450_000_000)], ["1 kB", "12 MB", "1.4 GB"]);
        assert_eq!(date(WallTime(1_795_348_800_000_000)), "22 November 2026, 12:00 UTC");
    }
}
