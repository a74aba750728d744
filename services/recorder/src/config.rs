//! What the recorder is told: its own section and those of its neighbours, with every path made whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chassis::Sections;
use events::{RoomId, TenantId};
use media::PipelineSpec;
use meeting::{JoinSpec, Server};
use serde::Deserialize;
use session::Limits;
use storage::Recipients;
use storage::spool::Bound;

/// `[recorder]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Recorder {
    /// Recordings at once. Each is one media process and takes about a core at 720p.
    pub(crate) slots: u16,
    /// The spool: sealed segments wait here until the store has them. On a disk that survives a restart.
    pub(crate) work: PathBuf,
    /// What the spool may hold, beside what its file system has; none: the file system alone is the bound.
    pub(crate) spool_gib: Option<f64>,
    /// Where webinars are pushed to, such as `http://127.0.0.1:7080`.
    pub(crate) origin: Option<String>,
    /// A file that holds the origin's ingest token.
    pub(crate) ingest_token_file: Option<PathBuf>,
    /// The program whose `media` command is the media process. Without it, this program's own file.
    pub(crate) media_program: Option<PathBuf>,
    pub(crate) limits: Bounds,
    pub(crate) pipeline: PipelineSpec,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            slots: 1,
            work: "spool".into(),
            spool_gib: None,
            origin: None,
            ingest_token_file: None,
            media_program: None,
            limits: Bounds::default(),
            pipeline: PipelineSpec::default(),
        }
    }
}

const GIB: f64 = (1_u64 << 30) as f64;

/// What is kept free in the spool for the end of one recording: two segments of each rendition at several times our
/// bitrate, and the journal and log of a day.
const RESERVE: u64 = 8 << 20;

impl Recorder {
    fn reserve(&self) -> u64 {
        RESERVE * u64::from(self.slots)
    }

    /// How far the spool may fill.
    pub(crate) fn bound(&self) -> Bound {
        // Checked when it was read; what a float cannot say exactly is no matter here.
        Bound { own: self.spool_gib.map(|gib| (gib * GIB) as u64), reserve: self.reserve() }
    }
}

/// `[recorder.limits]`: what [`Limits`] says in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bounds {
    /// For one attempt to join.
    pub(crate) join_seconds: u64,
    /// Before a room that cannot be joined counts as failed.
    pub(crate) join_attempts: u32,
    /// To come back into a room that was lost, before the recording is cut.
    pub(crate) rejoin_attempts: u32,
    /// In a room where nobody sends anything, before the recording ends empty.
    pub(crate) lobby_seconds: u64,
    /// In a room where nobody sends anything any more, before the recording is complete.
    pub(crate) empty_seconds: u64,
    /// The longest recording, whatever was asked for. At most twelve hours.
    pub(crate) max_seconds: u64,
    /// For the pipeline to finish its last segment.
    pub(crate) drain_seconds: u64,
    /// For the store to take what was recorded, before the spool alone keeps it.
    pub(crate) store_seconds: u64,
    /// A recorder that is told to stop goes on recording for so long, until another one has taken over. Less than what
    /// the orchestrator gives it before it kills. 0 where there is no other one.
    pub(crate) hand_over_seconds: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            join_seconds: limits.join.as_secs(),
            join_attempts: limits.joins,
            rejoin_attempts: limits.rejoins,
            lobby_seconds: limits.lobby.as_secs(),
            empty_seconds: limits.empty.as_secs(),
            max_seconds: limits.longest.as_secs(),
            drain_seconds: limits.drain.as_secs(),
            store_seconds: limits.store.as_secs(),
            hand_over_seconds: limits.hand_over.as_secs(),
        }
    }
}

impl Bounds {
    /// The limits of one session that was asked to last at most `asked`.
    pub(crate) fn limits(&self, asked: Duration) -> Limits {
        let longest = Duration::from_secs(self.max_seconds).min(events::LONGEST);
        Limits {
            join: Duration::from_secs(self.join_seconds),
            joins: self.join_attempts,
            rejoins: self.rejoin_attempts,
            lobby: Duration::from_secs(self.lobby_seconds),
            empty: Duration::from_secs(self.empty_seconds),
            longest: asked.min(longest),
            drain: Duration::from_secs(self.drain_seconds),
            store: Duration::from_secs(self.store_seconds),
            hand_over: Duration::from_secs(self.hand_over_seconds),
            ..Limits::default()
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    id: TenantId,
}

/// Everything, checked as far as it can be without asking anybody.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) tenant: TenantId,
    pub(crate) recorder: Recorder,
    pub(crate) ingest_token: Option<Token>,
    pub(crate) recipients: Recipients,
    pub(crate) store: storage::store::Config,
    pub(crate) broker: broker::Config,
    /// By the name after `meeting.`, which events call the instance.
    servers: BTreeMap<String, Server>,
}

/// Does not print.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Config {
    /// Reads the sections.
    ///
    /// # Errors
    /// When one is wrong, with what to do.
    pub(crate) fn read(sections: &Sections) -> anyhow::Result<Self> {
        let tenant: Tenant = sections.section("tenant")?;
        let mut recorder: Recorder = sections.section("recorder")?;
        anyhow::ensure!(recorder.slots > 0, "[recorder].slots is 0, so nothing would be recorded; give it 1 or more");
        compositor::judge(&recorder.pipeline).context("[recorder.pipeline] cannot be recorded with")?;
        if let Some(url) = &recorder.origin {
            let ours = url.starts_with("http://");
            anyhow::ensure!(
                ours,
                "[recorder].origin does not begin with http://, and the recorder speaks nothing else to it: name the \
                 origin by its address on a private network, or a proxy on this machine that adds TLS"
            );
        }
        recorder.work = sections.beside(&recorder.work);
        let least = recorder.reserve() as f64 * 10.0 / GIB;
        anyhow::ensure!(
            recorder.spool_gib.is_none_or(|gib| gib.is_finite() && gib >= least),
            "[recorder].spool_gib is too small to bridge any outage: an hour of one recording takes about 0.6; give it \
             {least:.2} or more, or leave it out to use what the disk has"
        );
        let seal: storage::seal::Config = sections.section("seal")?;
        Ok(Self {
            tenant: tenant.id,
            ingest_token: recorder.ingest_token_file.as_deref().map(word).transpose()?.map(Token),
            recorder,
            recipients: Recipients::parse(&seal.recipients)?,
            store: sections.section("store")?,
            broker: sections.section("broker")?,
            servers: sections.section("meeting")?,
        })
    }

