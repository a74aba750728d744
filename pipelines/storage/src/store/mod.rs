//! One S3, whoever runs it: put under conditions, read back, list, multipart.
//!
//! Each call is one try. Retrying belongs to the caller, who knows what else could be done meanwhile; what this module
//! settles itself is the outcome of a put whose answer was lost, by reading the object back. Integrity rests on
//! SHA-256 alone: an ETag is an opaque word that changes when the object does.

mod client;
mod error;
mod guard;
mod probe;
mod upload;

use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use media::WallTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use error::StoreError;
pub use probe::{Capability, HOURLY, Report, Verdict, watch};
pub use upload::{Upload, UploadWriter};

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `https://s3.example.org`; none means AWS in `region`.
    pub endpoint: Option<String>,
    pub region: String,
    pub media_bucket: String,
    /// Apart from the media, so that it can have its own rights, versions and holds.
    pub keys_bucket: String,
    /// A file that holds the access key id. Read for each request, so keys can be changed while running.
    pub access_key_file: Option<PathBuf>,
    /// A file that holds the secret access key.
    pub secret_key_file: Option<PathBuf>,
    /// `https://host/bucket/key` rather than `https://bucket.host/key`.
    pub path_style: bool,
    /// Make the two buckets when they are missing.
    pub create_buckets: bool,
    /// Allow `http://` to a host other than this machine.
    pub plain_http: bool,
    /// No other worker uses this store, so that one that ignores conditions will do. Conditions are sent all the same.
    pub single_worker: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".into(),
            media_bucket: "lectern-media".into(),
            keys_bucket: "lectern-keys".into(),
            access_key_file: None,
            secret_key_file: None,
            path_style: true,
            create_buckets: false,
            plain_http: false,
            single_worker: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bucket {
    Media,
    Keys,
}

/// What is known of an object after it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// As the store gave it; empty when it gave none.
    pub etag: String,
    pub size: u64,
    /// Of what was put.
    pub sha256: [u8; 32],
}

impl Receipt {
    /// The hash as journals and manifests write it.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

/// What must hold for a put to happen (RFC 9110 section 13.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: etag`
    Match(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub etag: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub key: String,
    pub size: u64,
    /// As the store has it; 1970 when it does not say.
    pub modified: WallTime,
}

/// Bounds a listing, against a store that never ends it.
const MOST_ENTRIES: usize = 2_000_000;

/// Pages that may follow each other and bring nothing: some stores look through as many removed objects first.
const EMPTY_PAGES: usize = 100;

/// Every age file begins with this (C2SP age, "Header").
const AGE_MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// How long `bytes` may take: connecting and answering, then two megabits a second.
fn patience(bytes: u64) -> Duration {
    Duration::from_secs(10) + Duration::from_millis(bytes / 256)
}

/// A connection to the two buckets. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    client: aws_sdk_s3::Client,
    media: String,
    keys: String,
    single_worker: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("media", &self.inner.media)
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Builds the client. Talks to the store only to make missing buckets, if `config.create_buckets`.
    ///
    /// # Errors
    /// [`StoreError::Config`] when a key file is missing or the endpoint is unusable; others when making the buckets.
    pub async fn connect(config: &Config) -> Result<Self, StoreError> {
        let client = client::build(config)?;
        let (media, keys) = (config.media_bucket.clone(), config.keys_bucket.clone());
        let inner = Inner { client, media, keys, single_worker: config.single_worker };
        let store = Self { inner: Arc::new(inner) };
        if config.create_buckets {
            for bucket in [Bucket::Media, Bucket::Keys] {
                store.create_bucket(bucket).await?;
            }
        }
        Ok(store)
    }

    /// The same store for work of many calls that begins again with the first that fails, such as making a film: what the
    /// store refuses for the moment is asked for again, some times within a few seconds. A conditional write may then be
    /// refused because it has happened; whoever writes under conditions looks what stands there in any case.
    #[must_use]
    pub fn patient(&self) -> Self {
        let Inner { client, media, keys, single_worker } = &*self.inner;
        let (client, media, keys) = (client::patient(client), media.clone(), keys.clone());
        Self { inner: Arc::new(Inner { client, media, keys, single_worker: *single_worker }) }
    }

