//! A bridge between a real Janus and a real RabbitMQ, and people in its rooms.
#![allow(dead_code)] // Each test file uses a part.

use std::sync::Arc;
use std::time::Duration;

use crate::janus_server::{JanusServer, Options};
use crate::server::{self, Server};
use broker::{Broker, Consumer};
use events::{Body, Event, Meta, Platform, RecordingWanted, RoomId, SessionId, TenantId};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, http::HeaderValue};
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const SIGN: &str = "\u{23fa} Recording (Lectern)";
const POLICY: &str = "
    [[rule]]
    id = 'lectures'
    title = '(?i)^forelesning'
    language = 'nb'
    retention_days = 365
    basis = 'public-task'
    [[rule]]
    id = 'asked-for'
    room = ['77', 'aula', '01234']
    on_request = true
    language = 'nb'
    retention_days = 30
    basis = 'consent'
";

pub(crate) struct Bed {
    pub(crate) rabbit: Arc<Server>,
    pub(crate) janus: JanusServer,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) broker: Broker,
    pub(crate) url: String,
}

pub(crate) struct Bridge {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Bridge {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
    }
}

impl Bridge {
    /// As `kill -9` does: nothing is said or written any more.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Bed {
    pub(crate) async fn lay() -> Self {
        let rabbit = Server::shared();
        let url = rabbit.fresh_url();
        let vhost = url.rsplit('/').next().unwrap();
        // Statistics and all the rest, too: the bridge is to turn them away.
        let handler = format!(
            "general: {{ enabled = true\n events = \"all\"\n grouping = false\n json = \"compact\"\n host = \"127.0.0.1\"\n\
             port = {}\n vhost = \"{vhost}\"\n username = \"{}\"\n password = \"{}\"\n exchange = \"janus-events\"\n\
             exchange_type = \"fanout\"\n route_key = \"janus-events\" }}\n",
            rabbit.port(),
            server::USER,
            server::PASSWORD,
        );
        let handlers = vec![("janus.eventhandler.rabbitmqevh.jcfg".to_owned(), handler)];
        let options =
            Options { event_handlers: handlers, api_secret: Some("only-for-tests".into()), ..Options::default() };
        let janus = JanusServer::start(options).await;
        let folder = tempfile::tempdir().unwrap();
        let config = broker::Config {
            url: url.clone(),
            user: server::USER.into(),
            password_file: Some(rabbit.password_file()),
            ..broker::Config::default()
        };
        let broker = soon(Broker::connect(&config, CancellationToken::new())).await.unwrap();
        Self { rabbit, janus, folder, broker, url }
    }

