//! A TCP relay that can lose a reply, or hold it back: the request arrives, its answer does not, or late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// How many of the next replies to lose.
    pub(crate) lose: Arc<AtomicUsize>,
    /// Replies wait while this is true.
    pub(crate) hold: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn to(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(super::loopback(0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let lose = Arc::new(AtomicUsize::new(0));
        let losing = lose.clone();
        let (hold, held) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut relays = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                relays.spawn(relay(client, upstream.clone(), losing.clone(), held.clone()));
            }
        });
        Self { address, lose, hold, task }
    }
}

async fn relay(
    client: TcpStream,
    upstream: String,
    lose: Arc<AtomicUsize>,
    mut held: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let replies = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let lost = lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if read == 0 || lost {
                return std::io::Result::Ok(());
            }
            held.wait_for(|held| !held).await.map_err(std::io::Error::other)?;
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    // Whichever ends first, both connections are closed by dropping them.
    tokio::select! {
        done = requests => done,
        done = replies => done,
    }
}
