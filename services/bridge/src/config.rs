//! `[bridge]`, and what of other sections it needs, checked before anything runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Sections;
use events::TenantId;
use serde::Deserialize;

use crate::policy::Policy;

/// `[bridge]` in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which rooms are recorded; `samples/policy.toml` documents it.
    pub policy_file: PathBuf,
    /// Seconds that a room may be empty before its run is over. Who comes back sooner continues the same recording.
    pub empty_after: u64,
    /// Janus servers by the names they have under `[meeting.…]`, where their addresses and signs stand.
    pub janus: BTreeMap<String, JanusNews>,
}

impl Default for Config {
    fn default() -> Self {
        Self { policy_file: "policy.toml".into(), empty_after: 120, janus: BTreeMap::new() }
    }
}

/// `[bridge.janus.<instance>]`: where this server's RabbitMQ event handler publishes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JanusNews {
    /// `exchange` of `janus.eventhandler.rabbitmqevh.jcfg`. One exchange per server.
    pub exchange: String,
}

/// What of `[meeting.<instance>]` is needed here; the recorder reads the rest.
#[derive(Deserialize)]
struct Meeting {
    url: String,
    api_secret_file: Option<PathBuf>,
    #[serde(default = "default_sign")]
    sign: String,
}

/// The recorder's own default (`meeting::JanusServer::sign`); a test compares.
fn default_sign() -> String {
    "\u{23fa} Recording (Lectern)".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    id: TenantId,
}

/// One server to watch.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) instance: String,
    pub(crate) exchange: String,
    pub(crate) url: String,
    pub(crate) secret: Option<String>,
    /// What our bots' display names begin with.
    pub(crate) sign: String,
}

/// Everything that is needed to run.
pub(crate) struct Setup {
    pub(crate) tenant: TenantId,
    pub(crate) broker: broker::Config,
    pub(crate) policy: Policy,
    pub(crate) empty_after: Duration,
    pub(crate) servers: Vec<Server>,
}

impl Setup {
    pub(crate) fn read(sections: &Sections) -> anyhow::Result<Self> {
        let config: Config = sections.section("bridge")?;
        let Tenant { id: tenant } = sections.section("tenant")?;
        let broker: broker::Config = sections.section("broker")?;
        // For its default.
        let policy = Policy::read(&sections.beside(&config.policy_file))?;
        let meetings: BTreeMap<String, toml::Table> = sections.section("meeting")?;
        if config.janus.is_empty() {
            bail!("[bridge] has no server: add [bridge.janus.<name>] with the exchange of its event handler");
        }
        let server = |(instance, news): (String, JanusNews)| {
            let meeting = meetings.get(&instance).with_context(|| {
                format!("[bridge.janus.{instance}] needs [meeting.{instance}] with the address of that server")
            })?;
            server(&instance, news, meeting).with_context(|| format!("[meeting.{instance}]"))
        };
        let servers = config.janus.into_iter().map(server).collect::<anyhow::Result<_>>()?;
        Ok(Self { tenant, broker, policy, empty_after: Duration::from_secs(config.empty_after), servers })
    }
}

fn server(instance: &str, news: JanusNews, meeting: &toml::Table) -> anyhow::Result<Server> {
    // An instance stands in the source of events.
    events::RoomId::new(instance).context("its name must be 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")?;
    let meeting: Meeting =
        meeting.clone().try_into().map_err(|e: toml::de::Error| anyhow::anyhow!("{}", e.message()))?;
    if meeting.sign.trim().is_empty() {
        bail!("sign is empty: every participant would pass for a recorder");
    }
    let secret = meeting.api_secret_file.map(|path| read_secret(&path)).transpose()?;
    Ok(Server { instance: instance.to_owned(), exchange: news.exchange, url: meeting.url, secret, sign: meeting.sign })
}

fn read_secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; mend api_secret_file", path.display()))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[tenant]\nid = 'uni'\n[bridge.janus.hall]\nexchange = 'janus-events'\n\
                        [meeting.hall]\nplatform = 'janus'\nurl = 'ws://127.0.0.1:8188'\n";

    fn read(text: &str) -> anyhow::Result<Setup> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.toml"), "").unwrap();
        Setup::read(&Sections::parse(&folder.path().join("lectern.toml"), text)?)
    }

    #[test]
    fn the_sample_configuration_is_read() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/lectern.toml");
        let setup = Setup::read(&Sections::read(&sample).unwrap()).unwrap();
        assert_eq!(setup.servers.len(), 1);
        assert_eq!(
            (setup.servers[0].instance.as_str(), setup.servers[0].exchange.as_str()),
            ("campus", "janus-events")
        );
        assert!(!setup.policy.rules().is_empty());
    }

    #[test]
    fn the_default_sign_is_the_recorders() {
        let server: meeting::Server =
            toml::from_str("platform = 'janus'\nurl = 'ws://127.0.0.1:8188'").expect("a meeting server");
        let meeting::Server::Janus(server) = server;
        assert_eq!(default_sign(), server.sign);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(read(GOOD).is_ok());
        #[rustfmt::skip]
        let table = [
            (GOOD.replace("[meeting.hall]", "[meeting.annex]"),            "[meeting.hall]"),
            (GOOD.replace("url = 'ws://127.0.0.1:8188'", ""),              "url"),
            (GOOD.replace("[bridge.janus.hall]\nexchange = 'janus-events'", ""), "[bridge.janus.<name>]"),
            (GOOD.replace("exchange =", "exchnage ="),                     "exchnage"),
            (GOOD.replace("'uni'", "'uni lund'"),                          "tenant"),
            (format!("{GOOD}sign = ' '\n"),                                "sign"),
            (format!("{GOOD}api_secret_file = 'nowhere'\n"),               "nowhere"),
            (format!("{GOOD}[bridge]\npolicy_file = 'gone.toml'\n"),       "gone.toml"),
        ];
        for (text, wanted) in table {
            let told = format!("{:#}", read(&text).err().unwrap_or_else(|| panic!("it was read: {text}")));
            assert!(told.contains(wanted), "{told}");
        }
    }
}
