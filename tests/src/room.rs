//! Rooms on Janus: made, destroyed, emptied by kicks, over its own JSON on a WebSocket (videoroom plugin, Janus 1.1.2).
//! One connection per call: a room outlives the session that made it when it is not `permanent`.

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A room that this run made, and the word that destroys it.
#[derive(Debug, Clone)]
pub struct Room {
    pub id: u64,
    janus: String,
    secret: String,
}

/// What a new room is like.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Janus' `description`: the room's title.
    pub title: String,
    pub pin: Option<String>,
    pub publishers: u32,
    /// Offered to publishers, best first; Janus takes `vp8`, `h264`, ….
    pub codecs: String,
}

impl Plan {
    pub fn titled(title: &str) -> Self {
        Self { title: title.into(), pin: None, publishers: 12, codecs: "vp8,h264".into() }
    }

    #[must_use]
    pub fn pin(mut self, pin: &str) -> Self {
        self.pin = Some(pin.into());
        self
    }
}

impl Room {
    /// Makes a room with a random number on the Janus at `janus` (`ws://…`).
    ///
    /// # Errors
    /// When Janus is away or refuses.
    pub async fn create(janus: &str, plan: &Plan) -> anyhow::Result<Self> {
        Self::create_as(janus, rand::random_range(100_000..1_000_000_000), plan).await
    }

    /// A room that stands in Janus' configuration, see [`crate::servers::Janus::furnish`].
    pub(crate) fn furnished(janus: &str, id: u64) -> Self {
        Self { id, janus: janus.into(), secret: hex::encode(rand::random::<[u8; 8]>()) }
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Makes room `id`.
    ///
    /// # Errors
    /// As [`Room::create`], and when there is one of that number.
    pub async fn create_as(janus: &str, id: u64, plan: &Plan) -> anyhow::Result<Self> {
        let room = Self { id, janus: janus.into(), secret: hex::encode(rand::random::<[u8; 8]>()) };
        let mut ask = json!({
            "request": "create", "room": id, "permanent": false, "description": plan.title, "secret": room.secret,
            "publishers": plan.publishers, "notify_joining": true, "audiolevel_event": true, "bitrate": 1_000_000,
            "videocodec": plan.codecs, "audiocodec": "opus", "fir_freq": 0,
        });
        if let Some(pin) = &plan.pin {
            ask["pin"] = json!(pin);
        }
        room.ask(ask).await.context("create a room")?;
        Ok(room)
    }

    /// Destroys it: everyone inside is told and dropped.
    ///
    /// # Errors
    /// When Janus is away or the room is gone.
    pub async fn destroy(&self) -> anyhow::Result<()> {
        self.ask(json!({ "request": "destroy", "room": self.id, "secret": self.secret, "permanent": false })).await?;
        Ok(())
    }

    /// Who is inside: number and display name, publishing or not.
    ///
    /// # Errors
    /// When Janus is away or the room is gone.
    pub async fn people(&self) -> anyhow::Result<Vec<(u64, String)>> {
        let answer = self.ask(json!({ "request": "listparticipants", "room": self.id })).await?;
        let list = answer["participants"].as_array().context("a list of participants")?;
        let person = |p: &Value| Some((p["id"].as_u64()?, p["display"].as_str().unwrap_or_default().to_owned()));
        Ok(list.iter().filter_map(person).collect())
    }

    /// Throws out whoever's display name holds `name`.
    ///
    /// # Errors
    /// When nobody is called so.
    pub async fn kick(&self, name: &str) -> anyhow::Result<()> {
        let people = self.people().await?;
        let (id, _) = people.iter().find(|(_, n)| n.contains(name)).with_context(|| format!("nobody named {name}"))?;
        self.ask(json!({ "request": "kick", "room": self.id, "secret": self.secret, "id": id })).await?;
        Ok(())
    }

    async fn ask(&self, body: Value) -> anyhow::Result<Value> {
        let mut request = self.janus.as_str().into_client_request()?;
        request.headers_mut().append("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let (mut socket, _) = connect_async(request).await.with_context(|| format!("reach Janus at {}", self.janus))?;
        let session = turn(&mut socket, json!({ "janus": "create" })).await?;
        let session = &session["data"]["id"];
        let attach = json!({ "janus": "attach", "session_id": session, "plugin": "janus.plugin.videoroom" });
        let handle = turn(&mut socket, attach).await?;
        let ask = json!({ "janus": "message", "session_id": session, "handle_id": handle["data"]["id"], "body": body });
        let answer = turn(&mut socket, ask).await?;
        turn(&mut socket, json!({ "janus": "destroy", "session_id": session })).await?;
        socket.close(None).await?;
        let data = answer["plugindata"]["data"].clone();
        if let Some(error) = data.get("error") {
            bail!("Janus refuses {}: {error}", body["request"]);
        }
        Ok(data)
    }
}

/// One request and its reply; news in between is of no interest here.
async fn turn(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, mut ask: Value) -> anyhow::Result<Value> {
    let transaction = hex::encode(rand::random::<[u8; 8]>());
    ask["transaction"] = json!(transaction);
    socket.send(Message::text(ask.to_string())).await?;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let answer: Value = serde_json::from_str(&text)?;
        if answer["transaction"] == json!(transaction) && answer["janus"] != "ack" {
            return match answer["janus"].as_str() {
                Some("error") => bail!("Janus refuses {}: {}", ask["janus"], answer["error"]["reason"]),
                _ => Ok(answer),
            };
        }
    }
    bail!("Janus closed the connection")
}
