//! Who is in the room and what they send. Facts only; the bytes are [`crate::Frame`]s.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A participant within one room, in the platform's own numbering. Opaque; never a name.
    ParticipantId
}
id! {
    /// A track within one session, unique over its whole life: a rejoined participant's tracks get new ids.
    TrackId
}

/// A person (or machine) in the room.
///
/// `name` is personal data, already cleaned for display by the connector. It is kept out of `Debug` so that it
/// cannot reach a log by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    pub id: ParticipantId,
    pub name: String,
}

impl std::fmt::Debug for Participant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Participant").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Audio,
    Video,
}

/// Where a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Camera,
    Microphone,
    Screen,
    ScreenAudio,
}

/// The codecs that a meeting may send us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    Vp8,
    H264,
    Opus,
}

impl Codec {
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Vp8 | Self::H264 => Kind::Video,
            Self::Opus => Kind::Audio,
        }
    }
}

/// One stream of one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    pub id: TrackId,
    pub participant: ParticipantId,
    pub source: Source,
    pub codec: Codec,
}
