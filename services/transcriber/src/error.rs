//! Why there is no transcript, and whether one may come later.

use claim::Phase;
use storage::StoreError;
use storage::manifest::PublishError;
use storage::seal::SealError;
use transcript::HearError;

use crate::config::NoModel;
use crate::sound::SoundError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscribeError {
    #[error("there is no recording {0}")]
    Unknown(events::RecordingId),
    #[error("the recording is {0:?}, not ready")]
    NotReady(Phase),
    #[error("the recording's manifest lists no film with its key")]
    NoFilm,
    #[error(transparent)]
    NoModel(#[from] NoModel),
    #[error("could not reach the recording")]
    Store(#[from] StoreError),
    #[error("could not open or seal the recording")]
    Seal(#[from] SealError),
    #[error("could not publish the transcript")]
    Publish(#[from] PublishError),
    #[error("could not read the film's sound")]
    Sound(#[from] SoundError),
    #[error("speech recognition failed")]
    Hear(#[from] HearError),
    #[error("the thread that listens panicked; the log says where, please report it")]
    Panicked,
    #[error("stopped before the end; it begins again with the next start")]
    Stopped,
}

impl TranscribeError {
    /// Whether the same call may go well later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(why) => why.is_passing() || matches!(why, StoreError::Conflict { .. }),
            // Two transcribers took the same number for their try.
            Self::Seal(SealError::Store(StoreError::Exists { .. })) => true,
            Self::Seal(why) => why.is_passing(),
            Self::Publish(why) => why.is_passing() || matches!(why, PublishError::Taken { .. }),
            Self::Sound(SoundError::Store(why)) => why.is_passing(),
            Self::Stopped => true,
            Self::Unknown(_)
            | Self::NotReady(_)
            | Self::NoFilm
            | Self::NoModel(_)
            | Self::Sound(_)
            | Self::Hear(_)
            | Self::Panicked => false,
        }
    }

    /// Whether it lasts until a person has put right what is amiss with the store, a model or this program. The message
    /// is kept for that day; what lies in the film itself, or was never configured, is told and done with.
    #[must_use]
    pub fn is_mendable(&self) -> bool {
        match self {
            Self::Store(_)
            | Self::Seal(_)
            | Self::Publish(_)
            | Self::NoFilm
            | Self::NoModel(NoModel::Unusable(_))
            | Self::Sound(SoundError::Store(_) | SoundError::Decode(_))
            | Self::Panicked => !self.is_passing(),
            Self::Unknown(_)
            | Self::NotReady(_)
            | Self::NoModel(_)
            | Self::Sound(SoundError::Silent | SoundError::Rate(_))
            | Self::Hear(_)
            | Self::Stopped => false,
        }
    }

    /// A short word for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown-recording",
            Self::NotReady(_) => "not-ready",
            Self::NoFilm => "no-film",
            Self::NoModel(why) => why.reason(),
            Self::Store(_) | Self::Sound(SoundError::Store(_)) => "store",
            Self::Seal(_) => "seal",
            Self::Publish(PublishError::Unproven { .. } | PublishError::Malformed { .. }) => "unproven",
            Self::Publish(_) => "publish",
            Self::Sound(SoundError::Silent) => "no-sound",
            Self::Sound(_) => "sound",
            Self::Hear(HearError::Language { .. }) => "model-language",
            Self::Hear(_) | Self::Panicked => "recogniser",
            Self::Stopped => "stopped",
        }
    }
}
