//! Connectors: join a room as a recorder bot, yield events and tracks. A folder per platform over one `RecvPeer`.
//! Decides nothing about recording: it reports what the room does.

use std::path::PathBuf;

use media::{FrameSink, Participant, ParticipantId, Track, TrackId};
use serde::{Deserialize, Serialize};

/// One meeting server, as configured under `[meeting.<instance>]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "platform", rename_all = "kebab-case")]
pub enum Server {
    Janus(JanusServer),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JanusServer {
    /// `ws://` or `wss://`.
    pub url: String,
    #[serde(default)]
    pub api_secret_file: Option<PathBuf>,
    /// A file with `room = "pin"` lines (TOML).
    #[serde(default)]
    pub pins_file: Option<PathBuf>,
    /// Which publishers are screen shares.
    #[serde(default)]
    pub screen: ScreenRule,
    /// How the bot is shown in the room: the recording sign (DESIGN D16).
    #[serde(default = "default_sign")]
    pub sign: String,
}

fn default_sign() -> String {
    "\u{23fa} Recording (Lectern)".into()
}

/// Janus has no mark for a screen share, so a rule finds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScreenRule {
    /// A stream whose `description` holds this word is a screen.
    pub description: String,
    /// A publisher whose display name ends in this is a screen of the person named before it.
    pub name_suffix: String,
}

impl Default for ScreenRule {
    fn default() -> Self {
        Self { description: "screen".into(), name_suffix: "(screen)".into() }
    }
}

/// The child process' whole knowledge of the room: secrets are the room's own and nothing else.
#[derive(Clone, Serialize, Deserialize)]
pub struct JoinSpec {
    pub server: Server,
    pub room: String,
    pub pin: Option<String>,
    pub api_secret: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Try again: the server is away, the network broke.
    #[error("the meeting server cannot be reached: {0}")]
    Unreachable(String),
    /// This room only: no such room, a pin is needed, the room is full.
    #[error("the room refused the recorder: {0}")]
    Refused(String),
    /// A GStreamer element is missing, a peer cannot be built.
    #[error("this worker cannot receive media: {0}")]
    Broken(String),
}

/// What happens in the room, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// In the room, with the recording sign set. `title` is the room's own.
    Joined {
        title: Option<String>,
    },
    Arrived(Participant),
    Departed(ParticipantId),
    Track(Track),
    Untrack(TrackId),
    Muted(TrackId),
    Unmuted(TrackId),
    /// Who speaks, the latest first.
    Speaking(Vec<ParticipantId>),
    /// Kicked.
    Removed,
    /// The room was destroyed.
    Ended,
    Lost(Loss),
}

/// Our presence in a room. Dropping it leaves without a word; [`Meeting::leave`] says goodbye.
#[derive(Debug)]
pub struct Meeting;

impl Meeting {
    /// Sends `track`'s frames to `sink` from the next key frame on, replacing an earlier sink.
    pub fn route(&self, _track: &TrackId, _sink: FrameSink) {
        todo!()
    }

    /// Nobody needs `track`'s frames: they are dropped before any decoding.
    pub fn unroute(&self, _track: &TrackId) {
        todo!()
    }

    pub async fn leave(self) {
        todo!()
    }
}
