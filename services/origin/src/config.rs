//! Section `[origin]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Sections;
use chassis::listen::Patience;
use serde::Deserialize;
use subtle::ConstantTimeEq;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where recorders push and viewers watch. Put a TLS-ending proxy or CDN in front before it leaves the machine.
    pub listen: SocketAddr,
    /// The word that recorders show, in a file that only they and the origin can read.
    pub ingest_token_file: Option<PathBuf>,
    /// How far back viewers can go.
    pub window_minutes: u64,
    /// Media of all webinars together, in MiB. A webinar of 1.4 Mbit/s holds 150 MiB per 15 minutes of window, twice.
    pub memory_mib: u64,
    /// How long a recorder or viewer may take to say what it wants, and be silent between two requests. Then its
    /// connection is closed.
    pub head_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7080)),
            ingest_token_file: None,
            window_minutes: 15,
            memory_mib: 1024,
            head_seconds: 15,
        }
    }
}

impl Config {
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.window_minutes * 60)
    }

    pub(crate) fn patience(&self) -> anyhow::Result<Patience> {
        if self.head_seconds == 0 {
            bail!("[origin].head_seconds is 0, and no request could be read in that time; set it to some, such as 15");
        }
        Ok(Patience { head: Duration::from_secs(self.head_seconds), ..Patience::default() })
    }

    pub(crate) fn token(&self, sections: &Sections) -> anyhow::Result<Token> {
        let Some(file) = &self.ingest_token_file else {
            bail!("[origin].ingest_token_file is not set; name a file with a random word that recorders have too");
        };
        let path = sections.beside(file);
        let word = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}; `lectern init` writes one", path.display()))?;
        Token::new(word.trim()).with_context(|| format!("the token in {}", path.display()))
    }
}

/// What a recorder must show. Never printed.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

impl Token {
    /// # Errors
    /// When `word` is so short that it could be guessed.
    pub fn new(word: &str) -> anyhow::Result<Self> {
        if word.len() < 20 {
            bail!("is shorter than 20 characters; write a random word, such as the output of `openssl rand -hex 20`");
        }
        Ok(Self(word.as_bytes().into()))
    }

    /// In constant time, but for the length.
    pub(crate) fn is(&self, shown: &str) -> bool {
        self.0.ct_eq(shown.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}
