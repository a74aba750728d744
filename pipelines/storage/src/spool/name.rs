//! A spooled file's name: its key and its hash, reversible, one safe component of a path.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// File systems take names of 255 bytes.
const LONGEST: usize = 255;

/// `key~hash`, with `/` as `+` and everything but `[A-Za-z0-9_.-]` as `%XX`: never `.`, `..` or a path. None when it
/// would be too long.
pub(super) fn write(key: &str, sha256: &[u8; 32]) -> Option<String> {
    let mut name = String::new();
    for byte in key.bytes() {
        match byte {
            b'/' => name.push('+'),
            b'.' if name.is_empty() => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    name.push('~');
    name.push_str(&URL_SAFE_NO_PAD.encode(sha256));
    (name.len() <= LONGEST).then_some(name)
}

pub(super) fn read(name: &str) -> Option<(String, [u8; 32])> {
    let (encoded, hash) = name.rsplit_once('~')?;
    let sha256 = URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()?;
    let (mut key, mut rest) = (Vec::new(), encoded.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'+', _) => {
                key.push(b'/');
                tail
            }
            (b'%', [high, low, tail @ ..]) => {
                let mut byte = [0];
                hex::decode_to_slice([*high, *low], &mut byte).ok()?;
                key.extend(byte);
                tail
            }
            (b'%', _) => return None,
            (plain, _) => {
                key.push(*plain);
                tail
            }
        };
    }
    Some((String::from_utf8(key).ok()?, sha256))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_one_safe_component_and_give_their_key_back(key in "\\PC{1,40}", sha256: [u8; 32]) {
            if let Some(name) = write(&key, &sha256) {
                prop_assert!(!name.contains('/') && !name.starts_with('.') && name.len() <= 255 && name.is_ascii());
                prop_assert_eq!(read(&name), Some((key, sha256)));
            }
        }
    }

    #[test]
    fn the_longest_of_our_keys_fits_a_file_name() {
        let key =
            format!("v1/{}/2026/{}/live/0001/{}/00000001.m4s.age", "t".repeat(64), "r".repeat(36), "v".repeat(32));
        assert!(write(&key, &[255; 32]).is_some());
    }
}
