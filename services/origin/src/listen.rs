//! Connections of recorders and viewers, from their first byte to their last. One that does not finish what it asks is
//! closed, so that nobody can hold a place for nothing.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// For the head of a request, and between two of them. Players ask every three seconds.
const HEAD: Duration = Duration::from_secs(15);

/// After one that could not be accepted, for want of file descriptors most likely: asking at once would only burn a core.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` until `stop`; answers that were begun before have `grace` to end.
pub(crate) async fn serve(listener: TcpListener, app: Router, stop: CancellationToken, grace: Duration) {
    // HTTP/1 alone: each connection is one task of ours, and the library spawns none.
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
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
    // A viewer on a slow line may take minutes for one segment.
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::info!("answers were still under way when the origin stopped");
    }
    connections.shutdown().await;
}
