//! Connectors: join a room as a recorder bot, yield events and tracks. A folder per platform over one
//! [`RecvPeer`](peer::RecvPeer). Decides nothing about recording: it reports what the room does.
//!
//! ```text
//! platform's signalling -> roster -> Event            (facts: who is here, what they send)
//!                       -> peer   -> Outlet -> FrameSink   (frames, on a streaming thread)
//! ```
//!
//! # Design
//! * A connector is an arm of [`join`] and a folder, not a trait object: adding one is adding a [`Server`] variant, and
//!   the compiler names the rest.
//! * Frames are pushed. There is no queue in this crate, so there is no delay in it beyond the jitter buffer's 400 ms:
//!   a frame comes that much later than its `pts` says.
//! * A track's [`Outlet`] outlives the peers that feed it. Reconnecting to one publisher is the connector's business
//!   and seen from outside as a pause; losing the room is the caller's, as [`Event::Lost`].

mod janus;
mod names;
mod outlet;
pub mod peer;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use media::{FrameSink, Participant, ParticipantId, Track, TrackId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use names::clean_name;
pub use outlet::Outlet;

/// One meeting server, as configured under `[meeting.<instance>]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "platform", rename_all = "kebab-case")]
pub enum Server {
    Janus(JanusServer),
}

/// Names are asked for over TCP when an answer is too long for UDP (RFC 7766).
const NAMES: u16 = 53;

impl Server {
    /// The TCP ports that joining connects to. Media comes by UDP.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let Self::Janus(server) = self;
        let Ok(url) = server.url.parse::<Uri>() else { return Vec::new() };
        let usual = if url.scheme_str() == Some("wss") { 443 } else { 80 };
        let named = url.host().is_some_and(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err());
        std::iter::once(url.port_u16().unwrap_or(usual)).chain(named.then_some(NAMES)).collect()
    }
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

impl fmt::Debug for JoinSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSpec").field("room", &self.room).finish_non_exhaustive()
    }
}

/// Why we are not in the room, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Try again: the server is away, the network broke.
    #[error("the meeting server cannot be reached ({0}); see that it runs and that its url is right")]
    Unreachable(String),
    /// This room only: no such room, the server wants another secret.
    #[error("the room refused the recorder: {0}")]
    Refused(String),
    /// This room only: it lets in whom it knows, and the recorder has no PIN or invitation that it takes.
    #[error("the room is locked: {0}")]
    Locked(String),
    /// This room only: nobody but its participants has the keys to what is sent. A film of it would be noise.
    #[error(
        "the room is encrypted end to end, so the recorder can neither see nor hear it; have the meeting held without \
         that, if it is to be recorded"
    )]
    Encrypted,
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
    /// Somebody is here. Once more for the same id when they change their name.
    Arrived(Participant),
    Departed(ParticipantId),
    Track(Track),
    /// The track is gone and its route with it. The id never comes back.
    Untrack(TrackId),
    /// Nothing to see or hear: by a moderator's word, or because nothing is sent.
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

/// How long [`Meeting::leave`] waits for the room's farewell before it cuts everything off.
const LEAVING: Duration = Duration::from_secs(8);

/// Joins the room of `spec` and follows it until it is left, lost or over. `events` begins with [`Event::Joined`], sent
/// when the room shows the recording sign and before this returns; it ends with [`Event::Removed`], [`Event::Ended`]
/// or [`Event::Lost`] unless we leave first.
///
/// # Errors
/// When the room is not joined; then nothing was sent to `events`.
pub async fn join(spec: JoinSpec, time: graph::Timebase, events: UnboundedSender<Event>) -> Result<Meeting, Loss> {
    let missing = peer::missing();
    if !missing.is_empty() {
        let list: Vec<_> = missing.iter().map(|(element, package)| format!("{element} (Debian: {package})")).collect();
        return Err(Loss::Broken(format!("GStreamer elements are not installed: {}", list.join(", "))));
    }
    let routes = Routes::default();
    let leave = CancellationToken::new();
    let room = match &spec.server {
        Server::Janus(server) => janus::join(server, &spec, time, events, routes.clone()).await?,
    };
    let task = AbortOnDropHandle::new(tokio::spawn(room.run(leave.clone())));
    Ok(Meeting { routes, leave, task })
}

/// Our presence in a room. Dropping it leaves without a word; [`Meeting::leave`] says goodbye.
#[derive(Debug)]
pub struct Meeting {
    routes: Routes,
    leave: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Meeting {
    /// Connects to `server`, sees that it answers and takes our secret, and goes again. Joins no room.
    ///
    /// # Errors
    /// When it does not, with what to do about it.
    pub async fn check(server: &Server) -> Result<(), Loss> {
        match server {
            Server::Janus(server) => janus::check(server).await,
        }
    }

    /// Sends `track`'s frames to `sink` from the next key frame on, replacing an earlier sink. A track that is gone
    /// takes no route.
    pub fn route(&self, track: &TrackId, sink: FrameSink) {
        if let Some(outlet) = self.routes.get(track) {
            outlet.route(sink);
        }
    }

    /// Nobody needs `track`'s frames: they are dropped before any decoding.
    pub fn unroute(&self, track: &TrackId) {
        if let Some(outlet) = self.routes.get(track) {
            outlet.unroute();
        }
    }

    /// Leaves the room and waits until everything of it is gone, at most 8 s.
    pub async fn leave(self) {
        self.leave.cancel();
        if tokio::time::timeout(LEAVING, self.task).await.is_err() {
            tracing::warn!("leaving takes too long; the rest is cut off");
        }
    }
}

/// The outlets of all tracks that there are, shared by the connector and its [`Meeting`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<Mutex<HashMap<TrackId, Arc<Outlet>>>>);

impl Routes {
    fn lock(&self) -> MutexGuard<'_, HashMap<TrackId, Arc<Outlet>>> {
        // Nothing in here can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, track: &TrackId) -> Option<Arc<Outlet>> {
        self.lock().get(track).cloned()
    }

    fn insert(&self, track: TrackId, outlet: Arc<Outlet>) {
        self.lock().insert(track, outlet);
    }

    fn remove(&self, track: &TrackId) {
        let outlet = self.lock().remove(track);
        if let Some(outlet) = outlet {
            outlet.unroute();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_by_its_own_port_and_a_named_one_by_that_of_names_too() {
        for (url, ports) in [
            ("ws://127.0.0.1:8188", vec![8188]),
            ("wss://[2001:db8::1]/janus", vec![443]),
            ("ws://janus.example.org/ws", vec![80, 53]),
            ("wss://janus.example.org:8989/", vec![8989, 53]),
            ("not a url", vec![]),
        ] {
            let server: JanusServer = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
            assert_eq!(Server::Janus(server).ports(), ports, "{url}");
        }
    }
}
