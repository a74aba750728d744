//! Ciphertext on disk until the store has it. What `add` has returned for survives kill -9 and a power cut; nothing
//! is removed before it was read back from the store.
//!
//! A folder holds `ready/` (whole files), `tmp/` (what is being written) and `torn/` (what a crash or a disk spoiled,
//! kept for a person to look at). A file's name says its key and its hash, so that a later process needs no index.
//!
//! How full it is stands in [`Spool::level`]; what to leave out then is for the recorder to do. The spool itself
//! deletes nothing to make room.

mod disk;
mod level;
mod name;
#[cfg(test)]
mod sweep;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

pub use level::{Bound, Fill, Level};

use crate::seal::Sealed;
use crate::store::{Bucket, Receipt, Store, StoreError};
use disk::{Disk, LONGEST, Real};

/// The disk failed, or holds something it should not. Tells the path, which holds ids only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    #[error("could not {doing} {path}")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("another process uses the spool {0}; give each recorder a [recorder].work of its own")]
    InUse(PathBuf),
    /// Somebody else could put files there, or read where they lead.
    #[error("{0} is a link, or another user's; give the recorder a [recorder].work that it makes itself")]
    NotOurs(PathBuf),
    #[error("the key {0} is too long for a file name")]
    KeyTooLong(String),
    /// Longer than anything that a recorder makes; it could not be read back in one piece.
    #[error("{0} is too long to be spooled")]
    TooLong(String),
}

/// A folder of ciphertext. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    bound: Bound,
    /// Bytes under `dir`: what was found, and what was added and removed since.
    bytes: Arc<AtomicU64>,
    level: Arc<Mutex<Level>>,
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

    fn name(&self) -> Result<String, SpoolError> {
        name::write(&self.key, &self.sha256).ok_or_else(|| SpoolError::KeyTooLong(self.key.clone()))
    }
}

impl Spool {
    /// Opens a folder, making it if need be. One process at a time may use it.
    ///
    /// # Errors
    /// When the folder cannot be made or used, or is not ours.
    pub fn open(dir: &Path) -> Result<Self, SpoolError> {
        Self::on(Arc::new(Real), dir)
    }

