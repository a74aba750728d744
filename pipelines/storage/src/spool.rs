//! Ciphertext on disk until the store has it. What `add` has returned for survives kill -9 and a power cut; nothing
//! is removed before it was read back from the store.
//!
//! A folder holds `ready/` (whole files), `tmp/` (what is being written) and `torn/` (what a crash or a disk spoiled,
//! kept for a person to look at). A file's name says its key and its hash, so that a later process needs no index.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use crate::seal::Sealed;
use crate::store::{Bucket, Receipt, Store, StoreError};

/// The disk failed, or holds something it should not. Tells the path, which holds ids only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    #[error("could not {doing} {path}")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("another process uses the spool {0}; give each recorder a [recorder].work of its own")]
    InUse(PathBuf),
    /// File systems take names of 255 bytes.
    #[error("the key {0} is too long for a file name")]
    KeyTooLong(String),
}

/// A folder of ciphertext. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

/// One durable file, waiting for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    key: String,
    size: u64,
    sha256: [u8; 32],
}

impl Spooled {
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

impl Spool {
    /// Opens a folder, making it if need be. One process at a time may use it.
    ///
    /// # Errors
    /// When the folder cannot be made or used.
    pub fn open(dir: &Path) -> Result<Self, SpoolError> {
        let spool = Self { dir: dir.to_owned() };
        for folder in [spool.ready(), spool.tmp(), spool.torn()] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|source| SpoolError::Io { doing: "make", path: folder.clone(), source })?;
        }
        sync_dir(dir)?;
        Ok(spool)
    }

    /// Keeps every other process out for as long as what it returns is kept; a process that dies lets go.
    ///
    /// # Errors
    /// [`SpoolError::InUse`], or when the lock's file cannot be made.
    pub fn lock(&self) -> Result<File, SpoolError> {
        let path = self.dir.join("lock");
        let io = |source| SpoolError::Io { doing: "lock", path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(SpoolError::InUse(self.dir.clone())),
            Err(fs::TryLockError::Error(source)) => Err(io(source)),
        }
    }

    fn ready(&self) -> PathBuf {
        self.dir.join("ready")
    }

    fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn torn(&self) -> PathBuf {
        self.dir.join("torn")
    }

    /// Writes ciphertext down and returns when it is durable. Blocks on the disk: for `spawn_blocking`.
    ///
    /// # Errors
    /// When the disk is full or failing; nothing is spooled then.
    pub fn add<T>(&self, key: &str, sealed: &Sealed<T>) -> Result<Spooled, SpoolError> {
        let spooled = Spooled { key: key.into(), size: sealed.size(), sha256: sealed.sha256() };
        let name = name_of(&spooled)?;
        let (tmp, ready) = (self.tmp().join(&name), self.ready().join(&name));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .custom_flags(OFlag::O_NOFOLLOW.bits())
                .open(&tmp)?;
            file.write_all(sealed.bytes())?;
            file.sync_data()?;
            fs::rename(&tmp, &ready)
        })();
        if let Err(source) = written {
            // A full disk must not stay full of what could not be written.
            let _ = fs::remove_file(&tmp);
            return Err(SpoolError::Io { doing: "write", path: tmp, source });
        }
        sync_dir(&self.ready())?;
        Ok(spooled)
    }

    /// One try: put, read back, and only then remove the file.
    ///
    /// # Errors
    /// As [`Store::put_verified`]; [`StoreError::Spoilt`] when the file is gone or no longer what was written, which is
    /// then set aside, and [`StoreError::Spool`] when it cannot be read.
    pub async fn upload(&self, store: &Store, item: Spooled) -> Result<Receipt, StoreError> {
        let spool = |source: io::Error| StoreError::Spool { key: item.key.clone(), source };
        let path = self.ready().join(name_of(&item).map_err(|why| spool(io::Error::other(why)))?);
        let bytes = blocking({
            let path = path.clone();
            move || read(&path)
        });
        let bytes = match bytes.await {
            Ok(bytes) if Sha256::digest(&bytes)[..] == item.sha256 => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Err(StoreError::Spoilt { key: item.key }),
            Err(why) if why.kind() != io::ErrorKind::InvalidData => return Err(spool(why)),
            Ok(_) | Err(_) => {
                self.set_aside(&path).map_err(|why| spool(io::Error::other(why)))?;
                return Err(StoreError::Spoilt { key: item.key });
            }
        };
        let receipt = store.put_verified(Bucket::Media, &item.key, bytes).await?;
        if let Err(error) = blocking(move || fs::remove_file(&path)).await {
            tracing::warn!(%error, key = item.key, "stored, but still in the spool; the next start stores it again");
        }
        Ok(receipt)
    }

    /// Forgets what is not to be stored any more. What cannot be removed is told of, and stored by the next start.
    pub fn discard(&self, item: &Spooled) {
        let removed = name_of(item).map(|name| fs::remove_file(self.ready().join(name)));
        if let Ok(Err(error)) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, key = item.key, "could not be removed from the spool");
        }
    }

    /// What an earlier process left, whole and in order of key. Reads every file, and sets aside those that are torn,
    /// empty, links or another user's. Blocks: for `spawn_blocking`, before the first `add`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn orphans(&self) -> Result<Vec<Spooled>, SpoolError> {
        for path in files(&self.tmp())? {
            self.set_aside(&path)?;
        }
        let mut whole = Vec::new();
        for path in files(&self.ready())? {
            match check(&path) {
                Some(spooled) => whole.push(spooled),
                None => self.set_aside(&path)?,
            }
        }
        whole.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(whole)
    }

    /// How many files wait, and how many bytes: what watermarks are measured by.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn waiting(&self) -> Result<(usize, u64), SpoolError> {
        let files = files(&self.ready())?;
        // A file that went away meanwhile was uploaded.
        let bytes = files.iter().filter_map(|path| fs::symlink_metadata(path).ok()).map(|meta| meta.len()).sum();
        Ok((files.len(), bytes))
    }

    fn set_aside(&self, path: &Path) -> Result<(), SpoolError> {
        let name = path.file_name().unwrap_or_default();
        tracing::warn!(file = %name.to_string_lossy(), "spooled file is torn or not ours; set aside in torn/");
        // Renames the link itself, if it is one.
        let moved = fs::rename(path, self.torn().join(name));
        moved.map_err(|source| SpoolError::Io { doing: "set aside", path: path.into(), source })
    }
}