    /// Starts a bridge; `empty_after` in seconds.
    pub(crate) fn bridge(&self, empty_after: u32) -> Bridge {
        let sections =
            chassis::Sections::parse(&self.folder.path().join("lectern.toml"), &self.config(empty_after)).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { bridge::run(&sections, stop).await }
        });
        Bridge { stop, task }
    }

    /// What the bridge is told, with the files it names.
    pub(crate) fn config(&self, empty_after: u32) -> String {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::write(at("policy.toml"), POLICY).unwrap();
        std::fs::write(at("api-secret"), "only-for-tests\n").unwrap();
        format!(
            "[tenant]\nid = 'uni'\n\
             [broker]\nurl = '{}'\nuser = '{}'\npassword_file = '{}'\n\
             [bridge]\nempty_after = {empty_after}\n[bridge.janus.hall]\nexchange = 'janus-events'\n\
             [meeting.hall]\nplatform = 'janus'\nurl = '{}'\napi_secret_file = 'api-secret'\n",
            self.url,
            server::USER,
            self.rabbit.password_file().display(),
            self.janus.url(),
        )
    }

    /// Waits until every wish is settled.
    pub(crate) async fn answered(&self) {
        let vhost = self.url.rsplit('/').next().unwrap();
        let waiting = || self.rabbit.ctl(&["list_queues", "-p", vhost, "name", "messages"]);
        soon(async {
            while !waiting().contains("lectern.want\t0") {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    /// Waits until the bridge has taken in `count` wishes and answered none.
    pub(crate) async fn held(&self, count: u32) {
        let vhost = self.url.rsplit('/').next().unwrap();
        let held = || self.rabbit.ctl(&["list_queues", "-p", vhost, "name", "messages_unacknowledged"]);
        soon(async {
            while !held().contains(&format!("lectern.want\t{count}")) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    /// Waits until so many messages are parked.
    pub(crate) async fn parked(&self, count: u32) {
        soon(async {
            while self.broker.parked_count().await.unwrap() != count {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// A message of Janus' event handler, as `tests/news` has them.
    pub(crate) fn news(&self, room: &str, what: &str, who: u64, at: u64) -> String {
        let room: u64 = room.parse().unwrap();
        let data = json!({ "event": what, "room": room, "id": who, "private_id": 1 });
        let event = json!({ "plugin": "janus.plugin.videoroom", "data": data });
        json!({ "emitter": "MyJanusInstance", "type": 64, "timestamp": at, "event": event }).to_string()
    }

    /// Says `news` as Janus would.
    pub(crate) async fn tell(&self, news: &str) {
        self.say("janus-events", "janus-events", news.as_bytes()).await;
    }

    /// Publishes a wish as it is.
    pub(crate) async fn tell_wish(&self, message: &Value) {
        let key = "uni.janus.recording.wanted.".to_owned() + &events::room_key(&RoomId::new("77").unwrap());
        self.say("meetings.commands", &key, message.to_string().as_bytes()).await;
    }

    async fn say(&self, exchange: &str, key: &str, message: &[u8]) {
        let options = lapin::options::BasicPublishOptions::default();
        let channel = self.stranger().await;
        channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
        let sent = channel.basic_publish(
            exchange.into(),
            key.into(),
            options,
            message,
            lapin::protocol::BasicProperties::default(),
        );
        sent.await.unwrap().await.unwrap();
    }

    /// A client that is not ours.
    pub(crate) async fn stranger(&self) -> lapin::Channel {
        let url = self.url.replace("//", &format!("//{}:{}@", server::USER, server::PASSWORD));
        let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
        connection.create_channel().await.unwrap()
    }

    pub(crate) async fn hears(&self, room: &str) -> Consumer {
        let tenant = TenantId::new("uni").unwrap();
        self.broker.room(&tenant, &RoomId::new(room).unwrap()).await.unwrap()
    }
}

/// Somebody in a room, without media: a WebSocket that stays open.
pub(crate) struct Guest {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    session: Value,
    handle: Value,
}

impl Guest {
    pub(crate) async fn join(janus: &JanusServer, room: u64, display: &str) -> Self {
        let mut request = janus.url().into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut guest = Self { socket, session: Value::Null, handle: Value::Null };
        guest.session = guest.ask(json!({ "janus": "create" })).await["data"]["id"].clone();
        let attach = json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" });
        guest.handle = guest.ask(attach).await["data"]["id"].clone();
        let join = json!({ "request": "join", "ptype": "publisher", "room": room, "display": display });
        let joined = guest.ask(json!({ "janus": "message", "body": join })).await;
        assert_eq!(joined["plugindata"]["data"]["videoroom"], "joined", "{joined}");
        guest
    }

    pub(crate) async fn leave(mut self) {
        self.ask(json!({ "janus": "message", "body": { "request": "leave" } })).await;
    }

    pub(crate) async fn ask(&mut self, mut request: Value) -> Value {
        request["transaction"] = "t".into();
        request["apisecret"] = "only-for-tests".into();
        for (name, id) in [("session_id", &self.session), ("handle_id", &self.handle)] {
            if !id.is_null() {
                request[name] = id.clone();
            }
        }
        self.socket.send(Message::text(request.to_string())).await.unwrap();
        loop {
            let Message::Text(text) = soon(self.socket.next()).await.unwrap().unwrap() else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["transaction"] == "t" && answer["janus"] != "ack" {
                return answer;
            }
        }
    }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it did not happen in time")
}

/// The next events of `kinds`, in this order and without others between.
pub(crate) async fn expect<const N: usize>(consumer: &mut Consumer, kinds: [&str; N]) -> [Event; N] {
    let mut got = Vec::new();
    for kind in kinds {
        let delivery = soon(consumer.next()).await.unwrap();
        assert_eq!(delivery.event.body.kind(), kind, "after {got:?}: {:?}", delivery.event);
        got.push(delivery.event.clone());
        delivery.settle().await.unwrap();
    }
    got.try_into().unwrap()
}

/// The wish of a person, as `lectern record start` sends it.
pub(crate) fn wanted(id: &str, room: &str, instance: &str) -> Event {
    let meta = Meta {
        id: id.into(),
        platform: Platform::Janus,
        instance: instance.into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new(room).unwrap(),
        session: SessionId::new(id).unwrap(),
        time: OffsetDateTime::now_utc().format(&Rfc3339).unwrap(),
    };
    Event { meta, body: Body::RecordingWanted(RecordingWanted { policy: None, requested_by: "operator".into() }) }
}
