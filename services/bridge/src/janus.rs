//! What a Janus server itself says of its rooms, over its WebSocket API: which there are, their titles, who is in them.
//! One short visit at a time; no session is kept, so none can be lost.

use std::time::Duration;

use events::RoomId;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::config::Server;
use crate::news::{participant, plain};
use crate::rooms::Presence;

/// Janus answers within milliseconds; past this it is not well, and the next look comes soon.
const ANSWER: Duration = Duration::from_secs(5);
/// A list of ten thousand rooms.
const LONGEST: usize = 16 * 1024 * 1024;

/// `janus_videoroom.c`: JANUS_VIDEOROOM_ERROR_NO_SUCH_ROOM.
const NO_SUCH_ROOM: i64 = 426;
/// `janus_videoroom.c`: JANUS_VIDEOROOM_ERROR_INVALID_ELEMENT, said of a number where ids are strings.
const INVALID_ELEMENT: i64 = 430;

/// A visit failed. Nothing of what Janus said is repeated but its error number.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitError {
    #[error("cannot reach Janus; is it running, and is url of [meeting] right?")]
    Unreachable(#[source] Box<tungstenite::Error>),
    #[error("Janus did not answer within {ANSWER:?}")]
    Late,
    #[error("Janus hung up")]
    Gone,
    #[error("Janus refused with error {0}; 403 asks for another api_secret_file")]
    Refused(i64),
    #[error("Janus answered with something that is no answer")]
    Nonsense,
}

/// A room as listed. Private rooms are in no list.
pub(crate) struct Listed {
    pub(crate) room: RoomId,
    /// Janus calls it description.
    pub(crate) title: Option<String>,
    pub(crate) people: u64,
}

/// A session with a handle on VideoRoom.
pub(crate) struct Visit {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    secret: Option<String>,
    sign: String,
    session: Option<u64>,
    handle: Option<u64>,
    requests: u32,
}

impl Visit {
    pub(crate) async fn begin(server: &Server) -> Result<Self, VisitError> {
        let unreachable = |e| VisitError::Unreachable(Box::new(e));
        let mut request = server.url.as_str().into_client_request().map_err(unreachable)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let limits = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        let connecting = connect_async_with_config(request, Some(limits), true);
        let connected = tokio::time::timeout(ANSWER, connecting).await.map_err(|_| VisitError::Late)?;
        let (socket, _) = connected.map_err(unreachable)?;
        let (secret, sign) = (server.secret.clone(), server.sign.clone());
        let mut visit = Self { socket, secret, sign, session: None, handle: None, requests: 0 };
        visit.session = Some(visit.made(json!({ "janus": "create" })).await?);
        visit.handle = Some(visit.made(json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" })).await?);
        Ok(visit)
    }

    /// Every room that is not private.
    pub(crate) async fn rooms(&mut self) -> Result<Vec<Listed>, VisitError> {
        let answer = self.ask(json!({ "request": "list" })).await?;
        let list = answer["list"].as_array().ok_or(VisitError::Nonsense)?;
        let listed = |entry: &Value| {
            let room = RoomId::new(plain(&entry["room"])?).ok()?;
            let title = entry["description"].as_str().map(str::to_owned);
            Some(Listed { room, title, people: entry["num_participants"].as_u64().unwrap_or(0) })
        };
        Ok(list.iter().filter_map(listed).collect())
    }

    /// Who is in `room`; None when there is no such room.
    pub(crate) async fn presence(&mut self, room: &RoomId) -> Result<Option<Presence>, VisitError> {
        let ask = |room: Value| json!({ "request": "listparticipants", "room": room });
        // "007" is another room than 7.
        let number = room.as_str().parse::<u64>().ok().filter(|number| number.to_string() == room.as_str());
        let answer = match number {
            Some(number) => match self.ask(ask(number.into())).await {
                Err(VisitError::Refused(INVALID_ELEMENT)) => self.ask(ask(room.as_str().into())).await,
                answer => answer,
            },
            None => self.ask(ask(room.as_str().into())).await,
        };
        let answer = match answer {
            // A server whose rooms are numbers has none by a name, whoever may have wished for it.
            Err(VisitError::Refused(NO_SUCH_ROOM | INVALID_ELEMENT)) => return Ok(None),
            answer => answer?,
        };
        let mut presence = Presence::default();
        for person in answer["participants"].as_array().ok_or(VisitError::Nonsense)? {
            let ours = person["display"].as_str().is_some_and(|display| display.starts_with(&self.sign));
            if ours {
                presence.bot = true;
            } else if let Some(who) = participant(&person["id"]) {
                presence.people.insert(who, person["publisher"].as_bool().unwrap_or(false));
            }
        }
        Ok(Some(presence))
    }

    /// Takes leave. Without it Janus would keep the session for a minute.
    pub(crate) async fn end(mut self) {
        let _ = self.request(json!({ "janus": "destroy" })).await;
    }

    async fn made(&mut self, request: Value) -> Result<u64, VisitError> {
        self.request(request).await?["data"]["id"].as_u64().ok_or(VisitError::Nonsense)
    }

    /// One question to the plugin.
    async fn ask(&mut self, body: Value) -> Result<Value, VisitError> {
        let mut answer = self.request(json!({ "janus": "message", "body": body })).await?;
        let data = answer["plugindata"]["data"].take();
        match data["error_code"].as_i64() {
            Some(code) => Err(VisitError::Refused(code)),
            None => Ok(data),
        }
    }

    async fn request(&mut self, mut request: Value) -> Result<Value, VisitError> {
        self.requests += 1;
        let transaction = self.requests.to_string();
        request["transaction"] = transaction.as_str().into();
        for (name, value) in [("session_id", self.session), ("handle_id", self.handle)] {
            if let Some(id) = value {
                request[name] = id.into();
            }
        }
        if let Some(secret) = &self.secret {
            request["apisecret"] = secret.as_str().into();
        }
        let answered = async {
            let gone = |_| VisitError::Gone;
            self.socket.send(Message::text(request.to_string())).await.map_err(gone)?;
            loop {
                let message = self.socket.next().await.ok_or(VisitError::Gone)?.map_err(gone)?;
                let Message::Text(text) = message else { continue };
                let answer: Value = serde_json::from_str(&text).map_err(|_| VisitError::Nonsense)?;
                if answer["transaction"] == transaction.as_str() && answer["janus"] != "ack" {
                    return Ok(answer);
                }
            }
        };
        let answer: Value = tokio::time::timeout(ANSWER, answered).await.map_err(|_| VisitError::Late)??;
        match answer["janus"].as_str() {
            Some("error") => Err(VisitError::Refused(answer["error"]["code"].as_i64().unwrap_or(0))),
            Some(_) => Ok(answer),
            None => Err(VisitError::Nonsense),
        }
    }
}