    pub(crate) fn server(&self, instance: &str) -> Option<&Server> {
        self.servers.get(instance)
    }

    /// What the media process is told about one room. Reads the files anew, so that a changed PIN counts at once.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be read.
    pub(crate) fn join(&self, server: &Server, room: &RoomId) -> anyhow::Result<JoinSpec> {
        let Server::Janus(janus) = server;
        let api_secret = janus.api_secret_file.as_deref().map(word).transpose()?;
        let pin = janus.pins_file.as_deref().map(|path| pin(path, room)).transpose()?.flatten();
        Ok(JoinSpec { server: server.clone(), room: room.to_string(), pin, api_secret })
    }
}

/// A file with one secret word in it.
fn word(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// `room = "pin"` lines. An error never repeats the file's text.
fn pin(path: &Path, room: &RoomId) -> anyhow::Result<Option<String>> {
    let odd = || format!("{} does not read as TOML lines of room = \"pin\"", path.display());
    let pins: BTreeMap<String, String> = toml::from_str(&word(path)?).map_err(|_| anyhow::anyhow!(odd()))?;
    Ok(pins.get(room.as_str()).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../samples/lectern.toml");

    /// The sample with real recipients, in a folder with the files it names.
    fn sample(change: impl Fn(String) -> String) -> (tempfile::TempDir, anyhow::Result<Config>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        std::fs::write(folder.path().join("keys/ingest-token"), "s3cr3t-token\n").unwrap();
        let keys = storage::keys::Institution::generate(&folder.path().join("keys"), "test").unwrap();
        let text =
            SAMPLE.replace("age1archive-recipient", &keys.archive).replace("age1pipeline-recipient", &keys.pipeline);
        let path = folder.path().join("lectern.toml");
        let config = Sections::parse(&path, &change(text)).map_err(Into::into).and_then(|all| Config::read(&all));
        (folder, config)
    }

    #[test]
    fn the_sample_is_whole_and_says_the_defaults() {
        let (folder, config) = sample(|text| text);
        let config = config.unwrap();
        let default = Recorder::default();
        assert_eq!(config.recorder.slots, default.slots);
        assert_eq!(config.recorder.work, folder.path().join(default.work));
        assert_eq!(config.recorder.pipeline, default.pipeline);
        assert_eq!(config.ingest_token.unwrap().0, "s3cr3t-token");
        assert!(config.servers.contains_key("campus"));
    }

    #[test]
    fn a_pin_is_found_by_room_and_an_unreadable_file_is_not_repeated() {
        let (folder, config) = sample(|text| text.replace("# pins_file", "pins_file"));
        let (config, path) = (config.unwrap(), folder.path().join("keys/pins.toml"));
        let room = |id: &str| config.join(config.server("campus").unwrap(), &RoomId::new(id).unwrap());
        std::fs::write(&path, "1234 = \"9876\"\nhall-b = \"5555\"\n").unwrap();
        assert_eq!(room("hall-b").unwrap().pin.as_deref(), Some("5555"));
        assert_eq!(room("1").unwrap().pin, None);
        std::fs::write(&path, "1234 = 9876543\n").unwrap();
        let why = format!("{:#}", room("1234").err().unwrap());
        assert!(why.contains("pins.toml") && !why.contains("9876543"), "{why}");
    }

    #[test]
    fn nobody_records_longer_than_is_configured_nor_than_twelve_hours() {
        let bounds = |max_seconds| Bounds { max_seconds, ..Bounds::default() };
        let hours = |n: u64| Duration::from_secs(n * 3600);
        assert_eq!(bounds(7200).limits(hours(12)).longest, hours(2));
        assert_eq!(bounds(u64::MAX).limits(hours(12)).longest, hours(12));
        assert_eq!(bounds(7200).limits(hours(1)).longest, hours(1));
    }

    #[test]
    fn what_would_record_nothing_or_be_lost_is_refused() {
        let refused = |change: &dyn Fn(String) -> String| format!("{:#}", sample(change).1.unwrap_err());
        assert!(refused(&|text| text.replace("slots = 1", "slots = 0")).contains("slots"));
        assert!(refused(&|text| text.replace("slots = 1", "slot = 1")).contains("slot"));
        assert!(refused(&|text| text.replace("origin = \"http:", "origin = \"https:")).contains("origin"));
        let one =
            refused(&|text| text.lines().filter(|line| !line.starts_with("recipients")).collect::<Vec<_>>().join("\n"));
        assert!(one.contains("two"), "{one}");
    }
}
