//! The promise that an offer makes about the certificate of whoever sends the media (RFC 8122 §5). Checks a
//! certificate against it; knows nothing of who asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// One `a=fingerprint`: the hash of a certificate's DER encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Fingerprint {
    /// Reads what follows `a=fingerprint:`. None for a hash that is not of the SHA-2 family (RFC 8122 §5 says that the
    /// others must not be used) and for anything malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digest) = text.trim().split_once(' ')?;
        let hash = match name.to_ascii_lowercase().as_str() {
            "sha-256" => Hash::Sha256,
            "sha-384" => Hash::Sha384,
            "sha-512" => Hash::Sha512,
            _ => return None,
        };
        let digest = hex::decode(digest.trim().replace(':', "")).ok()?;
        let length = match hash {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        };
        (digest.len() == length).then_some(Self { hash, digest })
    }

    /// Whether `pem`, a certificate as DTLS received it, is the promised one.
    #[must_use]
    pub fn is_of(&self, pem: &str) -> bool {
        let Some(der) = der(pem) else { return false };
        match self.hash {
            Hash::Sha256 => Sha256::digest(&der).as_slice() == self.digest,
            Hash::Sha384 => Sha384::digest(&der).as_slice() == self.digest,
            Hash::Sha512 => Sha512::digest(&der).as_slice() == self.digest,
        }
    }
}

fn der(pem: &str) -> Option<Vec<u8>> {
    let body = pem.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a certificate: the check hashes bytes and reads none of them.
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nbGVjdGVybg==\n-----END CERTIFICATE-----\n";
    /// `printf lectern | sha256sum`
    const DIGEST: &str = "e8a5972b80b2e0072a9989499fc61604674a2626de0d85ab4c2b643188840a9f";

    #[test]
    fn only_the_promised_certificate_passes() {
        let pairs: Vec<String> = hex::decode(DIGEST).unwrap().iter().map(|byte| format!("{byte:02X}")).collect();
        let promised = Fingerprint::parse(&format!("SHA-256 {}", pairs.join(":"))).unwrap();
        assert!(promised.is_of(PEM));
        assert!(!promised.is_of(&PEM.replace("bGVj", "bGVk")));
        assert!(!promised.is_of(""));
    }

    #[test]
    fn weak_and_broken_promises_are_none() {
        assert_eq!(Fingerprint::parse(&format!("sha-1 {}", "aa".repeat(20))), None);
        assert_eq!(Fingerprint::parse(&format!("sha-256 {}", "aa".repeat(31))), None);
        assert_eq!(Fingerprint::parse("sha-256"), None);
    }
}
