//! What one epoch stored, and what only the institution may read about it. Both are sealed before they are put.
//!
//! A journal is JSON lines: a head, a line for each segment and each gap, and an end that counts them, so that one cut
//! short is never taken for a short recording.

use std::collections::BTreeMap;
use std::time::Duration;

use events::{Basis, PolicyId, RecordingId};
use media::{Canvas, MediaTime, PipelineSpec, Rendition, WallTime};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    pub recording: RecordingId,
    pub epoch: u32,
    pub began: WallTime,
    pub ended: WallTime,
    pub spec: PipelineSpec,
    pub entries: Vec<Entry>,
    pub gaps: Vec<Gap>,
    /// How many segments were closed, stored or not: 0, 1, … in each rendition. Empty where nobody counted.
    pub closed: BTreeMap<Rendition, u64>,
    pub renditions: Vec<RenditionInfo>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub rendition: Rendition,
    pub number: u64,
    pub key: String,
    pub size: u64,
    /// Hex, of the ciphertext.
    pub sha256: String,
    pub begins: MediaTime,
    #[serde(with = "nanos")]
    pub lasts: Duration,
    pub wall: WallTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    pub from: MediaTime,
    pub to: MediaTime,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenditionInfo {
    pub rendition: Rendition,
    /// RFC 6381.
    pub codec: String,
    pub picture: Option<Canvas>,
    pub init_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Has other numbers than its end says, or no end.
    #[error("the journal is not whole: {segments} segments and {gaps} gaps, where its end counts {counted:?}")]
    Short { segments: usize, gaps: usize, counted: Option<(usize, usize)> },
    #[error("line {line} of the journal is not understood: {why}")]
    Line { line: usize, why: String },
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Epoch(Head),
    Segment(Entry),
    Gap(Gap),
    End {
        segments: usize,
        gaps: usize,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        closed: BTreeMap<Rendition, u64>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    recording: RecordingId,
    epoch: u32,
    began: WallTime,
    ended: WallTime,
    spec: PipelineSpec,
    renditions: Vec<RenditionInfo>,
}

impl Journal {
    /// The file: JSON lines.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = Line::Epoch(Head {
            recording: self.recording,
            epoch: self.epoch,
            began: self.began,
            ended: self.ended,
            spec: self.spec.clone(),
            renditions: self.renditions.clone(),
        });
        let segments = self.entries.iter().cloned().map(Line::Segment);
        let gaps = self.gaps.iter().cloned().map(Line::Gap);
        let closed = self.closed.clone();
        let end = Line::End { segments: self.entries.len(), gaps: self.gaps.len(), closed };
        let mut bytes = Vec::new();
        for line in std::iter::once(head).chain(segments).chain(gaps).chain(std::iter::once(end)) {
            #[expect(
                clippy::expect_used,
                reason = "only maps with odd keys and failing Serialize fail; here are neither"
            )]
            serde_json::to_writer(&mut bytes, &line).expect("plain structs are JSON");
            bytes.push(b'\n');
        }
        bytes
    }

    /// Reads a whole journal back.
    ///
    /// # Errors
    /// [`JournalError::Short`] when the end is missing or counts more, [`JournalError::Line`] for anything odd.
    pub fn parse(bytes: &[u8]) -> Result<Self, JournalError> {
        let mut journal: Option<Self> = None;
        let mut ended = None;
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for (at, text) in text.split(|byte| *byte == b'\n').enumerate() {
            let odd = |why: String| JournalError::Line { line: at + 1, why };
            let line = serde_json::from_slice(text).map_err(|why| odd(why.to_string()))?;
            if ended.is_some() {
                return Err(odd("it follows the end".into()));
            }
            match (line, &mut journal) {
                (Line::Epoch(head), None) => journal = Some(head.into()),
                (Line::Segment(entry), Some(journal)) => journal.entries.push(entry),
                (Line::Gap(gap), Some(journal)) => journal.gaps.push(gap),
                (Line::End { segments, gaps, closed }, Some(journal)) => {
                    journal.closed = closed;
                    ended = Some((segments, gaps));
                }
                (_, None) => return Err(odd("the epoch is not named first".into())),
                (Line::Epoch(_), Some(_)) => return Err(odd("the epoch is named twice".into())),
            }
        }
        match (journal, ended) {
            (Some(journal), Some(counted)) if counted == (journal.entries.len(), journal.gaps.len()) => Ok(journal),
            (Some(journal), counted) => {
                Err(JournalError::Short { segments: journal.entries.len(), gaps: journal.gaps.len(), counted })
            }
            (None, _) => Err(JournalError::Short { segments: 0, gaps: 0, counted: None }),
        }
    }
}

