//! Objects that are too long to hold in memory: multipart, 16 MiB at a time, read back at the end.
//!
//! Nothing of an object is visible before `finish`. An upload that is dropped leaves its parts behind, unseen; stores
//! remove them by a lifecycle rule ("abort incomplete multipart uploads after 2 days").

use std::io::{self, Write};
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::{Bucket, Condition, Receipt, Store, StoreError, patience, refuse_plaintext, timed};

/// With the protocol's 10 000 parts this allows 160 GiB.
const PART: usize = 16 << 20;

/// The protocol's limit.
const MOST_PARTS: usize = 10_000;

/// Before the second and the third try of a part. Only here does this crate try again: a part has no meaning outside
/// its upload, so nobody else could retry it, and one lost packet must not throw away gigabytes.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// An object under way. Only `finish` makes it visible.
#[derive(Debug)]
pub struct Upload {
    store: Store,
    bucket: Bucket,
    key: String,
    /// Less than a part.
    rest: BytesMut,
    multipart: Option<Multipart>,
    size: u64,
    hash: Sha256,
}

#[derive(Debug)]
struct Multipart {
    id: String,
    parts: Vec<CompletedPart>,
}

impl Upload {
    pub(super) fn new(store: Store, bucket: Bucket, key: &str) -> Self {
        let hash = Sha256::new();
        Self { store, bucket, key: key.into(), rest: BytesMut::new(), multipart: None, size: 0, hash }
    }

    /// Adds to the object. Sends a part when one is full.
    ///
    /// # Errors
    /// When a part could not be sent in three tries; the upload is then good for `abort` only.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.size += piece.len() as u64;
        self.hash.update(&piece);
        self.rest.extend_from_slice(&piece);
        while self.rest.len() >= PART {
            let part = self.rest.split_to(PART).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    /// Sends what there is as a part, so that even a small object comes in parts.
    pub(super) async fn send_rest(&mut self) -> Result<(), StoreError> {
        let rest = self.rest.split().freeze();
        self.send(rest).await
    }

    /// Completes the object and reads it back.
    ///
    /// # Errors
    /// As for a put; [`StoreError::Corrupt`] when the object read back is another. A completion that the store
    /// answered with success and an error inside, or whose answer was lost, is judged by what is read back.
    pub async fn finish(mut self) -> Result<Receipt, StoreError> {
        let (size, sha256) = (self.size, <[u8; 32]>::from(self.hash.clone().finalize()));
        let rest = self.rest.split().freeze();
        let completed = match &self.multipart {
            None => self.store.put(self.bucket, &self.key, rest, Condition::None).await.map(drop),
            Some(_) => {
                if !rest.is_empty() {
                    self.send(rest).await?;
                }
                self.complete().await
            }
        };
        match completed {
            Err(failed) if !failed.is_passing() => return Err(failed),
            _ => {}
        }
        match (self.store.fingerprint(self.bucket, &self.key).await, completed) {
            (Ok(found), _) if (found.size, found.sha256) == (size, sha256) => Ok(found),
            (_, Err(failed)) => Err(failed),
            (Ok(_), Ok(())) => Err(StoreError::Corrupt { key: self.key }),
            (Err(unread), Ok(())) => Err(unread),
        }
    }

    /// Lets the store forget what it has.
    ///
    /// # Errors
    /// When the store does not answer; its lifecycle rule forgets the parts then.
    pub async fn abort(self) -> Result<(), StoreError> {
        let Some(Multipart { id, .. }) = &self.multipart else { return Ok(()) };
        let client = &self.store.inner.client;
        let sent = client.abort_multipart_upload().bucket(self.bucket_name()).key(&self.key).upload_id(id).send();
        timed(patience(0), || format!("abort the upload of {}", self.key), &self.key, sent).await.map(drop)
    }

    /// The same upload as a blocking sink for `spawn_blocking`, such as [`crate::SealKey::writer`] wants. To be called
    /// inside the runtime that shall do the sending.
    #[must_use]
    pub fn into_writer(self) -> UploadWriter {
        UploadWriter { upload: self, runtime: Handle::current() }
    }

    fn bucket_name(&self) -> &str {
        self.store.name(self.bucket)
    }

    async fn send(&mut self, part: Bytes) -> Result<(), StoreError> {
        if self.multipart.is_none() {
            refuse_plaintext(&self.key, &part)?;
            let client = &self.store.inner.client;
            let sent = client.create_multipart_upload().bucket(self.bucket_name()).key(&self.key).send();
            let begun = timed(patience(0), || format!("begin the upload of {}", self.key), &self.key, sent).await?;
            let id = begun.upload_id.unwrap_or_default();
            self.multipart = Some(Multipart { id, parts: Vec::new() });
        }
        let Some(Multipart { id, parts }) = &self.multipart else { return Ok(()) };
        if parts.len() == MOST_PARTS {
            return Err(StoreError::TooLong { key: self.key.clone(), limit: (PART * MOST_PARTS) as u64 });
        }
        let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
        let mut pauses = PAUSES.iter();
        let sent = loop {
            match (self.try_part(id, number, part.clone()).await, pauses.next()) {
                (Err(lost), Some(pause)) if lost.is_passing() => tokio::time::sleep(*pause).await,
                (outcome, _) => break outcome?,
            }
        };
        if let Some(multipart) = &mut self.multipart {
            multipart.parts.push(sent);
        }
        Ok(())
    }

    async fn try_part(&self, id: &str, number: i32, part: Bytes) -> Result<CompletedPart, StoreError> {
        let limit = patience(part.len() as u64);
        let request = self.store.inner.client.upload_part().bucket(self.bucket_name()).key(&self.key);
        let sent = request.upload_id(id).part_number(number).body(ByteStream::from(part)).send();
        let doing = || format!("send part {number} of {}", self.key);
        let done = timed(limit, doing, &self.key, sent).await?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(done.e_tag).build())
    }

    async fn complete(&self) -> Result<(), StoreError> {
        let Some(Multipart { id, parts }) = &self.multipart else { return Ok(()) };
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts.clone())).build();
        let request = self.store.inner.client.complete_multipart_upload().bucket(self.bucket_name()).key(&self.key);
        let sent = request.upload_id(id).multipart_upload(list).send();
        // Stores put the parts together now, and may take their time over it.
        timed(patience(self.size), || format!("complete {}", self.key), &self.key, sent).await.map(drop)
    }
}

/// The blocking face of [`Upload`]: for a thread of `spawn_blocking`, never for an async task.
#[derive(Debug)]
pub struct UploadWriter {
    upload: Upload,
    runtime: Handle,
}

impl UploadWriter {
    /// See [`Upload::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(self) -> Result<Receipt, StoreError> {
        self.runtime.block_on(self.upload.finish())
    }

    /// See [`Upload::abort`].
    ///
    /// # Errors
    /// As there.
    pub fn abort(self) -> Result<(), StoreError> {
        self.runtime.block_on(self.upload.abort())
    }
}

impl Write for UploadWriter {
    /// Errors hold the [`StoreError`] inside.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.runtime.block_on(self.upload.write(piece)).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
