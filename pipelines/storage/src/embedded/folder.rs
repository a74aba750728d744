//! Objects as files: durable, replaced in one rename, conditions and writes under one lock. Knows no HTTP.
//!
//! `{root}/{bucket}/{key}` is the object, readable by stock tools; `.partial/` holds what is being written and
//! `.uploads/{id}/` the parts of a multipart upload. A bucket's name cannot begin with a dot.

use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg, OFlag};
use uuid::Uuid;

use super::EmbeddedError;

/// Parts of an upload that nobody ended, as S3 lifecycle rules have it.
const UPLOAD_LIVES: Duration = Duration::from_secs(2 * 24 * 3600);

/// What the object must be for a write to happen.
#[derive(Debug, Clone)]
pub(super) enum Precondition {
    None,
    Absent,
    Present,
    Version(String),
}

/// Why a write did not happen.
#[derive(Debug)]
pub(super) enum Refusal {
    Precondition,
    NoSuchBucket,
    /// A name that is no path of ours, or one that lies above or below another object.
    BadKey,
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Held for a check and its rename; guards the last time given out.
    turn: Mutex<SystemTime>,
    _alone: Flock<File>,
}

/// A written file without a name. Removed when dropped before it was placed.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) path: PathBuf,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already when it was placed.
        let _ = fs::remove_file(&self.path);
    }
}

