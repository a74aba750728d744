//! A writer's key, and what it seals. Holds public halves only.

use std::io::{self, Write};
use std::marker::PhantomData;

use age::Encryptor;
use age::secrecy::ExposeSecret;
use age::stream::StreamWriter;
use age::x25519::{Identity, Recipient};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Recipients, SealError};
use crate::path::{RecordingPath, Writer};
use crate::store::{Bucket, Condition, Receipt, Store, StoreError};

/// The public half of one writer's key. Cheap to clone.
#[derive(Clone)]
pub struct SealKey(Recipient);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SealKey").field(&self.0.to_string()).finish()
    }
}

impl SealKey {
    /// Makes the key of `writer`: an age identity in memory, whose secret is stored sealed to `to` where nothing was
    /// before, read back and compared. The secret is wiped before this returns.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when this writer has a key already: it is another's, take the next epoch or generation.
    pub async fn create(
        store: &Store,
        path: &RecordingPath,
        writer: &Writer,
        to: &Recipients,
    ) -> Result<Self, SealError> {
        let (public, envelope) = {
            let identity = Identity::generate();
            let secret = identity.to_string();
            // What `age-keygen` writes, so that the opened file is an identity file to stock age. Of the right size from
            // the beginning: a text that has to grow leaves what it was behind.
            let mut file = Zeroizing::new(String::with_capacity(secret.expose_secret().len() + 1));
            file.push_str(secret.expose_secret());
            file.push('\n');
            (identity.to_public(), Bytes::from(in_memory(to.iter(), file.as_bytes())))
            // `identity`, `secret` and `file` are wiped here.
        };
        let key = path.key(writer);
        store.put(Bucket::Keys, &key, envelope.clone(), Condition::Absent).await?;
        let (found, _) = store.get(Bucket::Keys, &key, envelope.len() as u64).await?;
        if found != envelope {
            return Err(StoreError::Corrupt { key }.into());
        }
        Ok(Self(public))
    }

    /// Seals a whole value in memory.
    #[must_use]
    pub fn seal<T: AsRef<[u8]>>(&self, plain: T) -> Sealed<T> {
        let plain = plain.as_ref();
        let bytes = in_memory(self.alone(), plain);
        let sha256 = Sha256::digest(&bytes).into();
        Sealed { bytes: bytes.into(), plain_len: plain.len() as u64, sha256, of: PhantomData }
    }

    /// Seals a stream of any length into `to`. Only [`SealWriter::finish`] gives `to` back.
    ///
    /// # Errors
    /// Those of `to`, which gets the header at once.
    pub fn writer<W: Write>(&self, to: W) -> io::Result<SealWriter<W>> {
        Ok(SealWriter { stream: encryptor(self.alone()).wrap_output(to)?, plain_len: 0 })
    }

    fn alone(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        std::iter::once(&self.0 as &dyn age::Recipient)
    }
}

fn encryptor<'a>(to: impl Iterator<Item = &'a dyn age::Recipient>) -> Encryptor {
    #[expect(clippy::expect_used, reason = "fails for no recipients or mixed kinds; these are X25519, one or more")]
    Encryptor::with_recipients(to).expect("X25519 recipients")
}

fn in_memory<'a>(to: impl Iterator<Item = &'a dyn age::Recipient>, plain: &[u8]) -> Vec<u8> {
    // 200 bytes of header and nonce for each recipient, then a tag to each 64 KiB.
    let mut bytes = Vec::with_capacity(plain.len() + plain.len() / 4096 + 1024);
    let sealed = encryptor(to).wrap_output(&mut bytes).and_then(|mut stream| {
        stream.write_all(plain)?;
        stream.finish().map(drop)
    });
    #[expect(clippy::expect_used, reason = "age fails with its sink alone, and a Vec takes every write")]
    sealed.expect("sealing into memory");
    bytes
}

/// Ciphertext of a `T`, whole: it comes from finishing alone.
pub struct Sealed<T> {
    bytes: Bytes,
    plain_len: u64,
    sha256: [u8; 32],
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), plain_len: self.plain_len, sha256: self.sha256, of: PhantomData }
    }
}

impl<T> std::fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl<T> Sealed<T> {
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Of the ciphertext.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// Of the ciphertext.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Puts it into the media bucket and reads it back, without a spool: for what can be made again.
    ///
    /// # Errors
    /// See [`Store::put_verified`].
    pub async fn put(&self, store: &Store, key: &str) -> Result<Receipt, StoreError> {
        store.put_verified(Bucket::Media, key, self.bytes.clone()).await
    }
}

/// Seals what is written to it. Dropped without `finish`, the sink is left with something that cannot be opened, and
/// out of reach.
pub struct SealWriter<W> {
    stream: StreamWriter<W>,
    plain_len: u64,
}

impl<W> std::fmt::Debug for SealWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealWriter").field("plain_len", &self.plain_len).finish_non_exhaustive()
    }
}

impl<W: Write> SealWriter<W> {
    /// Writes the last chunk. The sink, and how many bytes of plaintext it now holds.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self) -> io::Result<(W, u64)> {
        Ok((self.stream.finish()?, self.plain_len))
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        let taken = self.stream.write(plain)?;
        self.plain_len += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
