//! One S3, whoever runs it: put under conditions, read back, list, multipart. One try per call: retrying is the
//! caller's business.

mod upload;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use upload::{Upload, UploadWriter};

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub endpoint: Option<String>,
    pub region: String,
    pub media_bucket: String,
    pub keys_bucket: String,
    pub access_key_file: Option<PathBuf>,
    pub secret_key_file: Option<PathBuf>,
    pub path_style: bool,
    pub create_buckets: bool,
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
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bucket {
    Media,
    Keys,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub etag: String,
    pub size: u64,
    /// Of what was put.
    pub sha256: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    None,
    Absent,
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
}

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("{key} exists already")]
    Exists { key: String },
    #[error("{key} does not exist")]
    Missing { key: String },
    #[error("{key} was changed by another writer")]
    Conflict { key: String },
    #[error("{key} is longer than {limit} bytes")]
    TooLong { key: String, limit: u64 },
    #[error("{key} read back differs from what was put")]
    Corrupt { key: String },
    #[error("could not {doing}: the store does not answer")]
    Unreachable { doing: String, source: Source },
    #[error("could not {doing}: the store refuses ({code})")]
    Refused { doing: String, code: String, source: Source },
    #[error("{0}")]
    Config(String),
}

impl StoreError {
    #[must_use]
    pub fn is_passing(&self) -> bool {
        todo!()
    }
}

#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: aws_sdk_s3::Client,
    media: String,
    keys: String,
}

impl Store {
    pub async fn connect(_config: &Config) -> Result<Self, StoreError> {
        todo!()
    }
    pub async fn check(&self) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn put(
        &self,
        _bucket: Bucket,
        _key: &str,
        _body: Bytes,
        _condition: Condition,
    ) -> Result<Receipt, StoreError> {
        todo!()
    }
    pub async fn put_verified(&self, _bucket: Bucket, _key: &str, _body: Bytes) -> Result<Receipt, StoreError> {
        todo!()
    }
    pub async fn get(&self, _bucket: Bucket, _key: &str, _limit: u64) -> Result<(Bytes, String), StoreError> {
        todo!()
    }
    pub async fn get_range(&self, _bucket: Bucket, _key: &str, _range: Range<u64>) -> Result<Bytes, StoreError> {
        todo!()
    }
    pub async fn head(&self, _bucket: Bucket, _key: &str) -> Result<Head, StoreError> {
        todo!()
    }
    pub async fn list(&self, _bucket: Bucket, _prefix: &str) -> Result<Vec<Entry>, StoreError> {
        todo!()
    }
    pub async fn delete(&self, _bucket: Bucket, _key: &str) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn upload(&self, _bucket: Bucket, _key: &str) -> Result<Upload, StoreError> {
        todo!()
    }
}
