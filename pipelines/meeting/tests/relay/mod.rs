//! A Janus of 1.2 in front of one of 1.1, which says of nobody that they encrypt end to end: passes everything on, and
//! marks the offers of whom it is told to, as the later one does.

#![allow(clippy::expect_used, reason = "test support: a broken test bed ends the test")]

use std::sync::{Arc, Mutex};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::task::AbortOnDropHandle;

pub(crate) struct Relay {
    port: u16,
    /// Names of publishers.
    encrypting: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    pub(crate) async fn start(janus: String, encrypting: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let names = encrypting.iter().map(|name| (*name).to_owned()).collect();
        let encrypting = Arc::new(Mutex::new(names));
        let marked = Arc::clone(&encrypting);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, janus.clone(), Arc::clone(&marked)));
            }
        });
        Self { port, encrypting, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// From now on nobody encrypts.
    pub(crate) fn mark_nobody(&self) {
        self.encrypting.lock().expect("nothing panics under it").clear();
    }
}

async fn pass(stream: TcpStream, janus: String, encrypting: Arc<Mutex<Vec<String>>>) {
    let client = tokio_tungstenite::accept_hdr_async(stream, protocol).await.expect("the recorder speaks WebSocket");
    let mut request = janus.into_client_request().expect("a URL");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
    let (server, _) = tokio_tungstenite::connect_async(request).await.expect("janus takes connections");
    let ((to_client, from_client), (to_server, from_server)) = (client.split(), server.split());
    // Whoever hangs up first ends both.
    tokio::select! {
        () = forward(from_client, to_server, |text| text) => {}
        () = forward(from_server, to_client, |text| marked(text, &encrypting)) => {}
    }
}

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the library's own signature")]
fn protocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
    Ok(response)
}

async fn forward(
    mut from: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut to: impl Sink<Message> + Unpin,
    change: impl Fn(String) -> String,
) {
    while let Some(Ok(message)) = from.next().await {
        let message = match message {
            Message::Text(text) => Message::text(change(text.to_string())),
            other => other,
        };
        if to.send(message).await.is_err() {
            return;
        }
    }
}

fn marked(text: String, encrypting: &Mutex<Vec<String>>) -> String {
    let mut message: Value = serde_json::from_str(&text).expect("janus sends JSON");
    let of = |name: &Value| encrypting.lock().expect("nothing panics under it").iter().any(|one| name == one.as_str());
    let streams = message["plugindata"]["data"]["streams"].as_array();
    if message["jsep"]["type"] == "offer" && streams.is_some_and(|all| all.iter().any(|one| of(&one["feed_display"]))) {
        message["jsep"]["e2ee"] = json!(true);
        return message.to_string();
    }
    text
}
