//! Proof of where a message comes from: an HMAC in a header of its own, for an institution that does not trust everybody
//! who can log in to its RabbitMQ. Says who may have written a message, not that it is new: [`events::Gate`] does that.
//!
//! What is signed is [`Purpose`]'s line and then the body, byte for byte as it lies in the queue. Neither exchange nor
//! routing key: the body says all that they say, and a message that is given back or parked changes both.

use std::path::Path;

use hmac::{Hmac, Mac};
use lapin::types::FieldTable;
use sha2::Sha256;

use crate::config::Config;
use crate::error::Error;

/// HMAC-SHA-256 in lower-case hex.
pub(crate) const HEADER: &str = "x-lectern-hmac";
/// As many bytes as the hash has: a shorter key would be the weakest part (RFC 2104, 3).
const SHORTEST: usize = 32;

/// What a message is for, so that one sort cannot pass for the other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Event,
    Note,
}

impl Purpose {
    fn line(self) -> &'static [u8] {
        match self {
            Self::Event => b"lectern event 1\n",
            Self::Note => b"lectern note 1\n",
        }
    }
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    Unsigned,
    /// By another key, over another message, or no signature at all.
    BadSignature,
}

impl Doubt {
    /// As it stands in the header of a parked message.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad-signature",
        }
    }
}

/// The key to sign with and those to believe. Without one nothing is signed and all is believed.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    signing: Option<Hmac<Sha256>>,
    previous: Option<Hmac<Sha256>>,
}

impl Keys {
    pub(crate) fn read(config: &Config) -> Result<Self, Error> {
        let key = |path: &Option<std::path::PathBuf>| path.as_deref().map(read).transpose();
        Ok(Self { signing: key(&config.signing_key_file)?, previous: key(&config.previous_key_file)? })
    }

    pub(crate) fn sign(&self, purpose: Purpose, message: &[u8]) -> Option<String> {
        Some(hex::encode(over(self.signing.as_ref()?, purpose, message).finalize().into_bytes()))
    }

    /// Whether to believe `message`. The comparison takes the same time wherever they differ.
    pub(crate) fn verify(&self, purpose: Purpose, message: &[u8], headers: Option<&FieldTable>) -> Result<(), Doubt> {
        let Some(signing) = &self.signing else { return Ok(()) };
        let value = headers.and_then(|headers| headers.inner().get(HEADER)).ok_or(Doubt::Unsigned)?;
        let mut told = [0; 32];
        let text = value.as_long_string().ok_or(Doubt::BadSignature)?;
        hex::decode_to_slice(text.as_bytes(), &mut told).map_err(|_| Doubt::BadSignature)?;
        let good = |key: &Hmac<Sha256>| over(key, purpose, message).verify_slice(&told).is_ok();
        if good(signing) || self.previous.as_ref().is_some_and(good) { Ok(()) } else { Err(Doubt::BadSignature) }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

fn over(key: &Hmac<Sha256>, purpose: Purpose, message: &[u8]) -> Hmac<Sha256> {
    key.clone().chain_update(purpose.line()).chain_update(message)
}

fn read(path: &Path) -> Result<Hmac<Sha256>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Key { path: path.into(), source })?;
    let word = text.trim();
    let short = || Error::ShortKey { path: path.into() };
    if word.len() < SHORTEST {
        return Err(short());
    }
    // HMAC takes keys of any length.
    Hmac::new_from_slice(word.as_bytes()).map_err(|_| short())
}

#[cfg(test)]
mod tests {
    use lapin::types::AMQPValue;

    use super::*;
    use crate::topology::{table, text};

    const NEW: &str = "0123456789abcdef0123456789abcdef";
    const OLD: &str = "fedcba9876543210fedcba9876543210";

    fn keys(signing: &str, previous: Option<&str>) -> Keys {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, word: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{word}\n")).unwrap();
            path
        };
        let config = Config {
            signing_key_file: Some(file("signing", signing)),
            previous_key_file: previous.map(|word| file("previous", word)),
            ..Config::default()
        };
        Keys::read(&config).unwrap()
    }

    fn headers(signature: &str) -> FieldTable {
        table(&[(HEADER, text(signature))])
    }

    /// The value itself, as `openssl dgst -sha256 -hmac` tells it: another would part old and new services.
    #[test]
    fn a_signature_is_the_hmac_over_purpose_and_body() {
        let told = keys(NEW, None).sign(Purpose::Event, b"{}").unwrap();
        assert_eq!(told, "af7ebda941543ced0e90dd3340f99ee1e979aa259e4360d8d03373d8334db733");
    }

    #[test]
    fn what_is_altered_foreign_or_of_another_purpose_is_not_believed() {
        let (ours, message) = (keys(NEW, Some(OLD)), b"{\"a\":1}");
        let by = |keys: &Keys, purpose| headers(&keys.sign(purpose, message).unwrap());
        let good = by(&ours, Purpose::Event);
        let old = by(&keys(OLD, None), Purpose::Event);
        let verify = |message: &[u8], headers: Option<&FieldTable>| ours.verify(Purpose::Event, message, headers);
        assert_eq!(verify(message, Some(&good)), Ok(()));
        assert_eq!(verify(message, Some(&old)), Ok(()), "the previous key");
        assert_eq!(keys(NEW, None).verify(Purpose::Event, message, Some(&old)), Err(Doubt::BadSignature), "is over");
        assert_eq!(verify(b"{\"a\":2}", Some(&good)), Err(Doubt::BadSignature));
        assert_eq!(verify(message, None), Err(Doubt::Unsigned));
        assert_eq!(verify(message, Some(&FieldTable::default())), Err(Doubt::Unsigned));
        assert_eq!(verify(message, Some(&by(&ours, Purpose::Note))), Err(Doubt::BadSignature));
        let whole = ours.sign(Purpose::Event, message).unwrap();
        for odd in ["", "00", &whole[1..], &whole[..62], &format!("{whole}00"), &"0".repeat(64), &"z".repeat(64)] {
            assert_eq!(verify(message, Some(&headers(odd))), Err(Doubt::BadSignature), "{odd}");
        }
        for odd in [AMQPValue::LongInt(7), AMQPValue::Void, AMQPValue::FieldTable(good.clone())] {
            assert_eq!(verify(message, Some(&table(&[(HEADER, odd)]))), Err(Doubt::BadSignature));
        }
    }

    #[test]
    fn without_a_key_nothing_is_signed_and_all_is_believed() {
        let none = Keys::default();
        assert_eq!(none.sign(Purpose::Event, b"{}"), None);
        assert_eq!(none.verify(Purpose::Event, b"{}", Some(&headers("00"))), Ok(()));
    }

    #[test]
    fn a_short_or_missing_key_is_named_and_no_key_is_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "swordfish").unwrap();
        let config = Config { signing_key_file: Some(file.path().into()), ..Config::default() };
        let told = Keys::read(&config).unwrap_err();
        assert!(matches!(told, Error::ShortKey { .. }) && !format!("{told} {told:?}").contains("swordfish"));
        let gone = Config { previous_key_file: Some("/nowhere/key".into()), ..Config::default() };
        assert!(Keys::read(&gone).unwrap_err().to_string().contains("/nowhere/key"));
        assert!(!format!("{:?}", keys(NEW, None)).contains(NEW));
    }
}
