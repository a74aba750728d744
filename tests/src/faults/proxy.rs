//! A TCP line that can be made bad: it forwards, refuses, resets, goes silent, is late, is narrow, or breaks after so many
//! bytes; switched while connections run. In user space, so it needs no rights and disturbs nobody else.
//!
//! What it cannot do: a silent line still takes what fits into the kernel's buffers, and a refused connection is one
//! that is reset as soon as it is made; a closed port would be free for others to take.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Line {
    Open,
    /// Every connection is reset, those that run and those that come.
    Refuse,
    /// Connections stay and are made; nothing passes, not even their end.
    Hole,
    /// What is sent arrives so much later, a piece at a time.
    Late(Duration),
    /// So many bytes a second, in each direction of each connection.
    Narrow(u32),
    /// Each connection is reset after so many bytes of answers.
    Cut(u64),
}

/// What has passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    pub connections: u64,
    pub resets: u64,
    /// Bytes from clients, and to them.
    pub up: u64,
    pub down: u64,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    resets: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// A line to one server. Dropping it ends every connection on it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    /// Counts up: all that run now are reset.
    shake: watch::Sender<u64>,
    counts: Arc<Counts>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port for what is meant for `upstream`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (line, lines) = watch::channel(Line::Open);
        let (shake, shaken) = watch::channel(0);
        let counts = Arc::<Counts>::default();
        let counting = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut relays = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    Some(_) = relays.join_next() => continue,
                };
                if let Ok((client, _)) = accepted {
                    counting.connections.fetch_add(1, Ordering::Relaxed);
                    relays.spawn(relay(client, upstream, lines.clone(), shaken.clone(), Arc::clone(&counting)));
                }
            }
        });
        Ok(Self { address, line, shake, counts, _task: AbortOnDropHandle::new(task) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the line is like this.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Resets every connection that runs.
    pub fn reset(&self) {
        self.shake.send_modify(|shakes| *shakes += 1);
    }

    pub fn passed(&self) -> Passed {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { connections, resets, up, down } = &*self.counts;
        Passed { connections: read(connections), resets: read(resets), up: read(up), down: read(down) }
    }
}

async fn relay(
    mut client: TcpStream,
    upstream: SocketAddr,
    line: watch::Receiver<Line>,
    mut shaken: watch::Receiver<u64>,
    counts: Arc<Counts>,
) {
    shaken.mark_unchanged();
    let refused =
        |mut line: watch::Receiver<Line>| async move { line.wait_for(|line| *line == Line::Refuse).await.is_ok() };
    let mut reset = *line.borrow() == Line::Refuse;
    let connected = if reset {
        None
    } else {
        tokio::select! {
            _ = refused(line.clone()) => None,
            connected = TcpStream::connect(upstream) => connected.ok(),
        }
    };
    let Some(mut server) = connected else {
        counts.resets.fetch_add(1, Ordering::Relaxed);
        return abort(&client);
    };
    {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let up = pump(&mut from_client, &mut to_server, line.clone(), &counts.up, false);
        let down = pump(&mut from_server, &mut to_client, line.clone(), &counts.down, true);
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => reset = ended.is_err(),
            _ = refused(line) => reset = true,
            _ = shaken.changed() => reset = true,
        }
    }
    if reset {
        counts.resets.fetch_add(1, Ordering::Relaxed);
        abort(&client);
        abort(&server);
    }
}

/// What is closed after this tells its peer so by a reset.
fn abort(stream: &TcpStream) {
    // An error means that the peer was first.
    let _ = stream.set_zero_linger();
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut line: watch::Receiver<Line>,
    count: &AtomicU64,
    answers: bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0_u64;
    loop {
        let read = from.read(&mut buffer).await?;
        // A hole holds the end of a connection, too.
        let now = *line.wait_for(|line| *line != Line::Hole).await.map_err(std::io::Error::other)?;
        if read == 0 {
            return to.shutdown().await;
        }
        match now {
            Line::Open | Line::Refuse | Line::Hole => {}
            Line::Late(late) => tokio::time::sleep(late).await,
            Line::Narrow(rate) => {
                tokio::time::sleep(Duration::from_secs_f64(read as f64 / f64::from(rate.max(1)))).await;
            }
            Line::Cut(after) if answers && passed + read as u64 > after => {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            Line::Cut(_) => {}
        }
        to.write_all(&buffer[..read]).await?;
        passed += read as u64;
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every line with itself.
    async fn echo() -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut all = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                all.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (address, AbortOnDropHandle::new(task))
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        Ok(back)
    }

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn what_is_forwarded_arrives_and_is_counted() {
        let (server, _task) = echo().await;
        let proxy = Proxy::to(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"lecture").await.unwrap(), b"lecture");
        assert_eq!(proxy.passed(), Passed { connections: 1, resets: 0, up: 7, down: 7 });
    }

    #[tokio::test]
    async fn a_hole_holds_everything_and_lets_go_of_it_later() {
        let (server, _task) = echo().await;
        let proxy = Proxy::to(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut stream, b"one").await.unwrap();
        proxy.set(Line::Hole);
        let held = tokio::time::timeout(Duration::from_millis(300), say(&mut stream, b"two")).await;
        assert!(held.is_err(), "{held:?}");
        proxy.set(Line::Open);
        let mut back = [0; 3];
        tokio::time::timeout(SOON, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, b"two");
    }

    #[tokio::test]
    async fn refusals_shakes_and_cuts_are_resets() {
        let (server, _task) = echo().await;
        let proxy = Proxy::to(server).await.unwrap();
        let broken = |error: &std::io::Error| {
            matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
        };
        for make_bad in [Line::Refuse, Line::Cut(4), Line::Open] {
            proxy.set(Line::Open);
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(say(&mut stream, b"good").await.unwrap(), b"good");
            proxy.set(make_bad);
            if make_bad == Line::Open {
                proxy.reset();
            }
            let told = tokio::time::timeout(SOON, say(&mut stream, b"bad")).await.unwrap();
            assert!(told.as_ref().is_err_and(broken), "{make_bad:?}: {told:?}");
        }
        proxy.set(Line::Refuse);
        let refused = match TcpStream::connect(proxy.address()).await {
            Ok(mut stream) => say(&mut stream, b"x").await.map(drop),
            Err(error) => Err(error),
        };
        assert!(refused.as_ref().is_err_and(broken), "{refused:?}");
        assert_eq!(proxy.passed().resets, 4);
    }

    #[tokio::test]
    async fn late_and_narrow_lines_take_their_time() {
        let (server, _task) = echo().await;
        let proxy = Proxy::to(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        for (line, least) in [(Line::Late(Duration::from_millis(100)), 200), (Line::Narrow(100), 180)] {
            proxy.set(line);
            let begun = std::time::Instant::now();
            say(&mut stream, b"0123456789").await.unwrap();
            assert!(begun.elapsed() >= Duration::from_millis(least), "{line:?}: {:?}", begun.elapsed());
        }
    }
}
