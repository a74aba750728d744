//! Where the broker is and who we are there.

use std::path::PathBuf;

use lapin::uri::{AMQPUri, AMQPUserInfo};
use serde::Deserialize;
use url::Url;

use crate::error::Error;

/// Half of what RabbitMQ proposes: a dead peer is noticed within 40 s, which is two of these.
const HEARTBEAT_SECONDS: u16 = 20;

/// `[broker]` in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `amqp://host:5672/vhost` or `amqps://…`, without credentials. The virtual host `/` is written `%2f`.
    pub url: String,
    pub user: String,
    /// A file that holds the password; read anew for each connection, so that it can be changed. White space at its
    /// end is not part of the password. Without it only RabbitMQ's own `guest` can log in, and only on loopback.
    pub password_file: Option<PathBuf>,
    /// A file with a secret of 32 or more characters that every service of this institution shares. With it each event
    /// that goes out proves by an HMAC where it comes from, and each that comes in must, or is parked. Read at the start.
    pub signing_key_file: Option<PathBuf>,
    /// A second secret that is believed and not signed with. To change secrets: give every service the new one here,
    /// then swap the two everywhere, then take the old one away.
    pub previous_key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "amqp://127.0.0.1:5672/%2f".into(),
            user: "guest".into(),
            password_file: None,
            signing_key_file: None,
            previous_key_file: None,
        }
    }
}

impl Config {
    /// The address with credentials. The result must not be printed.
    pub(crate) fn uri(&self) -> Result<AMQPUri, Error> {
        let mut uri = self.address()?;
        uri.authority.userinfo = AMQPUserInfo { username: self.user.clone(), password: self.password()? };
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(uri)
    }

    /// The address without the password, which is read each time.
    pub(crate) fn address(&self) -> Result<AMQPUri, Error> {
        let url = Url::parse(&self.url).map_err(|_| Error::Address)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Address);
        }
        self.url.parse().map_err(|_| Error::Address)
    }

    fn password(&self) -> Result<String, Error> {
        match &self.password_file {
            Some(path) => std::fs::read_to_string(path)
                .map(|text| text.trim_end().to_owned())
                .map_err(|source| Error::Password { path: path.clone(), source }),
            None if self.user == "guest" => Ok("guest".into()),
            None => Err(Error::NoPassword),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_the_url_are_refused_and_not_repeated() {
        for url in ["amqp://eve:swordfish@host/%2f", "amqp://eve@host", "host:5672", ""] {
            let config = Config { url: url.into(), ..Config::default() };
            let error = config.uri().unwrap_err();
            assert!(matches!(error, Error::Address), "{url}");
            assert!(!format!("{error} {error:?}").contains("swordfish"));
        }
    }

    #[test]
    fn a_password_file_is_needed_and_its_line_end_is_not() {
        let nobody = Config { user: "lectern".into(), ..Config::default() };
        assert!(matches!(nobody.uri(), Err(Error::NoPassword)));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open sesame \r\n").unwrap();
        let config = Config { password_file: Some(file.path().into()), ..nobody };
        assert_eq!(config.uri().unwrap().authority.userinfo.password, "open sesame");
        let gone = Config { password_file: Some("/nowhere/password".into()), ..config };
        assert!(gone.uri().unwrap_err().to_string().contains("/nowhere/password"));
    }
}
