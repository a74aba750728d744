//! An S3 in this process over a folder: the store of `lectern up` and of tests. One machine, one process, plain HTTP
//! on loopback.
//!
//! # Design
//! The protocol is s3s' (parsing, signatures, XML); the folder underneath is our own, about three hundred lines.
//! `s3s-fs` 0.14 was tried first and does not carry recordings: it never syncs, so a receipt means little after a
//! power cut; it checks a condition and then writes; it keeps each ETag in a second file, so a crash can leave a new
//! object under an old ETag, which is a lost claim; the names of those files limit keys to about 150 bytes, and they
//! outlive their objects. Here an object is one file, its ETag is that file's modification time, and both change in
//! one rename.

mod folder;
mod listing;
mod s3;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use folder::Folder;

/// For requests that are under way when it stops.
const GRACE: Duration = Duration::from_secs(5);

/// It could not begin; each message ends in what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    #[error("could not use {path} as the store's folder; give this user a folder of its own")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{0} is another process' store; stop that one, or choose another folder")]
    InUse(PathBuf),
    #[error(
        "{0} keeps modification times too coarsely to tell two versions of an object apart; use ext4, xfs or btrfs"
    )]
    CoarseTimes(PathBuf),
    #[error("could not listen on {address}; choose another port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{0} can be reached from other machines, and this store speaks plain HTTP; use 127.0.0.1, or a real S3")]
    NotLoopback(SocketAddr),
}

/// Bound, and not yet serving.
pub struct Embedded {
    listener: TcpListener,
    address: SocketAddr,
    service: S3Service,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the folder, alone, and binds. Port 0 takes a free one. Requests must be signed with the two keys.
    ///
    /// # Errors
    /// See [`EmbeddedError`]; [`EmbeddedError::NotLoopback`] for any address but this machine's own.
    pub async fn bind(
        listen: SocketAddr,
        folder: &Path,
        access_key: &str,
        secret_key: &str,
    ) -> Result<Self, EmbeddedError> {
        if !listen.ip().is_loopback() {
            return Err(EmbeddedError::NotLoopback(listen));
        }
        Self::bind_exposed(listen, folder, access_key, secret_key).await
    }

    /// As `bind`, on any address. For a network of its own: whoever listens there learns who records when, and can
    /// replay a request for a quarter of an hour; the recordings are sealed.
    ///
    /// # Errors
    /// See [`EmbeddedError`].
    pub async fn bind_exposed(
        listen: SocketAddr,
        folder: &Path,
        access_key: &str,
        secret_key: &str,
    ) -> Result<Self, EmbeddedError> {
        let folder = Folder::open(folder)?;
        let mut service = S3ServiceBuilder::new(s3::FolderS3::new(folder));
        service.set_auth(SimpleAuth::from_single(access_key, secret_key));
        let refused = |source| EmbeddedError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, service: service.build() })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For [`crate::store::Config::endpoint`].
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `stop`, then lets what is under way end. Dropping the future ends all of it at once.
    pub async fn run(self, stop: CancellationToken) {
        // HTTP/1 alone: each connection is one task of ours, and the library spawns none.
        let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
        server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let serving = server.serve_connection(TokioIo::new(stream), self.service.clone()).into_owned();
                    connections.spawn(graceful.watch(serving));
                }
                Err(why) => {
                    tracing::warn!(%why, "could not accept a connection");
                    // Out of file descriptors, most likely; asking again at once would only burn a core.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still under way when the store stopped");
        }
        connections.shutdown().await;
    }
}

/// `bind` and `run` in one.
///
/// # Errors
/// As [`Embedded::bind`].
pub async fn serve(
    listen: SocketAddr,
    folder: &Path,
    access_key: &str,
    secret_key: &str,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    Embedded::bind(listen, folder, access_key, secret_key).await?.run(stop).await;
    Ok(())
}
