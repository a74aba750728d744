//! A store that misbehaves as told: an HTTP relay in front of a real S3, with faults by operation and key.
//!
//! It stands over a real store and passes on what no rule is about, signatures and all: what is stored is what a real
//! server stored. A store that ignores conditions is the one thing that needs words of its own: there the relay puts
//! the object itself, without the condition.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::{Bucket, Condition, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Put,
    Get,
    Head,
    List,
    Delete,
    /// A multipart upload: its beginning, a part, its end, its undoing.
    Begin,
    Part,
    Complete,
    Abort,
    /// About a bucket as a whole.
    Bucket,
}

impl Operation {
    fn of(method: &Method, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let asked = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let object = uri.path().trim_matches('/').contains('/');
        match *method {
            Method::GET if !object => Self::List,
            _ if !object => Self::Bucket,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::PUT if asked("partNumber") => Self::Part,
            Method::PUT => Self::Put,
            Method::POST if asked("uploads") => Self::Begin,
            Method::POST => Self::Complete,
            Method::DELETE if asked("uploadId") => Self::Abort,
            _ => Self::Delete,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the connection ends without an answer.
    Drop,
    /// Nothing is done; 503 SlowDown.
    SlowDown,
    /// It is done, and the connection ends without an answer.
    LoseReply,
    /// Nothing is done; 200, and an error inside.
    ErrorInside,
    /// It is done; only half of the answer's body comes.
    Truncate,
    /// It is done; one bit of the answer's body is another.
    Flip,
    /// It is done whatever the request's conditions say.
    IgnoreConditions,
    /// It is done, later.
    Slow(Duration),
    /// It is done, and the answer waits for [`Front::release`].
    Hold,
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    Always,
    /// Each time with this probability.
    Chance(f64),
    /// The first so many times.
    First(u64),
    /// The n-th time alone, from 1.
    Nth(u64),
}

/// One rule of a script. Of several that fit, the first that strikes counts.
#[derive(Debug, Clone)]
pub struct Rule {
    pub on: Vec<Operation>,
    /// Any key that holds this word.
    pub key: String,
    pub fault: Fault,
    pub when: When,
}

impl Rule {
    pub fn new(on: &[Operation], key: &str, fault: Fault, when: When) -> Self {
        Self { on: on.to_vec(), key: key.into(), fault, when }
    }
}

/// One request that was answered, or not.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    pub answered: Instant,
    pub operation: Operation,
    /// `bucket/key`.
    pub key: String,
    pub fault: Option<Fault>,
    /// None when the connection was ended instead.
    pub status: Option<u16>,
}

impl Asked {
    /// It was done and the client knows.
    pub fn done(&self) -> bool {
        self.fault != Some(Fault::ErrorInside) && self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

#[derive(Debug)]
struct Script {
    /// With how often each was met.
    rules: Vec<(Rule, u64)>,
    chance: StdRng,
}

#[derive(Debug)]
struct Inner {
    upstream: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The same store, without us between.
    straight: Store,
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    /// Counts up: whoever is held may go.
    released: watch::Sender<u64>,
    /// How many are or were held.
    held: watch::Sender<u64>,
}

/// A relay. Dropping it ends every connection.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    inner: Arc<Inner>,
    _task: AbortOnDropHandle<()>,
}

type Answer = Response<BoxBody<Bytes, io::Error>>;

impl Front {
    /// Stands before the store at `upstream`, which `straight` reaches, too. `seed` rules every chance.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(upstream: SocketAddr, straight: Store, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // A connection of its own for each request: the store may be another by the next one.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new());
        let inner = Arc::new(Inner {
            upstream,
            client,
            straight,
            script: Mutex::new(Script { rules: Vec::new(), chance: StdRng::seed_from_u64(seed) }),
            asked: Mutex::default(),
            released: watch::Sender::new(0),
            held: watch::Sender::new(0),
        });
        let serving = Arc::clone(&inner);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    Some(_) = connections.join_next() => continue,
                };
                let Ok((stream, _)) = accepted else { continue };
                let inner = Arc::clone(&serving);
                connections.spawn(async move {
                    let answer = service_fn(|request| answer(Arc::clone(&inner), request));
                    // An error is a fault that was asked for, or a client that left.
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self { address, inner, _task: AbortOnDropHandle::new(task) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, these rules and no others; what was asked before is forgotten, whoever was held may go.
    pub fn play(&self, rules: impl IntoIterator<Item = Rule>) {
        lock(&self.inner.script).rules = rules.into_iter().map(|rule| (rule, 0)).collect();
        lock(&self.inner.asked).clear();
        self.release();
    }

    /// Good again. Returns what was asked meanwhile.
    pub fn behave(&self) -> Vec<Asked> {
        lock(&self.inner.script).rules.clear();
        self.release();
        std::mem::take(&mut *lock(&self.inner.asked))
    }

    /// What was asked since the last [`Front::play`] or [`Front::behave`], by the end of each.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.inner.asked).clone()
    }

    /// Whoever is held gets its answer.
    pub fn release(&self) {
        self.inner.released.send_modify(|count| *count += 1);
    }

    /// Waits until somebody is held who was not before `seen`; returns how many were by now.
    ///
    /// # Errors
    /// When nobody is within `deadline`.
    pub async fn holds(&self, seen: u64, deadline: Duration) -> anyhow::Result<u64> {
        let mut held = self.inner.held.subscribe();
        let waited = tokio::time::timeout(deadline, held.wait_for(|count| *count > seen)).await;
        Ok(*waited.map_err(|_| anyhow::anyhow!("no request of that kind came within {deadline:?}"))??)
    }

    /// How many have been held so far.
    pub fn held(&self) -> u64 {
        *self.inner.held.borrow()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Script {
    fn strikes(&mut self, operation: Operation, key: &str) -> Option<Fault> {
        for (rule, met) in &mut self.rules {
            if !rule.on.contains(&operation) || !key.contains(&rule.key) {
                continue;
            }
            *met += 1;
            let strikes = match rule.when {
                When::Always => true,
                When::Chance(part) => self.chance.random_bool(part),
                When::First(many) => *met <= many,
                When::Nth(which) => *met == which,
            };
            if strikes {
                return Some(rule.fault);
            }
        }
        None
    }
}

/// An error ends the connection.
async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Answer, io::Error> {
    let at = Instant::now();
    let operation = Operation::of(request.method(), request.uri());
    let key = request.uri().path().trim_start_matches('/').to_owned();
    let fault = lock(&inner.script).strikes(operation, &key);
    let answered = disturbed(&inner, request, operation, &key, fault).await;
    let status = answered.as_ref().ok().map(|answer| answer.status().as_u16());
    lock(&inner.asked).push(Asked { at, answered: Instant::now(), operation, key, fault, status });
    answered
}

async fn disturbed(
    inner: &Inner,
    request: Request<Incoming>,
    operation: Operation,
    key: &str,
    fault: Option<Fault>,
) -> Result<Answer, io::Error> {
    let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    match fault {
        Some(Fault::Drop) => return Err(gone()),
        Some(Fault::SlowDown) => return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        Some(Fault::ErrorInside) => return error(StatusCode::OK, "InternalError"),
        Some(Fault::IgnoreConditions)
            if operation == Operation::Put
                && [IF_MATCH, IF_NONE_MATCH].iter().any(|name| parts.headers.contains_key(name)) =>
        {
            return put_anyway(inner, key, body).await;
        }
        Some(Fault::Slow(late)) => tokio::time::sleep(late).await,
        _ => {}
    }
    let mut forward = Request::from_parts(parts, Full::new(body));
    let path = forward.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *forward.uri_mut() = format!("http://{}{path}", inner.upstream).parse().map_err(io::Error::other)?;
    // Answered by us already, and none of the store's business.
    forward.headers_mut().remove(hyper::header::EXPECT);
    forward.headers_mut().remove(hyper::header::CONNECTION);
    let (mut parts, body) = inner.client.request(forward).await.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    // Hyper frames the answer anew.
    for name in ["connection", "transfer-encoding"] {
        parts.headers.remove(HeaderName::from_static(name));
    }
    let whole = |body: Bytes| Full::new(body).map_err(|never: Infallible| match never {}).boxed();
    let body = match fault {
        Some(Fault::LoseReply) => return Err(gone()),
        Some(Fault::Truncate) if body.len() > 1 => {
            let half: VecDeque<_> = [Ok(Frame::data(body.slice(..body.len() / 2))), Err(gone())].into();
            StreamBody::new(stream::iter(half)).boxed()
        }
        Some(Fault::Flip) if !body.is_empty() => {
            let mut bytes = body.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            whole(bytes.into())
        }
        Some(Fault::Hold) => {
            let mut released = inner.released.subscribe();
            released.mark_unchanged();
            inner.held.send_modify(|count| *count += 1);
            released.changed().await.map_err(io::Error::other)?;
            whole(body)
        }
        _ => whole(body),
    };
    Ok(Response::from_parts(parts, body))
}

/// What AWS says, in its own words.
fn error(status: StatusCode, code: &str) -> Result<Answer, io::Error> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>as asked for</Message></Error>"
    );
    let body = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed();
    let answer = Response::builder().status(status).header(CONTENT_TYPE, "application/xml").body(body);
    answer.map_err(io::Error::other)
}

async fn put_anyway(inner: &Inner, key: &str, body: Bytes) -> Result<Answer, io::Error> {
    let (bucket, key) = key.split_once('/').ok_or_else(|| io::Error::other("an object without a bucket"))?;
    let bucket = if bucket == KEYS { Bucket::Keys } else { Bucket::Media };
    let receipt = inner.straight.put(bucket, key, body, Condition::None).await.map_err(io::Error::other)?;
    let etag = format!("\"{}\"", receipt.etag.trim_matches('"'));
    let answer = Response::builder().status(StatusCode::OK).header(ETAG, etag).header(CONTENT_LENGTH, 0);
    let body = Full::new(Bytes::new()).map_err(|never: Infallible| match never {}).boxed();
    answer.body(body).map_err(io::Error::other)
}

/// `[store].keys_bucket`, by its default.
const KEYS: &str = "lectern-keys";

#[cfg(test)]
mod tests {
    use storage::StoreError;
    use storage::embedded::Embedded;
    use tokio_util::sync::CancellationToken;

    use super::*;

    struct Rig {
        front: Front,
        store: Store,
        _folder: tempfile::TempDir,
        _serving: AbortOnDropHandle<()>,
    }

    async fn rig(seed: u64) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let embedded =
            Embedded::bind((Ipv4Addr::LOCALHOST, 0).into(), &folder.path().join("s3"), "a", "b-secret").await;
        let embedded = embedded.unwrap();
        let address = embedded.address();
        let serving = AbortOnDropHandle::new(tokio::spawn(embedded.run(CancellationToken::new())));
        let config = |port: SocketAddr| {
            for (name, word) in [("access", "a"), ("secret", "b-secret")] {
                std::fs::write(folder.path().join(name), word).unwrap();
            }
            storage::store::Config {
                endpoint: Some(format!("http://{port}")),
                access_key_file: Some(folder.path().join("access")),
                secret_key_file: Some(folder.path().join("secret")),
                create_buckets: true,
                ..storage::store::Config::default()
            }
        };
        let straight = Store::connect(&config(address)).await.unwrap();
        let front = Front::to(address, straight, seed).await.unwrap();
        let store = Store::connect(&config(front.address())).await.unwrap();
        Rig { front, store, _folder: folder, _serving: serving }
    }

    const ONE: Bytes = Bytes::from_static(b"one");

    #[tokio::test]
    async fn without_rules_it_is_the_store_itself() {
        let rig = rig(1).await;
        rig.store.check().await.unwrap();
        let key = "v1/test/2026/x/a b+c~%";
        rig.store.put(Bucket::Media, key, ONE, Condition::Absent).await.unwrap();
        assert_eq!(rig.store.get(Bucket::Media, key, 10).await.unwrap().0, ONE);
        assert_eq!(rig.store.get_range(Bucket::Media, key, 1..3).await.unwrap(), ONE.slice(1..3));
        assert_eq!(rig.store.list(Bucket::Media, "v1/").await.unwrap().len(), 1);
        let again = rig.store.put(Bucket::Media, key, Bytes::from_static(b"two"), Condition::Absent).await;
        assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
        let mut upload = rig.store.upload(Bucket::Media, "long").await.unwrap();
        upload.write(Bytes::from(vec![7; 17 << 20])).await.unwrap();
        assert_eq!(upload.finish().await.unwrap().size, 17 << 20);
    }

    #[tokio::test]
    async fn each_fault_strikes_where_it_is_told_to_and_nowhere_else() {
        use Operation::{Get, Put};
        let rig = rig(2).await;
        let (front, store) = (&rig.front, &rig.store);
        let put = async |key: &str| store.put(Bucket::Media, key, ONE, Condition::None).await;

        front.play([Rule::new(&[Put], "x", Fault::SlowDown, When::Nth(2))]);
        let busy = |put: &Result<_, StoreError>| matches!(put, Err(StoreError::Busy { .. }));
        // What is there already counts as put: each is another.
        let tried = [put("x").await, put("x2").await, put("x3").await, put("y").await];
        assert_eq!(tried.each_ref().map(busy), [false, true, false, false]);

        front.play([Rule::new(&[Put], "z", Fault::Drop, When::Always)]);
        assert!(put("z").await.is_err_and(|why| why.is_passing()));
        assert!(matches!(store.get(Bucket::Media, "z", 10).await, Err(StoreError::Missing { .. })));

        front.play([Rule::new(&[Get], "x", Fault::Flip, When::Always)]);
        assert_ne!(store.get(Bucket::Media, "x", 10).await.unwrap().0, ONE);
        front.play([Rule::new(&[Get], "x", Fault::Truncate, When::Always)]);
        assert!(store.get(Bucket::Media, "x", 10).await.is_err());

        front.play([Rule::new(&[Put], "", Fault::IgnoreConditions, When::Always)]);
        store.put(Bucket::Media, "x", Bytes::from_static(b"two"), Condition::Absent).await.unwrap();
        let refused = store.check().await.unwrap_err().to_string();
        assert!(refused.contains("writers create"), "{refused}");

        // The reply is lost and the object is there; the client finds that out by itself.
        front.play([Rule::new(&[Put], "w", Fault::LoseReply, When::First(1))]);
        put("w").await.unwrap();
        let lost: Vec<_> = front.behave().into_iter().filter(|a| a.fault.is_some()).collect();
        assert_eq!((lost.len(), lost[0].status), (1, None));
        assert_eq!(store.get(Bucket::Media, "w", 10).await.unwrap().0, ONE);
    }

    #[tokio::test]
    async fn whoever_is_held_goes_on_when_released() {
        let rig = rig(3).await;
        rig.front.play([Rule::new(&[Operation::Put], "h", Fault::Hold, When::First(1))]);
        let store = rig.store.clone();
        let putting = tokio::spawn(async move { store.put(Bucket::Media, "h", ONE, Condition::None).await });
        rig.front.holds(0, Duration::from_secs(20)).await.unwrap();
        // It is done all the same.
        assert_eq!(rig.store.get(Bucket::Media, "h", 10).await.unwrap().0, ONE);
        assert!(!putting.is_finished());
        rig.front.release();
        putting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_same_seed_strikes_alike() {
        let mut struck = Vec::new();
        for _ in 0..2 {
            let rig = rig(4).await;
            rig.front.play([Rule::new(&[Operation::Put], "", Fault::SlowDown, When::Chance(0.5))]);
            let mut pattern = String::new();
            for n in 0..16 {
                let put = rig.store.put(Bucket::Media, &format!("k{n}"), ONE, Condition::None).await;
                pattern.push(if put.is_ok() { '.' } else { 'x' });
            }
            assert!(pattern.contains('.') && pattern.contains('x'), "{pattern}");
            struck.push(pattern);
        }
        assert_eq!(struck[0], struck[1]);
    }
}
