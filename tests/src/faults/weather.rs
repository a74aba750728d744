//! A bad network between Janus and a bot: RTP packets lost, doubled and out of order, by a seed.
//!
//! # Design
//! Janus tells its own media addresses in its signalling, so the signalling comes through us as well: each address that
//! Janus names is replaced by a port of ours, and the bot's own addresses by one where nobody is, so that no way leads
//! past us. Keys, fingerprints and media stay as they are; both ends take our ports for a NAT's. Only RTP and RTCP
//! suffer. ICE and DTLS pass, as a matrix of their own: what is measured here is media.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{accept_hdr_async, connect_async};
use tokio_util::task::AbortOnDropHandle;

/// Where nobody listens: the bot's own addresses are replaced by it.
const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
/// Longer than any packet here.
const LONGEST: usize = 4096;

/// What happens to an RTP or RTCP packet, each with its probability.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weather {
    pub lost: f64,
    /// Comes after the one behind it.
    pub late: f64,
    pub twice: f64,
}

/// What was done to packets that Janus sent to the bot, and how often the bot asked for a key frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Suffered {
    pub passed: u64,
    pub lost: u64,
    pub late: u64,
    pub twice: u64,
    pub keys_asked: u64,
}

#[derive(Debug)]
struct Shared {
    janus: String,
    weather: Mutex<(Weather, StdRng)>,
    /// Our port for each address of Janus', with the tasks that serve it.
    ports: Mutex<(HashMap<SocketAddrV4, SocketAddrV4>, JoinSet<()>)>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    passed: AtomicU64,
    lost: AtomicU64,
    late: AtomicU64,
    twice: AtomicU64,
    keys_asked: AtomicU64,
}