    fn on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, SpoolError> {
        let (bytes, level) = Default::default();
        let spool = Self { dir: dir.to_owned(), disk, bound: Bound::default(), bytes, level };
        for folder in spool.folders() {
            let io = |doing| {
                let path = folder.clone();
                move |source| SpoolError::Io { doing, path, source }
            };
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io("make"))?;
            let found = fs::symlink_metadata(&folder).map_err(io("look at"))?;
            if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
                return Err(SpoolError::NotOurs(folder));
            }
        }
        spool.sync_folder(dir)?;
        spool.measure()?;
        Ok(spool)
    }

    /// The same spool within a bound. To be set before it is used.
    #[must_use]
    pub fn bounded(self, bound: Bound) -> Self {
        Self { bound, ..self }
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

    fn folders(&self) -> [PathBuf; 3] {
        [self.ready(), self.tmp(), self.torn()]
    }

    /// Bytes that it holds, and what was set aside. Costs nothing.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How full it is, by its file system or its own bound, whichever is fuller. Costs one system call, so it can be
    /// asked for each segment. Says so in the log, once for each step: up as an error, down as a piece of news.
    #[must_use]
    pub fn level(&self) -> Level {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.held();
        let disk = match self.disk.fill(&self.dir) {
            Ok(fill) => Some(fill),
            // What is written next will tell.
            Err(error) => {
                tracing::debug!(%error, "the spool's disk does not say how full it is");
                None
            }
        };
        let own = self.bound.own.map(|room| Fill { used: held, room });
        let before = *level;
        *level = before.after(disk.into_iter().chain(own), self.bound.reserve);
        let (folder, now) = (self.dir.display(), level.word());
        match *level {
            same if same == before => {}
            lower if lower < before => tracing::info!(%folder, level = now, held, "the spool has room again"),
            Level::Free => {}
            Level::Low => tracing::error!(
                %folder, level = now, held,
                "the spool fills: no new recordings are taken; see that the store answers, or give the spool more room"
            ),
            Level::AudioOnly => tracing::error!(
                %folder, level = now, held,
                "the spool is nearly full: pictures are no longer kept there, sound is; see that the store answers, or \
                 give the spool more room"
            ),
            Level::Full => tracing::error!(
                %folder, level = now, held,
                "the spool is full: recordings end now, and what they hold is kept; see that the store answers, or give \
                 the spool more room"
            ),
        }
        *level
    }

    /// Writes ciphertext down and returns when it is durable. Blocks on the disk: for `spawn_blocking`.
    ///
    /// # Errors
    /// When the disk is full or failing; nothing is spooled then.
    pub fn add<T>(&self, key: &str, sealed: &Sealed<T>) -> Result<Spooled, SpoolError> {
        let spooled = Spooled { key: key.into(), size: sealed.size(), sha256: sealed.sha256() };
        if spooled.size > LONGEST {
            return Err(SpoolError::TooLong(spooled.key));
        }
        let name = spooled.name()?;
        let (tmp, ready) = (self.tmp().join(&name), self.ready().join(&name));
        // Counted before it is written, so that several at once know of each other.
        self.bytes.fetch_add(spooled.size, Ordering::Relaxed);
        let written = (|| {
            let file = self.disk.write(&tmp, sealed.bytes())?;
            self.disk.sync(&tmp, &file)?;
            self.disk.rename(&tmp, &ready)?;
            self.disk.sync_folder(&self.ready())
        })();
        if let Err(source) = written {
            // A full disk must not stay full of what could not be written. Whichever of the two there is.
            let _ = self.disk.remove(&tmp);
            let _ = self.disk.remove(&ready);
            self.less(spooled.size);
            return Err(SpoolError::Io { doing: "write", path: tmp, source });
        }
        Ok(spooled)
    }

    /// One try: put, read back, and only then remove the file.
    ///
    /// # Errors
    /// As [`Store::put_verified`]; [`StoreError::Spoilt`] when the file is gone or no longer what was written, which is
    /// then set aside, and [`StoreError::Spool`] when it cannot be read.
    pub async fn upload(&self, store: &Store, item: Spooled) -> Result<Receipt, StoreError> {
        let spool = |source: io::Error| StoreError::Spool { key: item.key.clone(), source };
        let path = self.ready().join(item.name().map_err(|why| spool(io::Error::other(why)))?);
        let bytes = blocking({
            let (disk, path) = (self.disk.clone(), path.clone());
            move || disk.read(&path)
        });
        let bytes = match bytes.await {
            Ok(bytes) if Sha256::digest(&bytes)[..] == item.sha256 => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                // Whoever took it away did not tell us.
                let _ = self.measure();
                return Err(StoreError::Spoilt { key: item.key });
            }
            Err(why) if why.kind() != io::ErrorKind::InvalidData && !is_link(&why) => return Err(spool(why)),
            Ok(_) | Err(_) => {
                self.set_aside(&path).map_err(|why| spool(io::Error::other(why)))?;
                return Err(StoreError::Spoilt { key: item.key });
            }
        };
        let receipt = store.put_verified(Bucket::Media, &item.key, bytes).await?;
        let disk = self.disk.clone();
        match blocking(move || disk.remove(&path)).await {
            Ok(()) => self.less(item.size),
            Err(error) => {
                tracing::warn!(%error, key = item.key, "stored, but still in the spool; the next start stores it again");
            }
        }
        Ok(receipt)
    }

    /// Forgets what is not to be stored any more. What cannot be removed is told of, and stored by the next start.
    pub fn discard(&self, item: &Spooled) {
        match item.name().map(|name| self.disk.remove(&self.ready().join(name))) {
            Ok(Ok(())) => self.less(item.size),
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, key = item.key, "could not be removed from the spool");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// What an earlier process left, whole and in order of key. Reads every file, and sets aside those that are torn,
    /// empty, links or another user's. Blocks: for `spawn_blocking`, before the first `add`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn orphans(&self) -> Result<Vec<Spooled>, SpoolError> {
        for path in self.files(&self.tmp())? {
            self.set_aside(&path)?;
        }
        let mut whole = Vec::new();
        for path in self.files(&self.ready())? {
            match self.check(&path) {
                Some(spooled) => whole.push(spooled),
                None => self.set_aside(&path)?,
            }
        }
        whole.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(whole)
    }

    /// How many files wait, and how many bytes. Reads the folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn waiting(&self) -> Result<(usize, u64), SpoolError> {
        let files = self.files(&self.ready())?;
        Ok((files.len(), sum(&files)))
    }

    /// A file that is whole and ours.
    fn check(&self, path: &Path) -> Option<Spooled> {
        let (key, sha256) = name::read(path.file_name()?.to_str()?)?;
        let bytes = self.disk.read(path).ok()?;
        let whole = !bytes.is_empty() && Sha256::digest(&bytes)[..] == sha256;
        whole.then_some(Spooled { key, size: bytes.len() as u64, sha256 })
    }

    fn set_aside(&self, path: &Path) -> Result<(), SpoolError> {
        let name = path.file_name().unwrap_or_default();
        tracing::warn!(file = %name.to_string_lossy(), "spooled file is torn or not ours; set aside in torn/");
        // Renames the link itself, if it is one.
        let moved = self.disk.rename(path, &self.torn().join(name));
        moved.map_err(|source| SpoolError::Io { doing: "set aside", path: path.into(), source })
    }

    fn files(&self, folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
        self.disk.list(folder).map_err(|source| SpoolError::Io { doing: "list", path: folder.into(), source })
    }

    fn measure(&self) -> Result<(), SpoolError> {
        let mut bytes = 0;
        for folder in self.folders() {
            bytes += sum(&self.files(&folder)?);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn less(&self, size: u64) {
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(held.saturating_sub(size)));
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), SpoolError> {
        let synced = self.disk.sync_folder(folder);
        synced.map_err(|source| SpoolError::Io { doing: "make durable", path: folder.into(), source })
    }
}

/// One that went away meanwhile was uploaded.
fn sum(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|path| fs::symlink_metadata(path).ok()).map(|meta| meta.len()).sum()
}

/// `O_NOFOLLOW` met a link.
fn is_link(why: &io::Error) -> bool {
    why.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32)
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await.map_err(io::Error::other)?
}
