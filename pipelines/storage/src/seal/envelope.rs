//! The shape of the age files that are ours: binary, version 1, X25519 stanzas, a header of at most 16 KiB. All else
//! is refused before a single stanza is tried: an armored file, a passphrase with a ruinous work factor, ten thousand
//! recipients (C2SP age, "Header").

use std::io::Read;

use age::{DecryptError, Decryptor, Identity};

use super::SealError;

/// A header of twenty recipients has 4 KiB.
pub(super) const LONGEST_HEADER: usize = 16 << 10;

/// A writer's key is sealed to the institution's recipients.
pub(super) const KEY_STANZAS: std::ops::RangeInclusive<usize> = 2..=20;

/// Media is sealed to one writer's key.
pub(super) const MEDIA_STANZAS: std::ops::RangeInclusive<usize> = 1..=1;

const VERSION: &str = "age-encryption.org/v1";

/// Checks the header at the front of `bytes`, which may go on with payload or end after [`LONGEST_HEADER`].
pub(super) fn check(bytes: &[u8], stanzas: &std::ops::RangeInclusive<usize>) -> Result<(), &'static str> {
    let window = &bytes[..bytes.len().min(LONGEST_HEADER)];
    if window.starts_with(b"-----BEGIN AGE") {
        return Err("it is armored");
    }
    let mut lines = window.split(|byte| *byte == b'\n');
    if lines.next() != Some(VERSION.as_bytes()) {
        return Err("it is not of version 1");
    }
    let mut ours = 0;
    let mut grease = 0;
    for line in lines {
        if line.starts_with(b"---") {
            return match (stanzas.contains(&ours), grease) {
                (true, 0..=1) => Ok(()),
                _ => Err("it has another number of recipients"),
            };
        }
        let Some(stanza) = line.strip_prefix(b"-> ") else { continue };
        let kind = stanza.split(|byte| *byte == b' ').next().unwrap_or_default();
        match kind {
            b"X25519" => ours += 1,
            // Writers add one stanza that means nothing, so that readers never rely on the number of stanzas.
            kind if kind.ends_with(b"-grease") => grease += 1,
            _ => return Err("it is sealed to something else than X25519 keys"),
        }
    }
    Err("its header does not end within 16 KiB")
}

/// Opens a stream whose header has been checked.
pub(super) fn decrypt<R: Read>(
    from: R,
    identity: &dyn Identity,
    what: &str,
) -> Result<age::stream::StreamReader<R>, SealError> {
    let opened = Decryptor::new(from).and_then(|file| file.decrypt(std::iter::once(identity)));
    opened.map_err(|why| match why {
        DecryptError::NoMatchingKeys => SealError::WrongIdentity { key: what.into() },
        _ => SealError::Tampered { what: what.into() },
    })
}

#[cfg(test)]
mod tests {
    use age::secrecy::SecretString;
    use age::x25519::Identity;

    use super::*;

    fn sealed_to(count: usize) -> Vec<u8> {
        let keys: Vec<_> = (0..count).map(|_| Identity::generate().to_public()).collect();
        let file = age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient)).unwrap();
        let mut bytes = Vec::new();
        file.wrap_output(&mut bytes).unwrap().finish().unwrap();
        bytes
    }

    #[test]
    fn media_has_one_recipient_and_keys_have_several() {
        assert_eq!(check(&sealed_to(1), &MEDIA_STANZAS), Ok(()));
        assert_eq!(check(&sealed_to(2), &KEY_STANZAS), Ok(()));
        assert!(check(&sealed_to(2), &MEDIA_STANZAS).is_err());
        assert!(check(&sealed_to(1), &KEY_STANZAS).is_err());
    }

    #[test]
    fn ten_thousand_stanzas_are_refused_by_length() {
        let stanza = format!("-> X25519 {}\n{}\n", "A".repeat(43), "A".repeat(43));
        let header = format!("{VERSION}\n{}--- {}\n", stanza.repeat(10_000), "A".repeat(43));
        assert_eq!(check(header.as_bytes(), &KEY_STANZAS), Err("its header does not end within 16 KiB"));
    }

    #[test]
    fn a_passphrase_is_refused_whatever_work_it_asks_for() {
        let mut bytes = Vec::new();
        let mut cheap = age::scrypt::Recipient::new(SecretString::from("pass".to_owned()));
        cheap.set_work_factor(2);
        let file = age::Encryptor::with_recipients(std::iter::once(&cheap as &dyn age::Recipient)).unwrap();
        file.wrap_output(&mut bytes).unwrap().finish().unwrap();
        assert_eq!(check(&bytes, &MEDIA_STANZAS), Err("it is sealed to something else than X25519 keys"));
    }

    #[test]
    fn armored_empty_and_foreign_files_are_refused() {
        assert_eq!(check(b"-----BEGIN AGE ENCRYPTED FILE-----\n", &MEDIA_STANZAS), Err("it is armored"));
        assert!(check(b"", &MEDIA_STANZAS).is_err());
        assert!(check(b"age-encryption.org/v2\n--- x\n", &MEDIA_STANZAS).is_err());
        assert!(check(b"\x00\x00\x00\x18ftypiso5", &MEDIA_STANZAS).is_err());
    }
}
