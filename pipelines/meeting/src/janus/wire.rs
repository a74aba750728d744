//! One WebSocket to Janus: requests with their answers, events to their handles, a heartbeat. Knows nothing of rooms.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::task::AbortOnDropHandle;

use super::message::{Candidate, Jsep, Message, Notice};

/// The longest between two heartbeats; also for a Janus that does not say how soon it forgets a silent session. Its
/// default is 60 s (`session_timeout`).
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(25);

/// The shortest; Janus looks for forgotten sessions every 2 s.
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(1);

/// How long Janus may take to answer anything. Its own work is milliseconds; a busy network is not.
const ANSWER: Duration = Duration::from_secs(10);

/// One message: a full room whose people all have the longest names Janus takes.
const LONGEST: usize = 32 * 1024 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A request got no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("cannot open a WebSocket to Janus")]
    Connect(#[source] Box<tungstenite::Error>),
    #[error("the address of Janus is not a WebSocket's")]
    Address(#[source] Box<tungstenite::Error>),
    #[error("Janus did not answer within {ANSWER:?}")]
    Late,
    #[error("the connection to Janus is gone")]
    Gone,
    #[error("Janus answered with something that is no answer")]
    Nonsense,
    /// With Janus' or VideoRoom's error number.
    #[error("Janus refused with error {0}")]
    Refused(u32),
}

/// What a handle hears.
pub(crate) enum Word {
    Notice(Box<Notice>, Option<Jsep>),
    /// An address of the other side; none when there are no more.
    Candidate(Option<Candidate>),
    /// The peer connection is gone, with Janus' reason.
    Hangup(String),
    /// The handle itself is gone.
    Detached,
}

/// A session at Janus. Clones share it. The connection lives as long as its [`Link`].
#[derive(Clone)]
pub(crate) struct Session {
    orders: mpsc::UnboundedSender<Order>,
    id: Option<u64>,
    secret: Option<Arc<str>>,
}

/// The connection itself: the task that reads and writes. Dropping it hangs up.
pub(crate) struct Link {
    _task: AbortOnDropHandle<()>,
}

/// One plugin handle: a seat in a room, or one subscription.
pub(crate) struct Handle {
    session: Session,
    id: u64,
    words: mpsc::UnboundedReceiver<Word>,
}

struct Order {
    body: Value,
    answer: oneshot::Sender<Message>,
    /// For most requests `ack` only says that the answer will come.
    ack_is_answer: bool,
    /// This order attaches a handle, whose words go here.
    words: Option<mpsc::UnboundedSender<Word>>,
}

impl Session {
    /// Opens a WebSocket without a session on it.
    pub(crate) async fn connect(url: &str, secret: Option<&str>) -> Result<(Self, Link), WireError> {
        // For wss://, where nothing else in this process has chosen one; a second choice is refused and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut request = url.into_client_request().map_err(|error| WireError::Address(Box::new(error)))?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        let connecting = connect_async_with_config(request, Some(config), true);
        let (socket, _) =
            timeout(ANSWER, connecting).await.map_err(|_| WireError::Late)?.map_err(|error| match error {
                tungstenite::Error::Url(_) => WireError::Address(Box::new(error)),
                error => WireError::Connect(Box::new(error)),
            })?;
        let (orders, taken) = mpsc::unbounded_channel();
        let session = Self { orders, id: None, secret: secret.map(Arc::from) };
        let link = Link { _task: AbortOnDropHandle::new(tokio::spawn(serve(socket, taken))) };
        Ok((session, link))
    }

    /// Starts the session, and its heartbeat, which is as quick as this Janus wants it.
    pub(crate) async fn create(&mut self) -> Result<(), WireError> {
        self.info().await?;
        let created = self.request(json!({"janus": "create"})).await?;
        self.id = Some(created.data.ok_or(WireError::Nonsense)?.id);
        Ok(())
    }

    /// Asks Janus who it is; needs no session and no secret. The connection itself takes the heartbeat from the answer.
    async fn info(&self) -> Result<(), WireError> {
        self.request(json!({"janus": "info"})).await.map(|_| ())
    }

    /// A new handle on VideoRoom.
    pub(crate) async fn attach(&self) -> Result<Handle, WireError> {
        let (tell, words) = mpsc::unbounded_channel();
        let body = json!({"janus": "attach", "plugin": "janus.plugin.videoroom"});
        let attached = self.order(body, false, Some(tell)).await?;
        let id = attached.data.ok_or(WireError::Nonsense)?.id;
        Ok(Handle { session: self.clone(), id, words })
    }

    /// Ends the session with all its handles.
    pub(crate) async fn destroy(&self) -> Result<(), WireError> {
        self.request(json!({"janus": "destroy"})).await.map(|_| ())
    }

    async fn request(&self, body: Value) -> Result<Message, WireError> {
        self.order(body, false, None).await
    }

    async fn order(
        &self,
        mut body: Value,
        ack_is_answer: bool,
        words: Option<mpsc::UnboundedSender<Word>>,
    ) -> Result<Message, WireError> {
        if let Some(id) = self.id {
            body["session_id"] = json!(id);
        }
        if let Some(secret) = &self.secret {
            body["apisecret"] = json!(**secret);
        }
        let (answer, wait) = oneshot::channel();
        self.orders.send(Order { body, answer, ack_is_answer, words }).map_err(|_| WireError::Gone)?;
        let answer = timeout(ANSWER, wait).await.map_err(|_| WireError::Late)?.map_err(|_| WireError::Gone)?;
        match answer.error {
            Some(error) => Err(WireError::Refused(error.code)),
            None => Ok(answer),
        }
    }
}

impl Handle {
    /// Sends a VideoRoom request and waits for what the plugin says to it.
    pub(crate) async fn ask(&self, body: Value, jsep: Option<Jsep>) -> Result<(Notice, Option<Jsep>), WireError> {
        let mut message = json!({"janus": "message", "handle_id": self.id, "body": body});
        if let Some(jsep) = jsep {
            message["jsep"] = json!(jsep);
        }
        let answer = self.session.request(message).await?;
        let notice = notice(answer.plugindata.ok_or(WireError::Nonsense)?.data).ok_or(WireError::Nonsense)?;
        match notice.error_code {
            Some(code) => Err(WireError::Refused(code)),
            None => Ok((notice, answer.jsep)),
        }
    }

    /// Passes one of our addresses on, or that there are no more.
    pub(crate) async fn trickle(&self, candidate: Option<(u32, String)>) -> Result<(), WireError> {
        let candidate = match candidate {
            Some((mline, text)) => json!({"candidate": text, "sdpMLineIndex": mline}),
            None => json!({"completed": true}),
        };
        let body = json!({"janus": "trickle", "handle_id": self.id, "candidate": candidate});
        self.session.order(body, true, None).await.map(|_| ())
    }

    /// Gives the handle back, and with it what it subscribed to.
    pub(crate) async fn detach(self) -> Result<(), WireError> {
        self.session.request(json!({"janus": "detach", "handle_id": self.id})).await.map(|_| ())
    }

    /// The next unasked word; none when the connection is gone. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Word> {
        self.words.recv().await
    }
}

