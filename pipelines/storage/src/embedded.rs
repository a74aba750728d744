//! An S3 in this process over a folder, for one machine.

use std::net::SocketAddr;
use std::path::Path;

use tokio_util::sync::CancellationToken;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    #[error("could not open the store's folder")]
    Folder(#[source] std::io::Error),
    #[error("could not listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{0} is not a loopback address; put a real S3 behind TLS instead")]
    NotLoopback(SocketAddr),
}

/// A bound, not yet serving store.
#[derive(Debug)]
pub struct Embedded;

impl Embedded {
    pub async fn bind(
        _listen: SocketAddr,
        _folder: &Path,
        _access_key: &str,
        _secret_key: &str,
    ) -> Result<Self, EmbeddedError> {
        todo!()
    }
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
    /// `http://127.0.0.1:port`, for [`crate::store::Config::endpoint`].
    #[must_use]
    pub fn endpoint(&self) -> String {
        todo!()
    }
    /// Serves until `stop`, then ends its connections.
    pub async fn run(self, _stop: CancellationToken) {
        todo!()
    }
}

pub async fn serve(
    _listen: SocketAddr,
    _folder: &Path,
    _access_key: &str,
    _secret_key: &str,
    _stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    todo!()
}
