//! A finalizer that dies at its n-th request to the store, for every n: before the request arrives, and before its answer
//! comes. The next one makes the same of it as if nothing had happened.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use claim::Phase;
use finalizer::Outcome;
use storage::{Bucket, ledger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::film::{Film, Style, pictures};
use crate::studio::Studio;

/// What becomes of the n-th request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    Unsent,
    Unanswered,
}

/// A way to a store that ends at the n-th request, for good.
struct Way {
    address: SocketAddr,
    cut: watch::Receiver<bool>,
    count: Arc<AtomicU32>,
    _relays: JoinSet<()>,
}

impl Way {
    async fn to(upstream: &str, nth: u32, how: Cut) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, cut) = watch::channel(false);
        let count = Arc::new(AtomicU32::new(0));
        let mut relays = JoinSet::new();
        let counted = Arc::clone(&count);
        relays.spawn(async move {
            let mut each = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let relay = Relay { count: Arc::clone(&counted), nth, how, tell: tell.clone() };
                each.spawn(relay.run(client, upstream.clone()));
            }
        });
        Self { address, cut, count, _relays: relays }
    }
}

struct Relay {
    count: Arc<AtomicU32>,
    nth: u32,
    how: Cut,
    tell: watch::Sender<bool>,
}

impl Relay {
    async fn run(self, client: TcpStream, upstream: String) -> io::Result<()> {
        let server = TcpStream::connect(upstream).await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let last = Arc::new(AtomicU32::new(0));
        let requests = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = from_client.read(&mut buffer).await?;
                let begins = ["GET /", "PUT /", "POST /", "HEAD /", "DELETE /"];
                if begins.iter().any(|word| buffer[..read].starts_with(word.as_bytes())) {
                    last.store(self.count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                }
                if last.load(Ordering::SeqCst) >= self.nth && (self.how == Cut::Unsent || self.is_cut()) {
                    self.end().await;
                }
                if read == 0 {
                    return to_server.shutdown().await;
                }
                to_server.write_all(&buffer[..read]).await?;
            }
        };
        let replies = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = from_server.read(&mut buffer).await?;
                if last.load(Ordering::SeqCst) >= self.nth {
                    self.end().await;
                }
                if read == 0 {
                    return Ok(());
                }
                to_client.write_all(&buffer[..read]).await?;
            }
        };
        tokio::select! {
            done = requests => done,
            done = replies => done,
        }
    }

    fn is_cut(&self) -> bool {
        *self.tell.borrow()
    }

    /// Nothing comes through any more; the finalizer is killed meanwhile.
    async fn end(&self) {
        self.tell.send_replace(true);
        std::future::pending::<()>().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_the_next_run_leaves_one_generation_and_nothing_over() {
    let film = Film::shoot(0, 60, Style::Live);
    for how in [Cut::Unsent, Cut::Unanswered] {
        let mut nth = 1;
        loop {
            let studio = Studio::open().await;
            studio.record(1, &film, Vec::new()).await;
            studio.end(1).await;
            let mut way = Way::to(studio.endpoint(), nth, how).await;
            let dying = studio.finalizer_at(format!("http://{}", way.address)).await;
            let cut = tokio::select! {
                done = dying.finalize(&studio.path) => {
                    assert!(matches!(done, Ok(Outcome::Ready { generation: 1, .. })), "{done:?}");
                    false
                }
                cut = way.cut.wait_for(|cut| *cut) => cut.is_ok(),
            };
            if !cut {
                // Its connections are warm-up and all: that many requests make a film.
                println!("{how:?}: killed at each of {} requests", way.count.load(Ordering::SeqCst));
                assert!(nth > 20, "only {nth} requests were seen: the way looks at the wrong thing");
                break;
            }
            drop(dying);
            settles(&studio, nth, how).await;
            nth += 1;
        }
    }
}

async fn settles(studio: &Studio, nth: u32, how: Cut) {
    let at = format!("{how:?} at request {nth}");
    let next = tokio::time::timeout(Duration::from_secs(60), studio.finalizer.finalize(&studio.path)).await.unwrap();
    assert!(matches!(next, Ok(Outcome::Ready { generation: 1, complete: true, .. })), "{at}: {next:?}");
    let report = studio.verify().await;
    assert_eq!((report.findings, report.notes), (Vec::new(), Vec::new()), "{at}");
    let state = studio.state().await;
    assert_eq!((state.phase, state.generation), (Phase::Ready, Some(1)), "{at}");
    let films = studio.store().list(Bucket::Media, &format!("{}final/", studio.path.prefix())).await.unwrap();
    let keys = studio.store().list(Bucket::Keys, &format!("{}f", studio.path.keys_prefix())).await.unwrap();
    assert_eq!((films.len(), keys.len()), (1, 1), "{at}");
    assert_eq!(ledger::open(studio.store(), None).await.unwrap(), [], "{at}");
    assert_eq!(pictures(&studio.open_final().await).len(), 60, "{at}");
}
