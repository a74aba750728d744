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
