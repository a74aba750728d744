//! Random access over one sealed object: plaintext by ranged GETs, each chunk authenticated before a byte of it is
//! given out.
//!
//! Blocking, since age's seekable stream is: use it on a thread of `spawn_blocking`.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};

use age::stream::StreamReader;
use bytes::Bytes;
use tokio::runtime::Handle;

use super::envelope::{self, LONGEST_HEADER, MEDIA_STANZAS};
use super::{OpenKey, SealError};
use crate::store::{Bucket, Store, StoreError};

/// One GET. Eight of age's chunks: enough that playing asks twice a second, little enough that seeking is quick.
const WINDOW: u64 = 512 << 10;

/// Windows kept. Playing needs one, its index and the last chunk one each, and a second reading place one more.
const WINDOWS: usize = 4;

/// Plaintext of one object in the media bucket.
pub struct SealedReader {
    stream: StreamReader<Ranged>,
    len: u64,
    at: u64,
    /// A failed read leaves half a chunk in age's stream, which a later seek would mistake for another's.
    broken: bool,
}

impl std::fmt::Debug for SealedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedReader").field("len", &self.len).field("at", &self.at).finish_non_exhaustive()
    }
}

impl SealedReader {
    /// Opens an object, and proves by its last chunk that it was not cut short.
    ///
    /// # Errors
    /// As [`OpenKey::open`], and when the store does not answer.
    pub async fn open(store: &Store, key: &str, open: &OpenKey) -> Result<Self, SealError> {
        let size = store.head(Bucket::Media, key).await?.size;
        Self::of_size(store, key, size, open).await
    }

    /// The same for an object that the signed manifest says has `size` bytes (of ciphertext): another size is refused
    /// before a byte is read.
    ///
    /// # Errors
    /// As `open`; [`SealError::Tampered`] for another size.
    pub async fn open_sized(store: &Store, key: &str, size: u64, open: &OpenKey) -> Result<Self, SealError> {
        if store.head(Bucket::Media, key).await?.size != size {
            return Err(SealError::Tampered { what: key.into() });
        }
        Self::of_size(store, key, size, open).await
    }

    async fn of_size(store: &Store, key: &str, size: u64, open: &OpenKey) -> Result<Self, SealError> {
        let front = store.get_range(Bucket::Media, key, 0..size.min(WINDOW)).await?;
        let header = &front[..front.len().min(LONGEST_HEADER)];
        envelope::check(header, &MEDIA_STANZAS).map_err(|why| SealError::Malformed { what: key.into(), why })?;
        let ranged = Ranged {
            store: store.clone(),
            key: key.into(),
            runtime: Handle::current(),
            size,
            at: 0,
            windows: VecDeque::from([(0, front)]),
        };
        let interrupted = SealError::Interrupted { what: key.into() };
        let (key, open) = (key.to_owned(), open.clone());
        let opening = tokio::task::spawn_blocking(move || {
            let mut stream = envelope::decrypt(ranged, open.identity(), &key)?;
            // Reads and authenticates the last chunk; age asks for that before any other (C2SP age, "Payload").
            let len = stream.seek(SeekFrom::End(0)).map_err(|why| refusal(why, &key))?;
            stream.seek(SeekFrom::Start(0)).map_err(|why| refusal(why, &key))?;
            Ok(Self { stream, len, at: 0, broken: false })
        });
        opening.await.unwrap_or(Err(interrupted))
    }

    /// Bytes of plaintext.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What the store said, if it was the store; else the ciphertext is wrong.
fn refusal(why: io::Error, key: &str) -> SealError {
    match why.downcast::<StoreError>() {
        Ok(store) => store.into(),
        Err(_) => SealError::Tampered { what: key.into() },
    }
}

impl Read for SealedReader {
    /// An error may hold a [`StoreError`]; any other means that the object was altered. After an error, open anew.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.len || to.is_empty() {
            return Ok(0);
        }
        let read = self.guarded(|stream| match stream.read(to)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read as u64),
        })?;
        self.at += read;
        Ok(usize::try_from(read).unwrap_or(usize::MAX))
    }
}

impl SealedReader {
    fn guarded(&mut self, act: impl FnOnce(&mut StreamReader<Ranged>) -> io::Result<u64>) -> io::Result<u64> {
        if self.broken {
            return Err(io::Error::other("this reader failed before; open the object anew"));
        }
        act(&mut self.stream).inspect_err(|_| self.broken = true)
    }
}

impl Seek for SealedReader {
    /// A position past the end is an error: age's stream cannot stand there.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let wanted = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        let at = wanted.filter(|at| *at <= self.len).ok_or(io::ErrorKind::InvalidInput)?;
        // At the very end nothing will be read, so the stream can stay where it is until it is wanted again.
        if at != self.at && at < self.len {
            self.guarded(|stream| stream.seek(SeekFrom::Start(at)))?;
        }
        self.at = at;
        Ok(at)
    }
}

/// The ciphertext as a seekable stream.
struct Ranged {
    store: Store,
    key: String,
    runtime: Handle,
    size: u64,
    at: u64,
    /// Number and bytes, the last used at the back.
    windows: VecDeque<(u64, Bytes)>,
}

impl Ranged {
    fn window(&mut self, number: u64) -> io::Result<Bytes> {
        let found = self.windows.iter().position(|(known, _)| *known == number);
        let window = match found.and_then(|index| self.windows.remove(index)) {
            Some((_, bytes)) => bytes,
            None => {
                let range = number * WINDOW..((number + 1) * WINDOW).min(self.size);
                let get = self.store.get_range(Bucket::Media, &self.key, range);
                self.runtime.block_on(get).map_err(io::Error::other)?
            }
        };
        if self.windows.len() == WINDOWS {
            self.windows.pop_front();
        }
        self.windows.push_back((number, window.clone()));
        Ok(window)
    }
}

impl Read for Ranged {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size {
            return Ok(0);
        }
        let window = self.window(self.at / WINDOW)?;
        let from = usize::try_from(self.at % WINDOW).unwrap_or(usize::MAX);
        let rest = window.get(from..).unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Ranged {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let wanted = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.at = wanted.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
