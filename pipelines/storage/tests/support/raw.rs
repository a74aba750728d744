//! A server that answers with whatever bytes a test wants, S3 or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves until the returned set is dropped.
pub(crate) async fn serve(answer: impl Fn(&Parts, Bytes) -> Response + Send + Sync + 'static) -> (String, JoinSet<()>) {
    let answer = Arc::new(answer);
    let app = Router::new().fallback(move |request: Request| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            answer(&parts, to_bytes(body, 64 << 20).await.unwrap())
        }
    });
    let listener = TcpListener::bind(super::loopback(0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (endpoint, tasks)
}

/// `piece` for ever, and how many bytes of it were taken.
pub(crate) fn endless(piece: Bytes, taken: &Arc<AtomicU64>) -> Body {
    let taken = taken.clone();
    Body::from_stream(stream::repeat_with(move || {
        taken.fetch_add(piece.len() as u64, Ordering::SeqCst);
        std::io::Result::Ok(piece.clone())
    }))
}