/// A way to one Janus. Dropping it closes it.
#[derive(Debug)]
pub struct Network {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

impl Network {
    /// Begins with good weather before the Janus at `janus` (`ws://…`).
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(janus: &str, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            janus: janus.into(),
            weather: Mutex::new((Weather::default(), StdRng::seed_from_u64(seed))),
            ports: Mutex::default(),
            counts: Counts::default(),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut all = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // What ends a connection is told by its other end.
                all.spawn(async move { drop(signal(client, shared).await) });
            }
        });
        Ok(Self { address, shared, _task: AbortOnDropHandle::new(task) })
    }

    /// For `[meeting.…].url`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub fn set(&self, weather: Weather) {
        lock(&self.shared.weather).0 = weather;
    }

    pub fn suffered(&self) -> Suffered {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { passed, lost, late, twice, keys_asked } = &self.shared.counts;
        Suffered {
            passed: read(passed),
            lost: read(lost),
            late: read(late),
            twice: read(twice),
            keys_asked: read(keys_asked),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection of signalling, both ways.
async fn signal(client: TcpStream, shared: Arc<Shared>) -> anyhow::Result<()> {
    let protocol = HeaderValue::from_static("janus-protocol");
    let chosen = protocol.clone();
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let choose = move |_: &Request, mut response: Response| {
        response.headers_mut().append("Sec-WebSocket-Protocol", chosen);
        Ok(response)
    };
    let (mut to_bot, mut from_bot) = accept_hdr_async(client, choose).await?.split();
    let mut request = shared.janus.as_str().into_client_request()?;
    request.headers_mut().append("Sec-WebSocket-Protocol", protocol);
    let (janus, _) = connect_async(request).await.context("reach Janus")?;
    let (mut to_janus, mut from_janus) = janus.split();
    let asked = async {
        while let Some(message) = from_bot.next().await {
            to_janus.send(of_bot(message?, &shared)).await?;
        }
        to_janus.close().await.map_err(anyhow::Error::from)
    };
    let answered = async {
        while let Some(message) = from_janus.next().await {
            to_bot.send(of_janus(message?, &shared).await).await?;
        }
        to_bot.close().await.map_err(anyhow::Error::from)
    };
    tokio::select! {
        ended = asked => ended,
        ended = answered => ended,
    }
}

fn of_bot(message: Message, shared: &Shared) -> Message {
    let Some(mut said) = json(&message) else { return message };
    let configures = said["body"]["request"] == "configure" && said["body"]["streams"].is_array();
    shared.counts.keys_asked.fetch_add(u64::from(configures), Ordering::Relaxed);
    let nobody = |line: &str| moved(line, NOBODY);
    if let Some(text) = said["candidate"]["candidate"].as_str().filter(|text| !text.is_empty()) {
        said["candidate"]["candidate"] = nobody(text).into();
    }
    if let Some(sdp) = said["jsep"]["sdp"].as_str() {
        said["jsep"]["sdp"] = each_candidate(sdp, nobody).into();
    }
    Message::text(said.to_string())
}

async fn of_janus(message: Message, shared: &Arc<Shared>) -> Message {
    let Some(mut said) = json(&message) else { return message };
    let sdp = said["jsep"]["sdp"].as_str().unwrap_or_default().to_owned();
    let trickled = said["candidate"]["candidate"].as_str().unwrap_or_default().to_owned();
    if sdp.is_empty() && trickled.is_empty() {
        return message;
    }
    let mut ours = HashMap::new();
    for line in sdp.lines().chain([trickled.as_str()]) {
        if let Some(address) = address(line) {
            match stand_in(address, shared).await {
                Ok(own) => drop(ours.insert(address, own)),
                Err(error) => tracing::warn!(%error, "no port for a media address"),
            }
        }
    }
    let through_us = |line: &str| moved(line, address(line).and_then(|at| ours.get(&at)).copied().unwrap_or(NOBODY));
    if !sdp.is_empty() {
        said["jsep"]["sdp"] = each_candidate(&sdp, through_us).into();
    }
    if !trickled.is_empty() {
        said["candidate"]["candidate"] = through_us(&trickled).into();
    }
    Message::text(said.to_string())
}

fn json(message: &Message) -> Option<Value> {
    let Message::Text(text) = message else { return None };
    serde_json::from_str(text).ok()
}

fn each_candidate(sdp: &str, change: impl Fn(&str) -> String) -> String {
    let line = |line: &str| if line.starts_with("a=candidate:") { change(line) } else { line.to_owned() };
    sdp.split("\r\n").map(line).collect::<Vec<_>>().join("\r\n")
}

/// Where a UDP candidate over IPv4 is (RFC 8839: foundation, component, transport, priority, address, port, …). One way is
/// enough: what leads another way leads to nobody.
fn address(candidate: &str) -> Option<SocketAddrV4> {
    let fields: Vec<_> = candidate.split(' ').collect();
    match fields.as_slice() {
        [first, _, transport, _, address, port, ..]
            if first.contains("candidate:") && transport.eq_ignore_ascii_case("udp") =>
        {
            Some(SocketAddrV4::new(address.parse().ok()?, port.parse().ok()?))
        }
        _ => None,
    }
}

/// The same candidate somewhere else.
fn moved(candidate: &str, to: SocketAddrV4) -> String {
    let mut fields: Vec<_> = candidate.split(' ').map(str::to_owned).collect();
    if let [_, _, _, _, address, at, ..] = fields.as_mut_slice() {
        *address = to.ip().to_string();
        *at = to.port().to_string();
    }
    fields.join(" ")
}

/// Our port for Janus' `address`.
async fn stand_in(address: SocketAddrV4, shared: &Arc<Shared>) -> anyhow::Result<SocketAddrV4> {
    if let Some(own) = lock(&shared.ports).0.get(&address) {
        return Ok(*own);
    }
    // Where Janus is, and no further: a bot may leave out an address of another kind.
    let socket = UdpSocket::bind((*address.ip(), 0)).await?;
    let own = SocketAddrV4::new(*address.ip(), socket.local_addr()?.port());
    let mut ports = lock(&shared.ports);
    ports.0.insert(address, own);
    ports.1.spawn(relay(Arc::new(socket), address, Arc::clone(shared)));
    Ok(own)
}

/// Everybody who sends to `socket` is somebody else to Janus, so that its answers find back.
async fn relay(socket: Arc<UdpSocket>, janus: SocketAddrV4, shared: Arc<Shared>) {
    let mut known: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut backs = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    let mut line = Bad::default();
    // An error tells of an earlier packet that nobody took.
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer).await else { continue };
        let out = match known.get(&from) {
            Some(out) => Arc::clone(out),
            None => {
                let Ok(out) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await else { continue };
                if out.connect(janus).await.is_err() {
                    continue;
                }
                let out = Arc::new(out);
                known.insert(from, Arc::clone(&out));
                backs.spawn(back(Arc::clone(&out), Arc::clone(&socket), from, Arc::clone(&shared)));
                out
            }
        };
        for packet in line.pass(&buffer[..size], &shared, false) {
            let _ = out.send(&packet).await;
        }
    }
}

