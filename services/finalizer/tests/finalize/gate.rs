//! A way to a store on which one kind of request waits until it is let through. Needs tokio alone, so that other
//! packages can include this file by `#[path]`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Gate {
    address: SocketAddr,
    reached: watch::Receiver<bool>,
    open: watch::Sender<bool>,
    _relays: JoinSet<()>,
}

impl Gate {
    /// In front of `upstream` (`http://host:port`). Puts of a key that holds `key` wait.
    pub(crate) async fn before(upstream: &str, key: &'static str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, reached) = watch::channel(false);
        let (open, opened) = watch::channel(false);
        let mut relays = JoinSet::new();
        relays.spawn(async move {
            let mut each = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                each.spawn(relay(client, upstream.clone(), key, tell.clone(), opened.clone()));
            }
        });
        Self { address, reached, open, _relays: relays }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Until a request waits at the gate.
    pub(crate) async fn reached(&mut self) {
        let reached = self.reached.wait_for(|reached| *reached);
        tokio::time::timeout(Duration::from_secs(60), reached).await.expect("a request within a minute").unwrap();
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn relay(
    client: TcpStream,
    upstream: String,
    key: &str,
    tell: watch::Sender<bool>,
    mut opened: watch::Receiver<bool>,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_client.read(&mut buffer).await?;
            let line = buffer[..read].split(|byte| *byte == b'\r').next().map(String::from_utf8_lossy);
            if line.is_some_and(|line| line.starts_with("PUT ") && line.contains(key)) {
                tell.send_replace(true);
                opened.wait_for(|opened| *opened).await.map_err(io::Error::other)?;
            }
            if read == 0 {
                return to_server.shutdown().await;
            }
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    let replies = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(drop) };
    // Whichever ends first, both connections are closed by dropping them.
    tokio::select! {
        done = requests => done,
        done = replies => done,
    }
}