    async fn create_bucket(&self, bucket: Bucket) -> Result<(), StoreError> {
        let name = self.name(bucket);
        let doing = || format!("create the bucket {name}");
        let made = self.inner.client.create_bucket().bucket(name).send();
        match timed(patience(0), doing, "", made).await {
            Err(StoreError::Refused { code, .. })
                if code == "BucketAlreadyOwnedByYou" || code == "BucketAlreadyExists" =>
            {
                Ok(())
            }
            Err(StoreError::Conflict { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Finds out what both buckets can do, with objects of its own that it removes.
    ///
    /// # Errors
    /// When there is nothing to judge: [`StoreError::Unfit`] for a bucket that is missing or closed to us, others as
    /// for any call.
    pub async fn probe(&self) -> Result<Report, StoreError> {
        probe::probe(self).await
    }

    /// Proves that both buckets can do all that recordings need.
    ///
    /// # Errors
    /// As for `probe`; [`StoreError::Unfit`] names the first thing that the store lacks and what to do.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.probe().await?.judge()
    }

    fn name(&self, bucket: Bucket) -> &str {
        match bucket {
            Bucket::Media => &self.inner.media,
            Bucket::Keys => &self.inner.keys,
        }
    }

    /// Puts an object under a condition. If the answer is lost, the object is read back: found as put, it counts as
    /// put.
    ///
    /// # Errors
    /// [`StoreError::Exists`] and [`StoreError::Conflict`] when the condition does not hold,
    /// [`StoreError::Plaintext`] when a key ending in `.age` would get something else.
    pub async fn put(
        &self,
        bucket: Bucket,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Receipt, StoreError> {
        refuse_plaintext(key, &body)?;
        let size = body.len() as u64;
        let sha256 = <[u8; 32]>::from(Sha256::digest(&body));
        let request = self.inner.client.put_object().bucket(self.name(bucket)).key(key);
        let request = match &condition {
            Condition::None => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::Match(etag) => request.if_match(etag),
        };
        let sent = request.body(ByteStream::from(body.clone())).send();
        match timed(patience(size), || format!("put {key}"), key, sent).await {
            Ok(done) => Ok(Receipt { etag: done.e_tag.unwrap_or_default(), size, sha256 }),
            Err(StoreError::Conflict { key }) if condition == Condition::Absent => Err(StoreError::Exists { key }),
            Err(lost) if lost.is_passing() => match self.get(bucket, key, size).await {
                Ok((found, etag)) if found == body => Ok(Receipt { etag, size, sha256 }),
                _ => Err(lost),
            },
            Err(other) => Err(other),
        }
    }

    /// Puts an object and reads it back.
    ///
    /// # Errors
    /// As `put`; [`StoreError::Corrupt`] when the object read back is another.
    pub async fn put_verified(&self, bucket: Bucket, key: &str, body: Bytes) -> Result<Receipt, StoreError> {
        let put = self.put(bucket, key, body, Condition::None).await?;
        let found = self.fingerprint(bucket, key).await?;
        if (found.size, found.sha256) == (put.size, put.sha256) {
            Ok(found)
        } else {
            Err(StoreError::Corrupt { key: key.into() })
        }
    }

    /// A whole object of at most `limit` bytes, and its ETag.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::TooLong`].
    pub async fn get(&self, bucket: Bucket, key: &str, limit: u64) -> Result<(Bytes, String), StoreError> {
        let reply = self.whole(bucket, key).await?;
        let etag = reply.e_tag.clone().unwrap_or_default();
        let size = stated_size(&reply, key)?;
        if size > limit {
            return Err(StoreError::TooLong { key: key.into(), limit });
        }
        Ok((collect(reply.body, key, size).await?, etag))
    }

    /// Exactly the bytes of `range`, which must lie within the object.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Refused`] when the range lies outside.
    pub async fn get_range(&self, bucket: Bucket, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let reply = self.open(bucket, key, Some(asked)).await?;
        let expected = range.end - range.start;
        let stated = format!("bytes {}-{}/", range.start, range.end - 1);
        // A store that answers with the whole object, or another range, must not pass for what was asked.
        if !reply.content_range.as_deref().is_some_and(|found| found.starts_with(&stated)) {
            let code = reply.content_range.unwrap_or_else(|| "no Content-Range".into());
            return Err(StoreError::refused(format!("read bytes {}-{} of {key}", range.start, range.end), code));
        }
        collect(reply.body, key, expected).await
    }

    /// # Errors
    /// [`StoreError::Missing`].
    pub async fn head(&self, bucket: Bucket, key: &str) -> Result<Head, StoreError> {
        let sent = self.inner.client.head_object().bucket(self.name(bucket)).key(key).send();
        let reply = timed(patience(0), || format!("look at {key}"), key, sent).await?;
        let size = reply.content_length.and_then(|n| u64::try_from(n).ok());
        let size = size.ok_or_else(|| StoreError::refused(format!("look at {key}"), "no Content-Length"))?;
        Ok(Head { size, etag: reply.e_tag.unwrap_or_default() })
    }

    /// Everything whose key begins with `prefix`, in order of key.
    ///
    /// # Errors
    /// When the store does not answer, or does not end its list.
    pub async fn list(&self, bucket: Bucket, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        Ok(self.pages(bucket, prefix, None).await?.0)
    }

    /// The names directly below `prefix` that have something below them, without slashes: `v1/` gives the tenants.
    ///
    /// # Errors
    /// As `list`.
    pub async fn folders(&self, bucket: Bucket, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.pages(bucket, prefix, Some("/")).await?.1)
    }

    async fn pages(
        &self,
        bucket: Bucket,
        prefix: &str,
        delimiter: Option<&str>,
    ) -> Result<(Vec<Entry>, Vec<String>), StoreError> {
        let doing = || format!("list {prefix}");
        let (mut entries, mut folders) = (Vec::new(), Vec::new());
        let mut token: Option<String> = None;
        let mut empty = 0;
        loop {
            let before = entries.len() + folders.len();
            let request = self.inner.client.list_objects_v2().bucket(self.name(bucket)).prefix(prefix);
            let sent = request.set_delimiter(delimiter.map(Into::into)).set_continuation_token(token.clone()).send();
            let page = timed(patience(0) * 3, doing, prefix, sent).await?;
            for object in page.contents.unwrap_or_default() {
                let size = object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
                let modified = object.last_modified.and_then(|at| SystemTime::try_from(at).ok());
                let modified = modified.map(WallTime::from_system).unwrap_or_default();
                entries.push(Entry { key: object.key.unwrap_or_default(), size, modified });
            }
            for folder in page.common_prefixes.unwrap_or_default() {
                let name = folder.prefix.unwrap_or_default();
                folders.extend(name.strip_prefix(prefix).map(|name| name.trim_end_matches('/').to_owned()));
            }
            if entries.len() + folders.len() > MOST_ENTRIES {
                return Err(StoreError::TooLong { key: prefix.into(), limit: MOST_ENTRIES as u64 });
            }
            if !page.is_truncated.unwrap_or_default() {
                entries.sort();
                return Ok((entries, folders));
            }
            let brought = entries.len() + folders.len() - before;
            empty = if brought == 0 { empty + 1 } else { 0 };
            let next = page.next_continuation_token;
            if next.is_none() || next == token || empty > EMPTY_PAGES {
                return Err(StoreError::refused(doing(), "the list does not move on"));
            }
            token = next;
        }
    }

    /// Removes an object; one that is not there counts as removed.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn delete(&self, bucket: Bucket, key: &str) -> Result<(), StoreError> {
        let sent = self.inner.client.delete_object().bucket(self.name(bucket)).key(key).send();
        match timed(patience(0), || format!("delete {key}"), key, sent).await {
            Err(StoreError::Missing { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Begins an object of unknown length. Small ones become one put; nothing is sent before the first 16 MiB.
    ///
    /// # Errors
    /// None yet; the store hears of it with the first part.
    #[expect(clippy::unused_async, reason = "callers await it, so that opening may talk to the store one day")]
    pub async fn upload(&self, bucket: Bucket, key: &str) -> Result<Upload, StoreError> {
        Ok(Upload::new(self.clone(), bucket, key))
    }

    /// Size and hash of what the store gives back, streamed.
    pub(crate) async fn fingerprint(&self, bucket: Bucket, key: &str) -> Result<Receipt, StoreError> {
        let reply = self.whole(bucket, key).await?;
        let etag = reply.e_tag.clone().unwrap_or_default();
        let expected = stated_size(&reply, key)?;
        let (mut body, mut size, mut hash) = (reply.body, 0, Sha256::new());
        // A body without end is left once it is too long.
        while size <= expected
            && let Some(piece) = next(&mut body, key).await?
        {
            size += piece.len() as u64;
            hash.update(&piece);
        }
        if size != expected {
            return Err(StoreError::cut_short(key));
        }
        Ok(Receipt { etag, size, sha256: hash.finalize().into() })
    }

    /// A part must not pass for the whole.
    async fn whole(&self, bucket: Bucket, key: &str) -> Result<GetObjectOutput, StoreError> {
        let reply = self.open(bucket, key, None).await?;
        match reply.content_range {
            None => Ok(reply),
            Some(range) => Err(StoreError::refused(format!("read {key}"), range)),
        }
    }

    async fn open(&self, bucket: Bucket, key: &str, range: Option<String>) -> Result<GetObjectOutput, StoreError> {
        let request = self.inner.client.get_object().bucket(self.name(bucket)).key(key).set_range(range);
        timed(patience(0), || format!("read {key}"), key, request.send()).await
    }
}

/// Nothing but ciphertext goes under a key that promises it (DESIGN D4).
fn refuse_plaintext(key: &str, body: &[u8]) -> Result<(), StoreError> {
    if key.ends_with(".age") && !body.starts_with(AGE_MAGIC) {
        return Err(StoreError::Plaintext { key: key.into() });
    }
    Ok(())
}

fn stated_size(reply: &GetObjectOutput, key: &str) -> Result<u64, StoreError> {
    let size = reply.content_length.and_then(|n| u64::try_from(n).ok());
    size.ok_or_else(|| StoreError::refused(format!("read {key}"), "no Content-Length"))
}

async fn next(body: &mut ByteStream, key: &str) -> Result<Option<Bytes>, StoreError> {
    match tokio::time::timeout(patience(0), body.try_next()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(broken)) => Err(StoreError::Unreachable { doing: format!("read {key}"), source: broken.into() }),
        Err(late) => Err(StoreError::Unreachable { doing: format!("read {key}"), source: late.into() }),
    }
}

/// Exactly `size` bytes, or an error; no more than that is ever held.
async fn collect(mut body: ByteStream, key: &str, size: u64) -> Result<Bytes, StoreError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = next(&mut body, key).await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > size {
            break;
        }
    }
    if bytes.len() as u64 == size { Ok(bytes.freeze()) } else { Err(StoreError::cut_short(key)) }
}

/// One request within its time, its error put into our words.
async fn timed<T, E>(
    limit: Duration,
    doing: impl Fn() -> String,
    key: &str,
    sent: impl Future<Output = Result<T, error::SdkFailure<E>>>,
) -> Result<T, StoreError>
where
    E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match tokio::time::timeout(limit, sent).await {
        Ok(answer) => answer.map_err(|failure| error::translate(doing(), key, failure)),
        Err(late) => Err(StoreError::Unreachable { doing: doing(), source: late.into() }),
    }
}
