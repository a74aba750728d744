//! The S3 operations that storage uses, over a [`Folder`]. What is not here answers `NotImplemented`; a condition or
//! option that is not honoured is refused, never ignored.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput, StreamingBlob, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use super::folder::{Folder, Partial, Precondition, Refusal, Version};
use super::listing::{self, Item, Query};

/// The protocol's limit for one put; what is longer comes in parts.
const LONGEST_PUT: u64 = 5 << 30;

/// The protocol's least size of every part but the last.
const LEAST_PART: u64 = 5 << 20;

/// What is read from disk at once.
const READ: usize = 64 << 10;

pub(super) struct FolderS3 {
    folder: Arc<Folder>,
}

impl FolderS3 {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder: Arc::new(folder) }
    }

    /// Disk work belongs on a thread that may wait.
    async fn on_disk<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Folder) -> Result<T, Refusal> + Send + 'static,
    ) -> S3Result<T> {
        let folder = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || act(&folder)).await;
        done.map_err(S3Error::internal_error)?.map_err(refused)
    }

    /// Takes a body to disk; nobody sees it yet.
    async fn receive(&self, body: Option<StreamingBlob>, stated: Option<i64>) -> S3Result<Partial> {
        let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
        let (partial, file) = self.on_disk(|folder| Ok(folder.partial()?)).await?;
        let mut file = tokio::fs::File::from_std(file);
        let mut size = 0_u64;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|why| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, why))?;
            size += piece.len() as u64;
            if size > LONGEST_PUT {
                return Err(s3_error!(EntityTooLarge));
            }
            file.write_all(&piece).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        if stated.is_some_and(|stated| u64::try_from(stated) != Ok(size)) {
            return Err(s3_error!(IncompleteBody));
        }
        Ok(partial)
    }

    async fn look(&self, bucket: String, key: String) -> S3Result<(std::fs::File, Version)> {
        let found = self.on_disk(move |folder| folder.read(&bucket, &key)).await?;
        found.ok_or_else(|| s3_error!(NoSuchKey))
    }

    async fn upload(&self, id: String, bucket: String, key: String) -> S3Result<PathBuf> {
        let found = self.on_disk(move |folder| Ok(folder.upload(&id, &bucket, &key)?)).await?;
        found.ok_or_else(|| s3_error!(NoSuchUpload))
    }
}

fn disk(why: io::Error) -> S3Error {
    refused(why.into())
}

fn refused(why: Refusal) -> S3Error {
    match why {
        Refusal::Precondition => s3_error!(PreconditionFailed),
        Refusal::NoSuchBucket => s3_error!(NoSuchBucket),
        Refusal::BadKey => s3_error!(InvalidArgument, "this key cannot be stored"),
        Refusal::Io(source) => {
            tracing::error!(%source, "the store's disk failed");
            // Full and failing alike: a later try may find it mended.
            S3Error::with_source(s3s::S3ErrorCode::ServiceUnavailable, source.into())
        }
    }
}

fn precondition(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> S3Result<Precondition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Precondition::None),
        (None, Some(ETagCondition::Any)) => Ok(Precondition::Absent),
        (Some(ETagCondition::Any), None) => Ok(Precondition::Present),
        (Some(ETagCondition::ETag(ETag::Strong(version))), None) => Ok(Precondition::Version(version)),
        _ => Err(s3_error!(NotImplemented, "this condition is not supported")),
    }
}

fn etag(version: &Version) -> Option<ETag> {
    Some(ETag::Strong(version.etag()))
}

fn length(size: u64) -> Option<i64> {
    i64::try_from(size).ok()
}

