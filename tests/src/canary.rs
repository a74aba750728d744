//! Finds what must not be found: canary strings and plaintext media in folders that should hold ciphertext only.
//! Keeps its hands off the inputs: those lie outside of the folders it is given.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex::bytes::Regex;
use serde::Serialize;

/// Display names of the cast. Each holds a word that occurs nowhere else.
pub const NAMES: [&str; 4] = ["Åse Kanarikvist", "Jørn Papegøyesen", "Märta Gråsparv", "Eeva Tikankontti"];
/// Room titles hold this.
pub const TITLE: &str = "Zyxquill lecture";
/// Spoken and transcribed: three neighbouring sentences of `samples/media/lecture.txt` in any one file are a leak.
pub const SPOKEN: &str = "the encrypted archive is private";

/// Eight bytes and more that only media in the clear begins with, and what our encoders sign their output with.
const MEDIA: [(&str, &str); 8] = [
    ("mp4 file type", r"ftyp(?:isom|iso[2-9a-c]|mp4[12]|cmf[c2s]|avc1|dash)"),
    ("mp4 segment type", r"styp(?:msdh|msix|cmf[fsl2]|isom|iso[2-9a-c])"),
    ("mp4 fragment", r"moof(?s:.{4})mfhd"),
    ("mp4 movie", r"moov(?s:.{4})mvhd"),
    ("x264 signature", r"x264 - core"),
    ("AAC encoder signature", r"Lavc[0-9]{2}\.[0-9]+"),
    ("WAV", r"RIFF(?s:.{4})WAVEfmt "),
    ("captions", r"WEBVTT\r?\n"),
];

/// One find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    pub path: PathBuf,
    pub offset: usize,
    /// What was found, in words; never the text itself.
    pub what: String,
}

/// What to look for.
#[derive(Debug)]
pub struct Scanner {
    rules: Vec<(String, Regex)>,
}

impl Scanner {
    /// Looks for media in the clear and for each of `secrets` (a label and its text) in UTF-8, UTF-16, JSON's and
    /// URLs' escapes, hexadecimal and base64 at any alignment.
    ///
    /// # Errors
    /// Never for texts of sane length: they are escaped.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> anyhow::Result<Self> {
        let mut rules = Vec::new();
        for (label, text) in secrets {
            let any: Vec<_> = disguises(text).iter().map(|bytes| escape(bytes)).collect();
            rules.push((label.to_owned(), Regex::new(&format!("(?-u:{})", any.join("|")))?));
        }
        for (label, pattern) in MEDIA {
            rules.push((label.to_owned(), Regex::new(&format!("(?-u:{pattern})"))?));
        }
        Ok(Self { rules })
    }

    /// Scans every file below `folders`, names of files included. Symbolic links are not followed.
    ///
    /// # Errors
    /// When a folder cannot be read. A file that vanishes meanwhile is no error.
    pub fn scan(&self, folders: &[&Path]) -> anyhow::Result<(Vec<Hit>, Scanned)> {
        let (mut hits, mut scanned) = (Vec::new(), Scanned::default());
        let mut todo: Vec<PathBuf> = folders.iter().map(|f| f.to_path_buf()).collect();
        while let Some(folder) = todo.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                self.look(&path, entry.file_name().as_encoded_bytes(), &mut hits);
                if kind.is_dir() {
                    todo.push(path);
                } else if kind.is_file()
                    && let Ok(bytes) = std::fs::read(&path)
                {
                    scanned.files += 1;
                    scanned.bytes += bytes.len();
                    self.look(&path, &bytes, &mut hits);
                }
            }
        }
        Ok((hits, scanned))
    }

    fn look(&self, path: &Path, bytes: &[u8], hits: &mut Vec<Hit>) {
        for (what, rule) in &self.rules {
            if let Some(found) = rule.find(bytes) {
                hits.push(Hit { path: path.to_owned(), offset: found.start(), what: what.clone() });
            }
        }
    }
}

/// How much a scan has read: a scan of nothing finds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Scanned {
    pub files: usize,
    pub bytes: usize,
}

fn disguises(text: &str) -> Vec<Vec<u8>> {
    let utf8 = text.as_bytes();
    let mut all = vec![utf8.to_vec(), hex::encode(utf8).into(), hex::encode_upper(utf8).into()];
    all.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    all.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    let json: String =
        text.chars().map(|c| if c.is_ascii() { c.into() } else { format!("\\u{:04x}", c as u32) }).collect();
    let url: String = url::form_urlencoded::byte_serialize(utf8).collect();
    all.extend([json.into_bytes(), url.replace('+', "%20").into_bytes(), url.into_bytes()]);
    for shift in 0..3 {
        let shifted = [&b"\0\0"[..shift], utf8].concat();
        let encoded = STANDARD_NO_PAD.encode(&shifted);
        // The first and the last characters also hold bits of what stands around.
        let whole = encoded.get((shift * 8).div_ceil(6)..shifted.len() * 8 / 6).unwrap_or_default();
        all.push(whole.as_bytes().to_vec());
        all.push(whole.replace('+', "-").replace('/', "_").into_bytes());
    }
    all.sort();
    all.dedup();
    all
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("\\x{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), bytes).unwrap();
        let scanner = Scanner::new([("a name", NAMES[0])]).unwrap();
        let (hits, scanned) = scanner.scan(&[folder.path()]).unwrap();
        assert_eq!(scanned, Scanned { files: 1, bytes: bytes.len() });
        hits.into_iter().map(|hit| hit.what).collect()
    }

    #[test]
    fn a_canary_is_found_in_every_disguise() {
        let name = NAMES[0];
        for disguise in disguises(name) {
            let around = [b"before".as_slice(), &disguise, b"after"].concat();
            assert_eq!(scan(&around), ["a name"], "{}", String::from_utf8_lossy(&disguise));
        }
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{name} and more");
            assert_eq!(scan(STANDARD_NO_PAD.encode(text).as_bytes()), ["a name"], "behind {before:?}");
        }
        assert_eq!(scan(serde_json::json!({ "n": name }).to_string().as_bytes()), ["a name"]);
    }

    #[test]
    fn a_canary_in_a_file_name_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(format!("{}.log", NAMES[0])), "").unwrap();
        let (hits, _) = Scanner::new([("a name", NAMES[0])]).unwrap().scan(&[folder.path()]).unwrap();
        assert_eq!(hits.len(), 1);
    }

    #[test]
    fn media_in_the_clear_is_found() {
        assert_eq!(scan(b"\0\0\0\x1cftypisom\0\0\x02\0"), ["mp4 file type"]);
        assert_eq!(scan(b"....moof\0\0\0\x10mfhd"), ["mp4 fragment"]);
        assert_eq!(scan(b"WEBVTT\n\n00:00"), ["captions"]);
    }

    #[test]
    fn ciphertext_and_ordinary_text_are_not() {
        let mut bytes = vec![0; 4 << 20];
        let mut state = 7_u64;
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 33) as u8;
        }
        assert!(scan(&bytes).is_empty());
        assert!(scan(b"age-encryption.org/v1\n-> X25519 moof ftyp and a lecture").is_empty());
    }
}