impl From<Head> for Journal {
    fn from(head: Head) -> Self {
        Self {
            recording: head.recording,
            epoch: head.epoch,
            began: head.began,
            ended: head.ended,
            spec: head.spec,
            entries: Vec::new(),
            gaps: Vec::new(),
            closed: BTreeMap::new(),
            renditions: head.renditions,
        }
    }
}

/// Title, participants, consent: sealed at [`crate::RecordingPath::description`]. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub title: Option<String>,
    pub participants: Vec<Attendance>,
    pub consent: Consent,
}

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description").field("participants", &self.participants.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attendance {
    pub id: String,
    pub name: String,
    pub arrived: WallTime,
    pub left: Option<WallTime>,
}

impl std::fmt::Debug for Attendance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attendance").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who asked, on what basis, and how the room was told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    pub policy: PolicyId,
    pub basis: Basis,
    pub requested_by: String,
    /// How the platform showed that it is being recorded.
    pub sign: String,
    pub sign_set: WallTime,
}

impl std::fmt::Debug for Consent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consent").field("policy", &self.policy).finish_non_exhaustive()
    }
}

mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use events::{PolicyId, SessionId, TenantId};

    use super::*;

    fn journal() -> Journal {
        let id = RecordingId::derive(
            &TenantId::new("uni").unwrap(),
            &SessionId::new("s1").unwrap(),
            &PolicyId::new("p").unwrap(),
        );
        let entry = |number: u64| Entry {
            rendition: Rendition::video(),
            number,
            key: format!("v1/uni/2026/{id}/live/0001/video/{number:08}.m4s.age"),
            size: 1_000 + number,
            sha256: "ab".repeat(32),
            begins: MediaTime(number * 3_200_000_000),
            lasts: Duration::from_nanos(3_200_000_001),
            wall: WallTime(1_795_372_178_123_456),
        };
        Journal {
            recording: id,
            epoch: 1,
            began: WallTime(1_795_372_178_000_000),
            ended: WallTime(1_795_372_190_000_000),
            spec: PipelineSpec::default(),
            entries: (0..3).map(entry).collect(),
            gaps: vec![Gap { from: MediaTime(1), to: MediaTime(2), why: "reconnect".into() }],
            closed: BTreeMap::from([(Rendition::video(), 3)]),
            renditions: vec![RenditionInfo {
                rendition: Rendition::video(),
                codec: "avc1.64001f".into(),
                picture: Some(Canvas::default()),
                init_key: "k".into(),
            }],
        }
    }

    #[test]
    fn a_journal_survives_its_text_to_the_nanosecond() {
        assert_eq!(Journal::parse(&journal().to_bytes()).unwrap(), journal());
    }

    #[test]
    fn a_journal_from_before_anybody_counted_is_read() {
        let counted = journal().to_bytes();
        let text = String::from_utf8(counted).unwrap().replace(",\"closed\":{\"video\":3}", "");
        let read = Journal::parse(text.as_bytes()).unwrap();
        assert_eq!(read, Journal { closed: BTreeMap::new(), ..journal() });
    }

    #[test]
    fn a_journal_cut_at_any_byte_is_refused() {
        let bytes = journal().to_bytes();
        // The last newline carries nothing; every byte before it does.
        for cut in 0..bytes.len() - 1 {
            assert!(Journal::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_journal_that_lost_a_line_is_refused() {
        let text = String::from_utf8(journal().to_bytes()).unwrap();
        for lost in 0..text.lines().count() {
            let rest: Vec<_> = text.lines().enumerate().filter(|(at, _)| *at != lost).map(|(_, line)| line).collect();
            assert!(Journal::parse(rest.join("\n").as_bytes()).is_err(), "without line {lost}");
        }
    }

    #[test]
    fn a_field_given_twice_or_unknown_is_refused() {
        let text = String::from_utf8(journal().to_bytes()).unwrap();
        for odd in [text.replace("\"epoch\":1", "\"epoch\":1,\"epoch\":1"), text.replace("\"why\"", "\"reason\"")] {
            assert!(matches!(Journal::parse(odd.as_bytes()), Err(JournalError::Line { .. })));
        }
    }
}