#[async_trait]
impl S3 for FolderS3 {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let made = self.on_disk(move |folder| match folder.create_bucket(&req.input.bucket) {
            Err(Refusal::Io(why)) if why.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => other.map(|()| true),
        });
        if made.await? {
            Ok(S3Response::new(CreateBucketOutput::default()))
        } else {
            Err(s3_error!(BucketAlreadyOwnedByYou))
        }
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.on_disk(move |folder| folder.bucket_path(&req.input.bucket)).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { bucket, key, body, content_length, if_match, if_none_match, .. } = req.input;
        let condition = precondition(if_match, if_none_match)?;
        let partial = self.receive(body, content_length).await?;
        let version = self.on_disk(move |folder| folder.place(&partial, &bucket, &key, &condition)).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: etag(&version), ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, range, if_match, if_none_match, part_number, .. } = req.input;
        if if_match.is_some() || if_none_match.is_some() || part_number.is_some() {
            return Err(s3_error!(NotImplemented, "conditions and parts of a read are not supported"));
        }
        let (file, version) = self.look(bucket, key).await?;
        let mut file = tokio::fs::File::from_std(file);
        let (bytes, content_range) = match range {
            None => (0..version.size, None),
            Some(range) => {
                let bytes = range.check(version.size)?;
                let stated = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, version.size);
                (bytes, Some(stated))
            }
        };
        file.seek(io::SeekFrom::Start(bytes.start)).await.map_err(disk)?;
        let count = bytes.end - bytes.start;
        let body = ReaderStream::with_capacity(file.take(count), READ);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(body)),
            content_length: length(count),
            content_range,
            e_tag: etag(&version),
            last_modified: Some(version.modified.into()),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let (_, version) = self.look(req.input.bucket, req.input.key).await?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: length(version.size),
            e_tag: etag(&version),
            last_modified: Some(version.modified.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let DeleteObjectInput { bucket, key, if_match, .. } = req.input;
        if if_match.is_some() {
            return Err(s3_error!(NotImplemented, "a conditional delete is not supported"));
        }
        self.on_disk(move |folder| folder.remove(&bucket, &key)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let flat = match input.delimiter.as_deref() {
            None | Some("") => false,
            Some("/") => true,
            Some(_) => return Err(s3_error!(NotImplemented, "the only delimiter is /")),
        };
        if input.encoding_type.is_some() {
            return Err(s3_error!(NotImplemented, "encoding-type is not supported"));
        }
        let most = input.max_keys.map_or(1000, |asked| usize::try_from(asked).unwrap_or(0).min(1000));
        // The token is the last name told.
        let after = input.continuation_token.clone().max(input.start_after.clone()).unwrap_or_default();
        let (bucket, prefix) = (input.bucket.clone(), input.prefix.clone().unwrap_or_default());
        let (items, more) = self
            .on_disk(move |folder| {
                let bucket = folder.bucket_path(&bucket)?;
                Ok(listing::list(&bucket, &Query { prefix: &prefix, flat, after: &after, most })?)
            })
            .await?;
        let next = items.last().filter(|_| more).map(|item| item.name().to_owned());
        let key_count = i32::try_from(items.len()).ok();
        let (mut contents, mut common_prefixes) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Folder(prefix) => common_prefixes.push(CommonPrefix { prefix: Some(prefix) }),
                Item::Object(key, version) => contents.push(Object {
                    key: Some(key),
                    size: length(version.size),
                    e_tag: etag(&version),
                    last_modified: Some(version.modified.into()),
                    ..Default::default()
                }),
            }
        }
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            max_keys: Some(i32::try_from(most).unwrap_or(i32::MAX)),
            key_count,
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let CreateMultipartUploadInput { bucket, key, .. } = req.input;
        let of = (bucket.clone(), key.clone());
        let id = self.on_disk(move |folder| folder.begin_upload(&of.0, &of.1)).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let UploadPartInput { bucket, key, upload_id, part_number, body, content_length, .. } = req.input;
        if !(1..=10_000).contains(&part_number) {
            return Err(s3_error!(InvalidArgument, "a part's number is 1 to 10000"));
        }
        let upload = self.upload(upload_id, bucket, key).await?;
        let partial = self.receive(body, content_length).await?;
        let version = self.on_disk(move |folder| Ok(folder.keep_part(&partial, &upload, part_number)?)).await?;
        Ok(S3Response::new(UploadPartOutput { e_tag: etag(&version), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput { bucket, key, upload_id, multipart_upload, if_match, if_none_match, .. } =
            req.input;
        let condition = precondition(if_match, if_none_match)?;
        let upload = self.upload(upload_id, bucket.clone(), key.clone()).await?;
        let parts = multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let paths = tokio::task::spawn_blocking({
            let upload = upload.clone();
            move || check_parts(&upload, &parts)
        });
        let paths = paths.await.map_err(S3Error::internal_error)??;
        let of = (bucket.clone(), key.clone());
        let version = self
            .on_disk(move |folder| {
                let (partial, mut whole) = folder.partial()?;
                for part in &paths {
                    io::copy(&mut std::fs::File::open(part)?, &mut whole)?;
                }
                let version = folder.place(&partial, &of.0, &of.1, &condition)?;
                std::fs::remove_dir_all(&upload)?;
                Ok(version)
            })
            .await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: etag(&version),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = req.input;
        let upload = self.upload(upload_id, bucket, key).await?;
        self.on_disk(move |_| Ok(std::fs::remove_dir_all(upload)?)).await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// The files of the parts that the caller lists: in order, each as it was sent, none too small but the last.
fn check_parts(upload: &std::path::Path, parts: &[CompletedPart]) -> S3Result<Vec<PathBuf>> {
    let (mut paths, mut before) = (Vec::new(), 0);
    for (at, part) in parts.iter().enumerate() {
        let number = part.part_number.ok_or_else(|| s3_error!(InvalidPart))?;
        if number <= before {
            return Err(s3_error!(InvalidPartOrder));
        }
        before = number;
        let path = upload.join(format!("{number:05}"));
        let file = std::fs::File::open(&path).map_err(|why| s3_error!(why, InvalidPart))?;
        let version = Version::of(&file).map_err(disk)?.ok_or_else(|| s3_error!(InvalidPart))?;
        if part.e_tag != etag(&version) {
            return Err(s3_error!(InvalidPart));
        }
        if version.size < LEAST_PART && at + 1 < parts.len() {
            return Err(s3_error!(EntityTooSmall));
        }
        paths.push(path);
    }
    if paths.is_empty() { Err(s3_error!(InvalidPart)) } else { Ok(paths) }
}
