//! Random access over one sealed object.

use std::io::{Read, Seek, SeekFrom};

use super::{OpenKey, SealError};
use crate::store::Store;

/// Plaintext of one sealed object in the media bucket, by ranged GETs. Blocking: for `spawn_blocking` only.
#[derive(Debug)]
pub struct SealedReader;

impl SealedReader {
    /// Opens and proves the length by the last chunk's tag.
    pub async fn open(_store: &Store, _key: &str, _open: &OpenKey) -> Result<Self, SealError> {
        todo!()
    }
    /// The same, refusing at once unless the object has `size` bytes, as the signed manifest says.
    pub async fn open_sized(_store: &Store, _key: &str, _size: u64, _open: &OpenKey) -> Result<Self, SealError> {
        todo!()
    }
    /// Of the plaintext.
    #[must_use]
    pub fn len(&self) -> u64 {
        todo!()
    }
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Read for SealedReader {
    fn read(&mut self, _to: &mut [u8]) -> std::io::Result<usize> {
        todo!()
    }
}

impl Seek for SealedReader {
    fn seek(&mut self, _to: SeekFrom) -> std::io::Result<u64> {
        todo!()
    }
}
