//! Builds the one S3 client: TLS by rustls and ring, no retries of its own, keys from files, which are read for each
//! request: keys that are changed while we run count at once, and a store that refused the old ones is asked with the
//! new.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::guard::Guard;
use super::{Config, StoreError};

/// Of a patient client. With a third of all requests refused, one call in a thousand fails.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

pub(super) fn build(config: &Config) -> Result<Client, StoreError> {
    let keys = KeyFiles::of(config)?;
    keys.keep(keys.read()?);
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut builder = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .credentials_provider(keys)
        .identity_cache(IdentityCache::no_cache())
        .interceptor(Guard::default())
        .region(Region::new(config.region.clone()))
        .force_path_style(config.path_style)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).build())
        // Older stores choke on the trailers that carry checksums by default; SHA-256 over what is read back is ours.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &config.endpoint {
        check_endpoint(endpoint, config.plain_http)?;
        builder = builder.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(builder.build()))
}

/// The same client, which asks again within a call.
pub(super) fn patient(client: &Client) -> Client {
    let retries = RetryConfig::standard().with_max_attempts(TRIES).with_initial_backoff(FIRST_PAUSE);
    Client::from_conf(client.config().to_builder().retry_config(retries).build())
}

fn check_endpoint(endpoint: &str, plain_http: bool) -> Result<(), StoreError> {
    let unusable = |why: &str| Err(StoreError::Config(format!("store.endpoint {why}")));
    let Ok(url) = Url::parse(endpoint) else {
        return unusable("is not a URL; write it as https://s3.example.org");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return unusable("holds a user or password; put keys into store.access_key_file and store.secret_key_file");
    }
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => return unusable("names no host; write it as https://s3.example.org"),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if local || plain_http => Ok(()),
        "http" => unusable(
            "is plain http to another machine, where anyone on the way could alter recordings; use https, or set \
             store.plain_http = true on a network of your own",
        ),
        _ => unusable("must begin with https:// (or http:// on this machine)"),
    }
}

/// While the files cannot be read, such as between the two steps of a change, the last keys hold.
#[derive(Debug)]
struct KeyFiles {
    access: PathBuf,
    secret: PathBuf,
    last: Mutex<Option<Credentials>>,
}

impl KeyFiles {
    fn of(config: &Config) -> Result<Self, StoreError> {
        match (&config.access_key_file, &config.secret_key_file) {
            (Some(access), Some(secret)) => {
                Ok(Self { access: access.clone(), secret: secret.clone(), last: Mutex::default() })
            }
            _ => Err(StoreError::Config(
                "the store needs keys: set store.access_key_file and store.secret_key_file to files that hold them"
                    .into(),
            )),
        }
    }

    fn read(&self) -> Result<Credentials, StoreError> {
        Ok(Credentials::new(read_key(&self.access)?, read_key(&self.secret)?, None, None, "key files"))
    }

    fn keep(&self, keys: Credentials) -> Credentials {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(keys).clone()
    }

    fn current(&self) -> Result<Credentials, StoreError> {
        match self.read() {
            Ok(keys) => Ok(self.keep(keys)),
            Err(why) => match &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(last) => {
                    tracing::warn!(%why, "the store's keys are used as they were read last");
                    Ok(last.clone())
                }
                None => Err(why),
            },
        }
    }
}

fn read_key(path: &Path) -> Result<String, StoreError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|why| StoreError::Config(format!("could not read the store's key file {shown}: {why}")))?;
    let key = text.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(StoreError::Config(format!("the store's key file {shown} must hold one key and nothing else")));
    }
    Ok(key.to_owned())
}

impl ProvideCredentials for KeyFiles {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.current().map_err(provider::error::CredentialsError::provider_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_only_unless_allowed() {
        assert!(check_endpoint("http://127.0.0.1:9000", false).is_ok());
        assert!(check_endpoint("http://[::1]:9000", false).is_ok());
        assert!(check_endpoint("https://s3.example.org", false).is_ok());
        let refused = check_endpoint("http://s3.example.org", false).unwrap_err().to_string();
        assert!(refused.contains("use https"), "{refused}");
        assert!(check_endpoint("http://s3.example.org", true).is_ok());
    }

    #[test]
    fn keys_in_the_endpoint_are_refused_and_not_repeated() {
        let refused = check_endpoint("https://me:hunter2@s3.example.org", false).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn changed_keys_count_at_once_and_half_changed_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (access, secret) = (dir.path().join("access"), dir.path().join("secret"));
        let keys = KeyFiles { access, secret, last: Mutex::default() };
        assert!(keys.provide_credentials().await.is_err());
        for name in ["first", "second"] {
            std::fs::write(&keys.access, format!("{name}\n")).unwrap();
            std::fs::write(&keys.secret, "s\n").unwrap();
            let read = keys.provide_credentials().await.unwrap();
            assert_eq!(read.access_key_id(), name);
        }
        std::fs::write(&keys.access, "third\n").unwrap();
        std::fs::write(&keys.secret, "").unwrap();
        assert_eq!(keys.provide_credentials().await.unwrap().access_key_id(), "second");
    }
}