/// What a running connection knows.
#[derive(Default)]
struct Desk {
    sent: u64,
    waiting: HashMap<String, Order>,
    handles: HashMap<u64, mpsc::UnboundedSender<Word>>,
    /// Session and secret as the latest request had them: what a heartbeat must carry.
    identity: Option<(Value, Value)>,
    /// How long Janus lets a session be silent, where it has said so.
    patience: Option<Duration>,
}

/// Reads and writes until either side hangs up. Every waiting request and every handle then hears that it is over by
/// its channel's end.
async fn serve(socket: Socket, mut orders: mpsc::UnboundedReceiver<Order>) {
    let (mut write, mut read) = socket.split();
    let mut desk = Desk::default();
    let mut last_beat = Instant::now();
    let mut beat: Option<Instant> = None;
    loop {
        let late = beat.map(|at| at + ANSWER);
        let text = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => desk.take(order),
                None => break,
            },
            message = read.next() => {
                let Some(Ok(message)) = message else { break };
                if let tungstenite::Message::Text(text) = message
                    && let Ok(message) = serde_json::from_str::<Message>(&text)
                {
                    beat = None;
                    if !desk.deliver(message) {
                        break;
                    }
                }
                continue;
            }
            () = sleep_until(last_beat + desk.pace()) => {
                last_beat = Instant::now();
                let Some(text) = desk.heartbeat() else { continue };
                beat.get_or_insert(last_beat);
                text
            }
            () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => {
                tracing::warn!("Janus does not answer its heartbeat");
                break;
            }
        };
        if !matches!(timeout(ANSWER, write.send(tungstenite::Message::text(text))).await, Ok(Ok(()))) {
            break;
        }
    }
    // A polite close for those who wait for it; the answer to it is of no interest.
    let _ = timeout(Duration::from_secs(1), write.close()).await;
}

