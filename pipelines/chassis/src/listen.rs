//! Connections of a service that speaks HTTP, from their first byte to their last. One that does not finish what it
//! asks is closed, so that nobody can hold a place for nothing; how long a body or an answer takes is the service's own
//! to bound.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the other side may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the head of a request, and between two requests on one connection. Players ask every three seconds.
    pub head: Duration,
    /// For answers that were begun before the end.
    pub last_answers: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(15), last_answers: Duration::from_secs(5) }
    }
}

/// After one that could not be accepted, for want of file descriptors most likely: asking at once would only burn a core.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` until `stop`.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken, patience: Patience) {
    // HTTP/1 alone: each connection is one task of ours, and the library spawns none.
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(patience.head);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(app.clone());
                let serving = server.serve_connection(TokioIo::new(stream), service).into_owned();
                connections.spawn(graceful.watch(serving));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    // Somebody on a slow line may take hours for what is being sent.
    if tokio::time::timeout(patience.last_answers, graceful.shutdown()).await.is_err() {
        tracing::info!("answers were still under way when the service stopped");
    }
    connections.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::Bytes;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const HEAD: Duration = Duration::from_millis(400);
    /// Whatever is to happen has happened by then.
    const SOON: Duration = Duration::from_secs(20);

    async fn start(app: Router, last_answers: Duration) -> (SocketAddr, CancellationToken, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, app, stop.clone(), Patience { head: HEAD, last_answers }));
        (address, stop, serving)
    }

    /// A connection that has said `words` so far.
    async fn says(to: SocketAddr, words: &str) -> TcpStream {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the other side closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut all = Vec::new();
        // A connection that is reset is closed, too.
        let _ = timeout(SOON, stream.read_to_end(&mut all)).await.expect("it is closed");
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn who_does_not_finish_what_it_asks_is_closed_and_others_are_answered_meanwhile() {
        let app = Router::new().route("/", get(async || "here")).route("/put", post(async |body: Bytes| body));
        let (address, _stop, _serving) = start(app, Duration::ZERO).await;
        let begun = Instant::now();
        let mut silent = says(address, "").await;
        let mut half = says(address, "GET / HTTP/1.1\r\nhost: here\r\nx-slow: ").await;
        let mut idle = says(address, "GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
        let mut dripping = says(address, "GET / HTTP/1.1\r\nhost: here\r\nx-slow: ").await;
        // A body that takes its time is not the head's business.
        let mut slow =
            says(address, "POST /put HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 4\r\n\r\nab").await;
        let drip = async {
            while dripping.write_all(b"x").await.is_ok() {
                sleep(HEAD / 8).await;
            }
        };
        timeout(SOON, drip).await.expect("who sends a letter at a time is closed");
        assert!(!rest(&mut silent).await.contains("200 OK"));
        assert!(!rest(&mut half).await.contains("200 OK"));
        let answered = rest(&mut idle).await;
        assert!(answered.contains("200 OK") && answered.ends_with("here"), "{answered}");
        assert!(begun.elapsed() >= HEAD, "a slow line has its time: {:?}", begun.elapsed());
        slow.write_all(b"cd").await.unwrap();
        assert!(rest(&mut slow).await.ends_with("abcd"), "a slow body was cut");
    }

    #[tokio::test]
    async fn at_the_end_answers_under_way_have_their_time_and_nobody_else() {
        for (last_answers, given) in [(SOON, true), (Duration::ZERO, false)] {
            let (asked, go) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
            let waits = (asked.clone(), go.clone());
            let app = Router::new().route(
                "/",
                get(async move || {
                    waits.0.notify_one();
                    waits.1.notified().await;
                    "at last"
                }),
            );
            let (address, stop, mut serving) = start(app, last_answers).await;
            let mut waiting = says(address, "GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
            asked.notified().await;
            stop.cancel();
            let until = Instant::now() + SOON;
            while TcpStream::connect(address).await.is_ok() {
                assert!(Instant::now() < until, "it still listens");
                sleep(Duration::from_millis(10)).await;
            }
            if given {
                go.notify_one();
            }
            assert_eq!(rest(&mut waiting).await.ends_with("at last"), given);
            timeout(SOON, serving.join_next()).await.expect("it ends").unwrap().unwrap();
        }
    }
}
