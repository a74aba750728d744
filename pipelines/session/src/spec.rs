//! What a session must know before it begins.

use std::fmt;
use std::time::Duration;

use layout::LayoutName;
use media::{Codec, ParticipantId, PipelineSpec, Source, Track};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// There were epochs before: they may hold something, and finding nothing more does not make the recording a failure.
    pub earlier: bool,
    pub layout: LayoutName,
    pub pipeline: PipelineSpec,
    pub limits: Limits,
    /// Spreads retries of different recordings. Any number; the same for a replay.
    pub seed: u64,
    /// What earlier epochs learned about tracks.
    #[serde(default)]
    pub caution: Caution,
}

/// What a track is known by from one epoch to the next: its id is new each time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspect {
    pub participant: ParticipantId,
    pub source: Source,
    pub codec: Codec,
}

impl From<&Track> for Suspect {
    fn from(track: &Track) -> Self {
        Self { participant: track.participant.clone(), source: track.source, codec: track.codec }
    }
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} of participant {}", self.codec, self.source, self.participant)
    }
}

/// Tracks that may kill whatever decodes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caution {
    /// Never recorded: to this session, nobody sends them.
    pub shunned: Vec<Suspect>,
    /// Added later than all others and one by one, in this order, so that a death points at one of them.
    pub on_trial: Vec<Suspect>,
    /// Before each of those.
    pub pause: Duration,
}

/// How long and how often. Each says what happens when it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// One attempt to join; then the next one.
    pub join: Duration,
    /// Attempts to join at first; then the recording fails.
    pub joins: u32,
    /// In the room without anybody sending; then the recording ends empty.
    pub lobby: Duration,
    /// From Start to Playing; then another worker is to try.
    pub start: Duration,
    /// Live without anybody sending; then the recording is complete.
    pub empty: Duration,
    /// The whole recording; then it is complete.
    pub longest: Duration,
    /// Attempts to come back after the connection broke; then the recording is cut.
    pub rejoins: u32,
    /// Recording on for a successor; then without one.
    pub hand_over: Duration,
    /// From Drain to Drained; then the pipeline is killed and what was closed is kept.
    pub drain: Duration,
    /// From the last segment to the journal's receipt; then the spool keeps the rest. For a worker that is told to stop,
    /// `drain` instead.
    pub store: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A WebRTC join takes 1 to 3 seconds; a server that needs ten times that is not answering.
            join: Duration::from_secs(20),
            joins: 6,
            // Lecturers open the room before the hour and begin at a quarter past.
            lobby: Duration::from_secs(20 * 60),
            start: Duration::from_secs(20),
            // Longer than a break between two halves of a lecture in which everybody mutes and leaves.
            empty: Duration::from_secs(15 * 60),
            longest: Duration::from_secs(12 * 60 * 60),
            // With a pause of at most 15 s between them, longer than a meeting server takes to restart.
            rejoins: 12,
            // A successor takes ten seconds; where one has to be started first, a minute. Orchestrators kill after two.
            hand_over: Duration::from_secs(90),
            drain: Duration::from_secs(20),
            // A night's outage of the store costs no recording.
            store: Duration::from_secs(24 * 60 * 60),
        }
    }
}
