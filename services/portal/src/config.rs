//! Section `[portal]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use chassis::Sections;
use chassis::listen::Patience;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the pages are. Anything but loopback needs `allow_remote`.
    pub listen: SocketAddr,
    /// Let other machines in. Only behind a proxy that ends TLS and asks who is there: the portal opens every
    /// recording, and one token is all it knows of people.
    pub allow_remote: bool,
    /// Holds the token that the pages ask for. Made at the first start, readable by its owner alone.
    pub token_file: PathBuf,
    /// The origin as viewers reach it, for links to live webinars.
    pub origin_url: Option<String>,
    /// How long titles, manifests and unwrapped keys stay in memory. 0 reads all of it each time.
    pub cache_seconds: u64,
    /// How long a browser may take to say what it wants, and be silent between two requests. Then its connection is
    /// closed.
    pub head_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7081)),
            allow_remote: false,
            token_file: PathBuf::from("portal-token"),
            origin_url: None,
            cache_seconds: 60,
            head_seconds: 15,
        }
    }
}

impl Config {
    pub(crate) fn patience(&self) -> anyhow::Result<Patience> {
        if self.head_seconds == 0 {
            bail!("[portal].head_seconds is 0, and no request could be read in that time; set it to some, such as 15");
        }
        Ok(Patience { head: Duration::from_secs(self.head_seconds), ..Patience::default() })
    }

    pub(crate) fn read(sections: &Sections) -> anyhow::Result<Self> {
        let mut config: Self = sections.section("portal")?;
        if !config.listen.ip().is_loopback() && !config.allow_remote {
            bail!(
                "[portal].listen is {}, which other machines can reach, and whoever has the token can open every \
                 recording; use 127.0.0.1, or put a proxy with TLS and login in front and set allow_remote = true",
                config.listen
            );
        }
        config.patience()?;
        // For its default.
        config.token_file = sections.beside(&config.token_file);
        if let Some(url) = &mut config.origin_url {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                bail!("[portal].origin_url is not an http(s) address; write it as in https://live.example.org");
            }
            url.truncate(url.trim_end_matches('/').len());
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> anyhow::Result<Config> {
        Config::read(&Sections::parse(Path::new("/etc/lectern/lectern.toml"), text)?)
    }

    #[test]
    fn other_machines_are_let_in_only_on_purpose() {
        assert!(read("").unwrap().listen.ip().is_loopback());
        let refused = read("[portal]\nlisten = '0.0.0.0:7081'\n").unwrap_err().to_string();
        assert!(refused.contains("allow_remote"), "{refused}");
        read("[portal]\nlisten = '0.0.0.0:7081'\nallow_remote = true\n").unwrap();
    }

    #[test]
    fn the_origin_is_an_address_without_a_last_slash() {
        let config = read("[portal]\norigin_url = 'https://live.example.org/'\n").unwrap();
        assert_eq!(config.origin_url.as_deref(), Some("https://live.example.org"));
        assert!(read("[portal]\norigin_url = 'javascript:alert(1)'\n").is_err());
    }
}
