//! Object keys (DESIGN D5). Opaque ids only: key names are visible to whoever runs the store.
//!
//! media bucket `v1/{tenant}/{yyyy}/{recording}/…`, keys bucket `v1/{tenant}/{recording}/{epoch}.key.age`.

use events::{RecordingId, TenantId};
use media::{Rendition, WallTime};

/// Who wrote something: a recorder's epoch, a finalizer's run, a transcriber's run. Each has its own key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Writer {
    /// `0001`, …
    Epoch(u32),
    /// `f01`, …: one per generation.
    Final(u32),
    /// `t01`, …: one per generation of text.
    Text(u32),
}

/// The root of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingPath {
    pub tenant: TenantId,
    pub year: i32,
    pub recording: RecordingId,
}

impl RecordingPath {
    #[must_use]
    pub fn new(tenant: TenantId, created: WallTime, recording: RecordingId) -> Self {
        Self { tenant, year: created.year_month().0, recording }
    }

    fn at(&self, rest: &str) -> String {
        format!("v1/{}/{:04}/{}/{rest}", self.tenant, self.year, self.recording)
    }

    /// `state.json`: compare-and-swap only, not sealed, no personal data.
    #[must_use]
    pub fn state(&self) -> String {
        self.at("state.json")
    }

    /// The recording's entry in the index of open ones, see [`crate::recordings`].
    #[must_use]
    pub fn open(&self) -> String {
        format!("open/v1/{}/{:04}/{}", self.tenant, self.year, self.recording)
    }

    #[must_use]
    pub fn init(&self, epoch: u32, rendition: &Rendition) -> String {
        self.at(&format!("live/{epoch:04}/{rendition}/init.mp4.age"))
    }

    #[must_use]
    pub fn segment(&self, epoch: u32, rendition: &Rendition, number: u64) -> String {
        self.at(&format!("live/{epoch:04}/{rendition}/{number:08}.m4s.age"))
    }

    #[must_use]
    pub fn journal(&self, epoch: u32) -> String {
        self.at(&format!("live/{epoch:04}/journal.jsonl.age"))
    }

    /// Title, participants, consent: what only the institution may read.
    #[must_use]
    pub fn description(&self, epoch: u32) -> String {
        self.at(&format!("meta/{epoch:04}/description.json.age"))
    }

    #[must_use]
    pub fn composite(&self, generation: u32) -> String {
        self.at(&format!("final/{generation:04}/composite.mp4.age"))
    }

    /// `extension` is one of `json`, `vtt`, `srt`, `txt`.
    #[must_use]
    pub fn transcript(&self, generation: u32, language: &str, extension: &str) -> String {
        self.at(&format!("text/{generation:04}/transcript.{language}.{extension}.age"))
    }

    #[must_use]
    pub fn manifest(&self, generation: u32) -> String {
        self.at(&format!("MANIFEST.{generation:04}.json"))
    }

    #[must_use]
    pub fn signature(&self, generation: u32) -> String {
        self.at(&format!("MANIFEST.{generation:04}.json.sig"))
    }

    /// In the keys bucket.
    #[must_use]
    pub fn key(&self, writer: &Writer) -> String {
        format!("v1/{}/{}/{writer}.key.age", self.tenant, self.recording)
    }

    /// Everything of this recording in the media bucket.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.at("")
    }

    /// Everything of this recording in the keys bucket.
    #[must_use]
    pub fn keys_prefix(&self) -> String {
        format!("v1/{}/{}/", self.tenant, self.recording)
    }

    /// The recording that a key of the media bucket belongs to; none for a key that is not of ours.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let mut parts = key.split('/');
        if parts.next() != Some("v1") {
            return None;
        }
        let tenant = TenantId::new(parts.next()?).ok()?;
        let year = parts.next()?;
        let recording = parts.next()?;
        let path = Self { tenant, year: year.parse().ok()?, recording: recording.parse().ok()? };
        // Numbers and ids have other spellings (`+2026`, capitals); only ours names the same objects.
        key.starts_with(&path.prefix()).then_some(path)
    }

    /// The generation whose manifest this key is; none for any other key.
    #[must_use]
    pub fn generation_of(&self, key: &str) -> Option<u32> {
        let number = key.strip_prefix(&self.at("MANIFEST."))?.strip_suffix(".json")?;
        let generation = number.parse().ok()?;
        (self.manifest(generation) == key).then_some(generation)
    }
}

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Epoch(n) => write!(f, "{n:04}"),
            Self::Final(n) => write!(f, "f{n:02}"),
            Self::Text(n) => write!(f, "t{n:02}"),
        }
    }
}

/// Not `0001`, `f01` or `t01`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a writer is named by its epoch (0001), or its generation (f01, t01)")]
pub struct BadWriter;

impl std::str::FromStr for Writer {
    type Err = BadWriter;

    fn from_str(text: &str) -> Result<Self, BadWriter> {
        let number = |digits: &str| digits.parse().map_err(|_| BadWriter);
        let writer = match text.as_bytes().first() {
            Some(b'f') => Self::Final(number(&text[1..])?),
            Some(b't') => Self::Text(number(&text[1..])?),
            _ => Self::Epoch(number(text)?),
        };
        if writer.to_string() == text { Ok(writer) } else { Err(BadWriter) }
    }
}

#[cfg(test)]
mod tests {
    use events::{PolicyId, SessionId};

    use super::*;

    fn path() -> RecordingPath {
        let tenant = TenantId::new("uni").unwrap();
        let id = RecordingId::derive(&tenant, &SessionId::new("s").unwrap(), &PolicyId::new("p").unwrap());
        RecordingPath { tenant, year: 2026, recording: id }
    }

    #[test]
    fn every_key_leads_back_to_its_recording() {
        let path = path();
        for key in [path.state(), path.segment(3, &Rendition::video(), 7), path.composite(1), path.manifest(1)] {
            assert_eq!(RecordingPath::of_key(&key), Some(path.clone()), "{key}");
        }
    }

    #[test]
    fn other_spellings_and_foreign_keys_lead_nowhere() {
        let state = path().state();
        let capitals = state.replace(&path().recording.to_string(), &path().recording.to_string().to_uppercase());
        for key in ["", "v1", "v2/uni/2026/x/", "probe/x", &state.replace("2026", "+2026"), &capitals] {
            assert_eq!(RecordingPath::of_key(key), None, "{key}");
        }
    }

    #[test]
    fn writers_read_back_from_their_names_only() {
        for writer in [Writer::Epoch(1), Writer::Epoch(12_345), Writer::Final(1), Writer::Text(120)] {
            assert_eq!(writer.to_string().parse(), Ok(writer));
        }
        for odd in ["", "1", "f1", "x01", "-001", "f", "é01", "0001 "] {
            assert_eq!(odd.parse::<Writer>(), Err(BadWriter), "{odd}");
        }
    }

    #[test]
    fn only_a_manifest_has_a_generation() {
        let path = path();
        assert_eq!(path.generation_of(&path.manifest(12)), Some(12));
        assert_eq!(path.generation_of(&path.signature(12)), None);
        assert_eq!(path.generation_of(&path.manifest(1).replace("0001", "1")), None);
    }
}
