//! What a spool asks of its disk, each thing by itself, so that a test can fail the n-th of them and see what is lost.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nix::fcntl::OFlag;

/// A segment is bounded to half of this, and all else that is spooled is smaller.
pub(super) const LONGEST: u64 = 128 << 20;

/// The second implementation fails on purpose; see `sweep`.
pub(super) trait Disk: Debug + Send + Sync {
    /// A new file with these bytes, not durable yet. Never through a link.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File>;
    fn sync(&self, path: &Path, file: &File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A rename is durable once its folder is.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// A regular file of our own, never through a link; [`io::ErrorKind::InvalidData`] for anything else.
    fn read(&self, path: &Path) -> io::Result<Bytes>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    fn fill(&self, folder: &Path) -> io::Result<super::level::Fill>;
}

#[derive(Debug)]
pub(super) struct Real;

impl Disk for Real {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    fn sync(&self, _: &Path, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
        let meta = file.metadata()?;
        let ours = meta.is_file() && meta.uid() == nix::unistd::geteuid().as_raw() && meta.len() <= LONGEST;
        if !ours {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of ours"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        // Bounded once more: it may grow while it is read.
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    }

    /// As `df` counts it: what only root may use is no room.
    fn fill(&self, folder: &Path) -> io::Result<super::level::Fill> {
        let found = nix::sys::statvfs::statvfs(folder)?;
        let block = found.fragment_size();
        let used = found.blocks().saturating_sub(found.blocks_free()).saturating_mul(block);
        Ok(super::level::Fill { used, room: used.saturating_add(found.blocks_available().saturating_mul(block)) })
    }
}