/// A file that is whole and ours.
fn check(path: &Path) -> Option<Spooled> {
    let (key, sha256) = parse_name(path.file_name()?.to_str()?)?;
    let bytes = read(path).ok()?;
    let whole = !bytes.is_empty() && Sha256::digest(&bytes)[..] == sha256;
    whole.then_some(Spooled { key, size: bytes.len() as u64, sha256 })
}

/// Reads a regular file of our own, never through a link.
fn read(path: &Path) -> io::Result<Bytes> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of ours"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let listed = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    listed.map_err(|source| SpoolError::Io { doing: "list", path: dir.into(), source })
}

/// A rename is durable once its folder is.
fn sync_dir(dir: &Path) -> Result<(), SpoolError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| SpoolError::Io { doing: "make durable", path: dir.into(), source })
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await.map_err(io::Error::other)?
}

/// `key~hash`, with `/` as `+` and everything but `[A-Za-z0-9_.-]` as `%XX`: reversible, and never `.`, `..` or a
/// path.
fn name_of(item: &Spooled) -> Result<String, SpoolError> {
    let mut name = String::new();
    for byte in item.key.bytes() {
        match byte {
            b'/' => name.push('+'),
            b'.' if name.is_empty() => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    name.push('~');
    name.push_str(&URL_SAFE_NO_PAD.encode(item.sha256));
    if name.len() <= 255 { Ok(name) } else { Err(SpoolError::KeyTooLong(item.key.clone())) }
}

fn parse_name(name: &str) -> Option<(String, [u8; 32])> {
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
            let item = Spooled { key, size: 0, sha256 };
            if let Ok(name) = name_of(&item) {
                prop_assert!(!name.contains('/') && !name.starts_with('.') && name.len() <= 255 && name.is_ascii());
                prop_assert_eq!(parse_name(&name), Some((item.key, sha256)));
            }
        }
    }

    #[test]
    fn the_longest_of_our_keys_fits_a_file_name() {
        let key =
            format!("v1/{}/2026/{}/live/0001/{}/00000001.m4s.age", "t".repeat(64), "r".repeat(36), "v".repeat(32));
        assert!(name_of(&Spooled { key, size: 0, sha256: [255; 32] }).is_ok());
    }
}