async fn back(from: Arc<UdpSocket>, through: Arc<UdpSocket>, to: SocketAddr, shared: Arc<Shared>) {
    let mut buffer = vec![0; LONGEST];
    let mut line = Bad::default();
    loop {
        let Ok(size) = from.recv(&mut buffer).await else { continue };
        for packet in line.pass(&buffer[..size], &shared, true) {
            let _ = through.send_to(&packet, to).await;
        }
    }
}

/// One direction of one line, with the packet that is to come late.
#[derive(Debug, Default)]
struct Bad {
    held: Option<Vec<u8>>,
}

impl Bad {
    fn pass(&mut self, packet: &[u8], shared: &Shared, counted: bool) -> Vec<Vec<u8>> {
        let count = |count: &AtomicU64| {
            count.fetch_add(u64::from(counted), Ordering::Relaxed);
        };
        // RFC 7983: 128 to 191 is RTP and RTCP.
        if !packet.first().is_some_and(|first| (128..192).contains(first)) {
            return vec![packet.to_vec()];
        }
        let (lost, late, twice) = {
            let mut weather = lock(&shared.weather);
            let (Weather { lost, late, twice }, chance) = &mut *weather;
            (chance.random_bool(*lost), chance.random_bool(*late), chance.random_bool(*twice))
        };
        let mut out = Vec::new();
        if lost {
            count(&shared.counts.lost);
        } else if late && self.held.is_none() {
            count(&shared.counts.late);
            self.held = Some(packet.to_vec());
            return out;
        } else {
            count(&shared.counts.passed);
            out.push(packet.to_vec());
            if twice {
                count(&shared.counts.twice);
                out.push(packet.to_vec());
            }
        }
        out.extend(self.held.take());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "a=candidate:1 1 udp 2015363327 192.0.2.7 20105 typ host";

    #[test]
    fn candidates_are_found_and_moved() {
        let at = Some("192.0.2.7:20105".parse().unwrap());
        assert_eq!(address(LINE), at);
        assert_eq!(address("candidate:1 1 UDP 2015363327 192.0.2.7 20105 typ host"), at);
        assert_eq!(address("candidate:1 1 tcp 2015363327 192.0.2.7 20105 typ host"), None);
        assert_eq!(address("candidate:1 1 udp 2015363327 fe80::1 20105 typ host"), None);
        assert_eq!(address("a=mid:1 1 udp 1 1 1"), None);
        let sdp = format!("v=0\r\n{LINE}\r\na=end-of-candidates\r\n");
        let moved = each_candidate(&sdp, |line| moved(line, NOBODY));
        assert_eq!(moved, "v=0\r\na=candidate:1 1 udp 2015363327 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n");
    }

    fn shared(weather: Weather) -> Shared {
        Shared {
            janus: String::new(),
            weather: Mutex::new((weather, StdRng::seed_from_u64(7))),
            ports: Mutex::default(),
            counts: Counts::default(),
        }
    }

    #[test]
    fn packets_suffer_as_often_as_said_and_nothing_else_does() {
        let shared = shared(Weather { lost: 0.2, late: 0.1, twice: 0.1 });
        let mut line = Bad::default();
        let mut arrived = Vec::new();
        for n in 0..10_000_u16 {
            let packet = [&[0x80, 96][..], &n.to_be_bytes()].concat();
            arrived.extend(line.pass(&packet, &shared, true).into_iter().map(|p| u16::from_be_bytes([p[2], p[3]])));
            assert_eq!(line.pass(&[22, 1, 2], &shared, true), [[22, 1, 2]], "DTLS passes");
        }
        let distinct: std::collections::BTreeSet<_> = arrived.iter().collect();
        assert!((7_800..8_200).contains(&distinct.len()), "{}", distinct.len());
        assert!(arrived.len() > distinct.len() + 500, "{} of {}", arrived.len(), distinct.len());
        assert!(arrived.windows(2).filter(|pair| pair[1] < pair[0]).count() > 400);
    }

    #[test]
    fn in_good_weather_everything_arrives_in_order() {
        let shared = shared(Weather::default());
        let mut line = Bad::default();
        let sent: Vec<Vec<u8>> = (0..100).map(|n| vec![0x80, 96, 0, n]).collect();
        let arrived: Vec<_> = sent.iter().flat_map(|packet| line.pass(packet, &shared, true)).collect();
        assert_eq!(arrived, sent);
    }
}