impl Folder {
    /// Opens the folder for this process alone, and clears what an earlier one left half done.
    pub(super) fn open(root: &Path) -> Result<Self, EmbeddedError> {
        let failed = |source| EmbeddedError::Folder { path: root.into(), source };
        make_dir(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(root.join(".lock"));
        let alone = Flock::lock(lock.map_err(failed)?, FlockArg::LockExclusiveNonblock);
        let alone = alone.map_err(|_| EmbeddedError::InUse(root.clone()))?;
        let folder = Self { root, turn: Mutex::new(UNIX_EPOCH), _alone: alone };
        folder.clear().map_err(failed)?;
        if !folder.times_are_fine().map_err(failed)? {
            return Err(EmbeddedError::CoarseTimes(folder.root));
        }
        Ok(folder)
    }

    fn clear(&self) -> io::Result<()> {
        let partial = self.root.join(".partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        make_dir(&partial)?;
        let uploads = self.root.join(".uploads");
        make_dir(&uploads)?;
        for upload in fs::read_dir(&uploads)? {
            let upload = upload?;
            let age = upload.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > UPLOAD_LIVES {
                fs::remove_dir_all(upload.path())?;
            }
        }
        Ok(())
    }

    fn times_are_fine(&self) -> io::Result<bool> {
        let (partial, file) = self.partial()?;
        let fine = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        file.set_times(FileTimes::new().set_modified(fine))?;
        Ok(fs::metadata(&partial.path)?.modified()? == fine)
    }

    /// A new file to write into.
    pub(super) fn partial(&self) -> io::Result<(Partial, File)> {
        let path = self.root.join(".partial").join(Uuid::new_v4().to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Partial { path }, file))
    }

    fn bucket(&self, bucket: &str) -> Result<PathBuf, Refusal> {
        let path = self.root.join(component(bucket)?);
        if path.is_dir() { Ok(path) } else { Err(Refusal::NoSuchBucket) }
    }

    pub(super) fn bucket_path(&self, bucket: &str) -> Result<PathBuf, Refusal> {
        self.bucket(bucket)
    }

    pub(super) fn create_bucket(&self, bucket: &str) -> Result<(), Refusal> {
        DirBuilder::new().mode(0o700).create(self.root.join(component(bucket)?))?;
        Ok(sync_dir(&self.root)?)
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> Result<PathBuf, Refusal> {
        let mut path = self.bucket(bucket)?;
        for part in key.split('/') {
            path.push(component(part)?);
        }
        Ok(path)
    }

    /// Opens an object, and gives its version and size as they are of the very bytes that will be read.
    pub(super) fn read(&self, bucket: &str, key: &str) -> Result<Option<(File, Version)>, Refusal> {
        let path = self.object(bucket, key)?;
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
            Err(why) if is_absence(&why) => return Ok(None),
            other => other?,
        };
        let version = Version::of(&file)?;
        Ok(version.map(|version| (file, version)))
    }

    /// Gives a written file its name, durably, if `condition` holds for what has that name now.
    pub(super) fn place(
        &self,
        partial: &Partial,
        bucket: &str,
        key: &str,
        condition: &Precondition,
    ) -> Result<Version, Refusal> {
        let file = OpenOptions::new().write(true).open(&partial.path)?;
        // The long write happens before the lock.
        file.sync_data()?;
        let path = self.object(bucket, key)?;
        let mut last = self.turn();
        let current = self.read(bucket, key)?.map(|(_, version)| version.etag());
        let holds = match (condition, &current) {
            (Precondition::None, _) | (Precondition::Absent, None) | (Precondition::Present, Some(_)) => true,
            (Precondition::Version(wanted), Some(found)) => wanted == found,
            _ => false,
        };
        if !holds {
            return Err(Refusal::Precondition);
        }
        // Never the same twice, whatever the system's clock does: two versions must not share an ETag.
        *last = SystemTime::now().max(*last + Duration::from_nanos(1));
        file.set_times(FileTimes::new().set_modified(*last))?;
        file.sync_all()?;
        let version = Version::of(&file)?.ok_or(Refusal::BadKey)?;
        let dir = path.parent().ok_or(Refusal::BadKey)?;
        let made = make_dirs(&self.root, dir)?;
        match fs::rename(&partial.path, &path) {
            Err(why) if path.is_dir() => {
                tracing::debug!(%why, "a key is a prefix of another object's");
                return Err(Refusal::BadKey);
            }
            other => other?,
        }
        for dir in std::iter::once(dir).chain(made.iter().filter_map(|made| made.parent())) {
            sync_dir(dir)?;
        }
        Ok(version)
    }

    /// Removes an object, and the folders that it leaves empty.
    pub(super) fn remove(&self, bucket: &str, key: &str) -> Result<(), Refusal> {
        let path = self.object(bucket, key)?;
        let bucket = self.bucket(bucket)?;
        let _turn = self.turn();
        match fs::remove_file(&path) {
            Err(why) if is_absence(&why) => return Ok(()),
            other => other?,
        }
        let mut dir = path.parent();
        while let Some(empty) = dir.filter(|dir| *dir != bucket && fs::remove_dir(dir).is_ok()) {
            dir = empty.parent();
        }
        Ok(sync_dir(dir.unwrap_or(&bucket))?)
    }

    /// Makes an upload for a key that could be placed.
    pub(super) fn begin_upload(&self, bucket: &str, key: &str) -> Result<String, Refusal> {
        self.object(bucket, key)?;
        let id = Uuid::new_v4().to_string();
        let dir = self.root.join(".uploads").join(&id);
        DirBuilder::new().mode(0o700).create(&dir)?;
        fs::write(dir.join("key"), format!("{bucket}/{key}"))?;
        Ok(id)
    }

    /// The folder of an upload's parts; none when there is no such upload of that key.
    pub(super) fn upload(&self, id: &str, bucket: &str, key: &str) -> io::Result<Option<PathBuf>> {
        // Only a UUID can be an id, so that it can never be a path.
        let Ok(id) = Uuid::parse_str(id) else { return Ok(None) };
        let dir = self.root.join(".uploads").join(id.to_string());
        let mut of = String::new();
        match File::open(dir.join("key")).and_then(|mut file| file.read_to_string(&mut of)) {
            Err(why) if is_absence(&why) => Ok(None),
            other => other.map(|_| (of == format!("{bucket}/{key}")).then_some(dir)),
        }
    }

    /// Keeps a written part. Its name is its number, so that sending it again replaces it.
    pub(super) fn keep_part(&self, partial: &Partial, upload: &Path, number: i32) -> io::Result<Version> {
        let file = OpenOptions::new().write(true).open(&partial.path)?;
        {
            let mut last = self.turn();
            *last = SystemTime::now().max(*last + Duration::from_nanos(1));
            file.set_times(FileTimes::new().set_modified(*last))?;
        }
        fs::rename(&partial.path, upload.join(format!("{number:05}")))?;
        Version::of(&file)?.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn turn(&self) -> MutexGuard<'_, SystemTime> {
        // The value under the lock is whole whatever happened to its last holder.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One state of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version {
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl Version {
    /// None for anything but a regular file.
    pub(super) fn of(file: &File) -> io::Result<Option<Self>> {
        Self::from_metadata(&file.metadata()?)
    }

    pub(super) fn from_metadata(meta: &fs::Metadata) -> io::Result<Option<Self>> {
        Ok(if meta.is_file() { Some(Self { size: meta.len(), modified: meta.modified()? }) } else { None })
    }

    pub(super) fn etag(&self) -> String {
        let nanos = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        format!("{nanos:x}-{:x}", self.size)
    }
}

/// A name within a folder, and nothing else.
fn component(name: &str) -> Result<&str, Refusal> {
    let odd = name.is_empty() || name == "." || name == ".." || name.len() > 255 || name.contains(['/', '\0']);
    if odd { Err(Refusal::BadKey) } else { Ok(name) }
}

/// Nothing has that name: it is missing, a folder's name is a file's, or it is a link.
fn is_absence(why: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(why.kind(), NotFound | NotADirectory | IsADirectory)
        || why.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32)
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes `dir` and what is missing above it; gives what it made, whose parents are to be synced.
fn make_dirs(root: &Path, dir: &Path) -> Result<Vec<PathBuf>, Refusal> {
    let missing = dir.ancestors().take_while(|dir| *dir != root && !dir.is_dir()).map(Path::to_owned);
    let missing: Vec<_> = missing.collect();
    match make_dir(dir) {
        Err(why) if matches!(why.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) => {
            Err(Refusal::BadKey)
        }
        other => Ok(other.map(|()| missing)?),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