impl Desk {
    /// Numbers an order and remembers who waits for its answer.
    fn take(&mut self, mut order: Order) -> String {
        self.sent += 1;
        let transaction = format!("t{}", self.sent);
        order.body["transaction"] = json!(transaction);
        if let Some(session) = order.body.get("session_id") {
            let secret = order.body.get("apisecret").cloned().unwrap_or_default();
            self.identity = Some((session.clone(), secret));
        }
        let text = std::mem::take(&mut order.body).to_string();
        self.waiting.retain(|_, order| !order.answer.is_closed());
        self.waiting.insert(transaction, order);
        text
    }

    /// From one heartbeat to the next: two may be lost.
    fn pace(&self) -> Duration {
        let third = self.patience.map_or(LONGEST_HEARTBEAT, |patience| patience / 3);
        third.clamp(SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT)
    }

    fn heartbeat(&mut self) -> Option<String> {
        let (session, secret) = self.identity.clone()?;
        self.sent += 1;
        let mut body = json!({"janus": "keepalive", "session_id": session, "transaction": format!("t{}", self.sent)});
        if !secret.is_null() {
            body["apisecret"] = secret;
        }
        Some(body.to_string())
    }

    /// Gives a message to whom it is for. False when Janus has ended the session.
    fn deliver(&mut self, message: Message) -> bool {
        if message.janus == "timeout" {
            return false;
        }
        if let Some(seconds) = message.session_timeout {
            // None is forgotten where this is 0.
            self.patience = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        if let Some(transaction) = &message.transaction
            && let Some(order) = self.waiting.get(transaction)
        {
            if message.janus == "ack" && !order.ack_is_answer {
                return true;
            }
            if let Some(order) = self.waiting.remove(transaction) {
                if let (Some(words), Some(created)) = (order.words, &message.data) {
                    self.handles.insert(created.id, words);
                }
                // Whoever asked has given up waiting.
                let _ = order.answer.send(message);
            }
            return true;
        }
        let Some(sender) = message.sender else { return true };
        let Some(handle) = self.handles.get(&sender) else { return true };
        let detached = message.janus == "detached";
        if let Some(word) = word(message) {
            // The handle is being given back.
            let _ = handle.send(word);
        }
        if detached {
            self.handles.remove(&sender);
        }
        true
    }
}

fn word(message: Message) -> Option<Word> {
    match message.janus.as_str() {
        "event" => Some(Word::Notice(Box::new(notice(message.plugindata?.data)?), message.jsep)),
        "trickle" => Some(Word::Candidate(message.candidate.filter(|candidate| !candidate.candidate.is_empty()))),
        "hangup" => Some(Word::Hangup(message.reason.unwrap_or_default())),
        "detached" => Some(Word::Detached),
        // webrtcup, media, slowlink: we look at the media itself.
        _ => None,
    }
}

fn notice(data: Value) -> Option<Notice> {
    serde_json::from_value(data).inspect_err(|_| tracing::warn!("VideoRoom says something unheard of")).ok()
}
