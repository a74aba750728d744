//! An S3 in memory that lies in one way. Proves that storage notices.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::header::LOCATION;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{TryStreamExt, stream};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::route::S3Route;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Does as it should.
    None,
    /// Answers 200 to every put, whatever its condition.
    IgnoresConditions,
    /// Answers 501 to every put that has a condition.
    KnowsNoConditions,
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
    /// Sends everybody, with their keys, to another server, by this status.
    Redirects(SocketAddr, u16),
    /// Right after an object is replaced, it is read once as it was before.
    ReadsStale,
    /// Lists nothing.
    ListsNothing,
    /// Answers 204 to a delete, and keeps the object.
    KeepsDeleted,
    /// Gives no ETag.
    NoEtag,
}

/// What becomes of one request, counted from 0, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection ends before it is heard.
    Unheard,
    /// It is answered 503, and nothing is done.
    Busy,
    /// It is done, and the connection ends without an answer.
    Unanswered,
}

/// The n-th request has trouble.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nth(pub(crate) usize, pub(crate) Trouble);

/// Looks behind the server's back.
#[derive(Clone)]
pub(crate) struct Behind {
    liar: Liar,
    requests: Arc<AtomicUsize>,
}

impl Behind {
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.liar.objects.lock().unwrap().get(&format!("{bucket}/{key}")).cloned()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Liar(Arc<Memory>);

impl std::ops::Deref for Liar {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.0
    }
}

struct Memory {
    lie: Lie,
    /// By bucket and key.
    objects: Mutex<HashMap<String, Bytes>>,
    /// What was replaced and is to be read once more.
    stale: Mutex<HashMap<String, Bytes>>,
    parts: Mutex<Vec<Bytes>>,
    requests: Mutex<usize>,
}

/// Serves until the returned set is dropped.
pub(crate) async fn serve(lie: Lie) -> (String, JoinSet<()>) {
    let (endpoint, tasks, _) = serve_with(lie, None).await;
    (endpoint, tasks)
}

pub(crate) async fn serve_with(lie: Lie, nth: Option<Nth>) -> (String, JoinSet<()>, Behind) {
    let liar = Liar(Arc::new(Memory {
        lie,
        objects: Mutex::default(),
        stale: Mutex::default(),
        parts: Mutex::default(),
        requests: Mutex::default(),
    }));
    let behind = Behind { liar: liar.clone(), requests: Arc::default() };
    let counted = behind.requests.clone();
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
            let answer = Troubled { service: service.clone(), counted: counted.clone(), nth };
            connections.spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that hangs up is no failure of the test.
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    (endpoint, tasks, behind)
}

/// The service, but for the request that has trouble.
struct Troubled {
    service: S3Service,
    counted: Arc<AtomicUsize>,
    nth: Option<Nth>,
}

impl Service<Request<Incoming>> for Troubled {
    type Response = s3s::HttpResponse;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<s3s::HttpResponse>>;

    /// An error here ends the connection.
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let number = self.counted.fetch_add(1, Ordering::SeqCst);
        let trouble = self.nth.filter(|nth| nth.0 == number).map(|nth| nth.1);
        let service = self.service.clone();
        Box::pin(async move {
            match trouble {
                Some(Trouble::Unheard) => Err(io::Error::other("unheard")),
                Some(Trouble::Busy) => {
                    let body = "<Error><Code>SlowDown</Code><Message>later</Message></Error>".to_owned();
                    Ok(axum::http::Response::builder().status(503).body(Body::from(body)).unwrap())
                }
                Some(Trouble::Unanswered) => {
                    // The answer is made, and lost.
                    let _ = Service::call(&service, request).await;
                    Err(io::Error::other("unanswered"))
                }
                None => Service::call(&service, request).await.map_err(|why| io::Error::other(format!("{why:?}"))),
            }
        })
    }
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
        let stale = self.stale.lock().unwrap().remove(key);
        stale.or_else(|| self.objects.lock().unwrap().get(key).cloned()).ok_or_else(|| s3_error!(NoSuchKey))
    }

    fn name(&self, bytes: &Bytes) -> Option<ETag> {
        (self.lie != Lie::NoEtag).then(|| tag(bytes))
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
        if self.lie == Lie::KnowsNoConditions && (input.if_none_match.is_some() || input.if_match.is_some()) {
            return Err(s3_error!(NotImplemented));
        }
        let key = format!("{}/{}", input.bucket, input.key);
        let mut objects = self.objects.lock().unwrap();
        let current = objects.get(&key).map(tag);
        let strict = self.lie != Lie::IgnoresConditions;
        if strict && input.if_none_match.is_some() && current.is_some() {
            return Err(s3_error!(PreconditionFailed));
        }
        let matches = |asked: &ETagCondition| asked.as_etag() == current.as_ref();
        if strict && self.lie != Lie::IgnoresMatch && input.if_match.as_ref().is_some_and(|asked| !matches(asked)) {
            return Err(s3_error!(PreconditionFailed));
        }
        let e_tag = self.name(&bytes);
        let before = objects.insert(key.clone(), bytes);
        if let (Lie::ReadsStale, Some(before)) = (self.lie, before) {
            self.stale.lock().unwrap().insert(key, before);
        }
        Ok(S3Response::new(PutObjectOutput { e_tag, ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.stumble()?;
        let mut bytes = self.find(&format!("{}/{}", req.input.bucket, req.input.key))?;
        let e_tag = self.name(&bytes);
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
        if self.lie != Lie::KeepsDeleted {
            self.objects.lock().unwrap().remove(&format!("{}/{}", req.input.bucket, req.input.key));
        }
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        if self.lie != Lie::EndlessList {
            let within = format!("{}/{}", req.input.bucket, req.input.prefix.unwrap_or_default());
            let objects = self.objects.lock().unwrap();
            let found = objects.iter().filter(|(key, _)| key.starts_with(&within) && self.lie != Lie::ListsNothing);
            let contents = found.map(|(key, bytes)| Object {
                key: key.split_once('/').map(|(_, key)| key.to_owned()),
                size: Some(bytes.len() as i64),
                ..Default::default()
            });
            let contents = Some(contents.collect());
            return Ok(S3Response::new(ListObjectsV2Output { contents, ..Default::default() }));
        }
        // An entry on each page, so that nothing but the token says that it is the same one.
        let key = Some(format!("{}x", req.input.prefix.unwrap_or_default()));
        Ok(S3Response::new(ListObjectsV2Output {
            contents: Some(vec![Object { key, size: Some(1), ..Default::default() }]),
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
        let mut bytes = std::mem::take(&mut *self.parts.lock().unwrap()).concat();
        if self.lie == Lie::CompleteStoresOther {
            bytes.swap(0, 20 << 20);
        }
        self.objects.lock().unwrap().insert(format!("{}/{key}", req.input.bucket), bytes.into());
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
            Lie::Redirects(..) => true,
            _ => false,
        }
    }

    async fn call(&self, req: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if let Lie::Redirects(elsewhere, status) = self.0 {
            let location = format!("http://{elsewhere}{}", req.uri.path()).parse().unwrap();
            let headers = HeaderMap::from_iter([(LOCATION, location)]);
            let mut moved = S3Response::with_headers(Body::empty(), headers);
            moved.status = Some(StatusCode::from_u16(status).unwrap());
            return Ok(moved);
        }
        // As AWS does when it fails late: the status was sent long before.
        let sorry = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n\n<Error><Code>InternalError</Code>\
                     <Message>We encountered an internal error. Please try again.</Message></Error>";
        Ok(S3Response::new(Body::from(sorry.to_owned())))
    }
}
