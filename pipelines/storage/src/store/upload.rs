//! Objects that are too long to hold in memory.

use std::io::Write;

use bytes::Bytes;

use super::{Receipt, Store, StoreError};

/// An object under way; nothing of it is visible before `finish`.
#[derive(Debug)]
pub struct Upload {
    _store: Store,
}

impl Upload {
    pub async fn write(&mut self, _piece: Bytes) -> Result<(), StoreError> {
        todo!()
    }
    /// Completes the object and reads it back.
    pub async fn finish(self) -> Result<Receipt, StoreError> {
        todo!()
    }
    pub async fn abort(self) -> Result<(), StoreError> {
        todo!()
    }
    /// For `spawn_blocking`: a blocking sink, such as `SealKey::writer` wants.
    #[must_use]
    pub fn into_writer(self) -> UploadWriter {
        todo!()
    }
}

/// The blocking face of [`Upload`]. Use it on a blocking thread only.
#[derive(Debug)]
pub struct UploadWriter {
    _upload: Upload,
}

impl UploadWriter {
    pub fn finish(self) -> Result<Receipt, StoreError> {
        todo!()
    }
    pub fn abort(self) -> Result<(), StoreError> {
        todo!()
    }
}

impl Write for UploadWriter {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> std::io::Result<()> {
        todo!()
    }
}
