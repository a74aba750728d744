//! An S3 in memory that lies in one way. Proves that storage notices.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use axum::http::header::LOCATION;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::route::S3Route;
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Answers 200 to every put, whatever its condition.
    IgnoresConditions,
    /// Creates are refused for what exists; `If-Match` is not looked at.
    IgnoresMatch,
    /// Complete answers 200, and says in its body that it failed.
    CompleteFailsInside,
    /// Complete answers 200 and stores other bytes.
    CompleteStoresOther,
    /// Gives other bytes than were put.
    FlipsBytes,
    /// Answers a range with the bytes after it.
    ShiftsRanges,
    /// Gives the same page for ever.
    EndlessList,
    /// Every second request is answered 503.
    Busy,
    /// Gives half of what it announced.
    CutsBodies,
    /// Sends everybody, with their keys, to another server.
    Redirects(SocketAddr),
}

pub(crate) struct Liar {
    lie: Lie,
    objects: Mutex<HashMap<String, Bytes>>,
    parts: Mutex<Vec<Bytes>>,
    requests: Mutex<usize>,
}

/// Serves until the returned set is dropped.
pub(crate) async fn serve(lie: Lie) -> (String, JoinSet<()>) {
    let liar = Liar { lie, objects: Mutex::default(), parts: Mutex::default(), requests: Mutex::default() };
    let mut service = S3ServiceBuilder::new(liar);
    service.set_auth(SimpleAuth::from_single(super::ACCESS, super::SECRET));
    service.set_route(Raw(lie));
    let service = service.build();
    let listener = TcpListener::bind(super::loopback(0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that hangs up is no failure of the test.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (endpoint, tasks)
}

fn tag(bytes: &Bytes) -> ETag {
    ETag::Strong(format!(
        "{:x}-{}",
        bytes.iter().fold(7_u64, |sum, b| sum * 31 % 1_000_003 + u64::from(*b)),
        bytes.len()
    ))
}

fn blob(bytes: Bytes) -> Option<StreamingBlob> {
    Some(StreamingBlob::wrap(stream::iter([std::io::Result::Ok(bytes)])))
}

async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let pieces: Vec<Bytes> = body.unwrap().try_collect().await.map_err(|_| s3_error!(IncompleteBody))?;
    Ok(pieces.concat().into())
}

impl Liar {
    fn stumble(&self) -> S3Result<()> {
        let mut requests = self.requests.lock().unwrap();
        *requests += 1;
        if self.lie == Lie::Busy && *requests % 2 == 1 { Err(s3_error!(SlowDown)) } else { Ok(()) }
    }

    fn find(&self, key: &str) -> S3Result<Bytes> {
        self.objects.lock().unwrap().get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

#[async_trait]
impl S3 for Liar {
    async fn create_bucket(&self, _: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.stumble()?;
        let input = req.input;
        let bytes = whole(input.body).await?;
        let mut objects = self.objects.lock().unwrap();
        let current = objects.get(&input.key).map(tag);
        let strict = self.lie != Lie::IgnoresConditions;
        if strict && input.if_none_match.is_some() && current.is_some() {
            return Err(s3_error!(PreconditionFailed));
        }
        let matches = |asked: &ETagCondition| asked.as_etag() == current.as_ref();
        if strict && self.lie != Lie::IgnoresMatch && input.if_match.as_ref().is_some_and(|asked| !matches(asked)) {
            return Err(s3_error!(PreconditionFailed));
        }
        let e_tag = Some(tag(&bytes));
        objects.insert(input.key, bytes);
        Ok(S3Response::new(PutObjectOutput { e_tag, ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.stumble()?;
        let mut bytes = self.find(&req.input.key)?;
        let e_tag = Some(tag(&bytes));
        if self.lie == Lie::FlipsBytes {
            let mut flipped = bytes.to_vec();
            flipped[bytes.len() / 2] ^= 1;
            bytes = flipped.into();
        }
        let mut content_range = None;
        if let Some(range) = req.input.range {
            let mut range = range.check(bytes.len() as u64)?;
            if self.lie == Lie::ShiftsRanges {
                range = range.start + 1..range.end + 1;
            }
            content_range = Some(format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len()));
            bytes = bytes.slice(range.start as usize..range.end as usize);
        }
        let content_length = Some(bytes.len() as i64);
        if self.lie == Lie::CutsBodies {
            bytes.truncate(bytes.len() / 2);
        }
        let body = blob(bytes);
        Ok(S3Response::new(GetObjectOutput { body, content_length, content_range, e_tag, ..Default::default() }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.objects.lock().unwrap().remove(&req.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(&self, _: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        Ok(S3Response::new(ListObjectsV2Output {
            is_truncated: Some(true),
            next_continuation_token: Some("again".into()),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (bucket, key) = (Some(req.input.bucket), Some(req.input.key));
        let upload_id = Some("one".into());
        Ok(S3Response::new(CreateMultipartUploadOutput { bucket, key, upload_id, ..Default::default() }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.stumble()?;
        let bytes = whole(req.input.body).await?;
        let e_tag = Some(tag(&bytes));
        self.parts.lock().unwrap().push(bytes);
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let key = req.input.key;
        let mut bytes = self.parts.lock().unwrap().concat();
        if self.lie == Lie::CompleteStoresOther {
            bytes.swap(0, 20 << 20);
        }
        self.objects.lock().unwrap().insert(key.clone(), bytes.into());
        Ok(S3Response::new(CompleteMultipartUploadOutput { key: Some(key), ..Default::default() }))
    }
}

/// Answers of HTTP's own, beside the protocol.
struct Raw(Lie);

#[async_trait]
impl S3Route for Raw {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        let completes = method == Method::POST && uri.query().is_some_and(|query| query.contains("uploadId="));
        match self.0 {
            Lie::CompleteFailsInside => completes,
            Lie::Redirects(_) => true,
            _ => false,
        }
    }

    async fn call(&self, req: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if let Lie::Redirects(elsewhere) = self.0 {
            let location = format!("http://{elsewhere}{}", req.uri.path()).parse().unwrap();
            let headers = HeaderMap::from_iter([(LOCATION, location)]);
            let mut moved = S3Response::with_headers(Body::empty(), headers);
            moved.status = Some(StatusCode::TEMPORARY_REDIRECT);
            return Ok(moved);
        }
        // As AWS does when it fails late: the status was sent long before.
        let sorry = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n\n<Error><Code>InternalError</Code>\
                     <Message>We encountered an internal error. Please try again.</Message></Error>";
        Ok(S3Response::new(Body::from(sorry.to_owned())))
    }
}
