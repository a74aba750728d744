//! The whole bridge between a real Janus and a real RabbitMQ.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

#[path = "../../../pipelines/meeting/tests/janus_server/mod.rs"]
mod janus_server;
#[path = "../../../pipelines/broker/tests/server/mod.rs"]
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Consumer, Work};
use events::{Body, Event, Meta, Platform, RecordingWanted, RoomId, SessionId, TenantId};
use futures_util::{SinkExt, StreamExt};
use janus_server::{JanusServer, Options};
use serde_json::{Value, json};
use server::Server;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, http::HeaderValue};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(60);
const SIGN: &str = "\u{23fa} Recording (Lectern)";
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

struct Bed {
    rabbit: Arc<Server>,
    janus: JanusServer,
    folder: tempfile::TempDir,
    broker: Broker,
    url: String,
}

struct Bridge {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Bridge {
    async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
    }
}

impl Bed {
    async fn lay() -> Self {
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
        let config =
            broker::Config { url: url.clone(), user: server::USER.into(), password_file: Some(rabbit.password_file()) };
        let broker = soon(Broker::connect(&config, CancellationToken::new())).await.unwrap();
        Self { rabbit, janus, folder, broker, url }
    }

    /// Starts a bridge; `empty_after` in seconds.
    fn bridge(&self, empty_after: u32) -> Bridge {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::write(at("policy.toml"), POLICY).unwrap();
        std::fs::write(at("api-secret"), "only-for-tests\n").unwrap();
        let text = format!(
            "[tenant]\nid = 'uni'\n\
             [broker]\nurl = '{}'\nuser = '{}'\npassword_file = '{}'\n\
             [bridge]\nempty_after = {empty_after}\n[bridge.janus.hall]\nexchange = 'janus-events'\n\
             [meeting.hall]\nplatform = 'janus'\nurl = '{}'\napi_secret_file = 'api-secret'\n",
            self.url,
            server::USER,
            self.rabbit.password_file().display(),
            self.janus.url(),
        );
        let sections = chassis::Sections::parse(Path::new(&at("lectern.toml")), &text).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { bridge::run(&sections, stop).await }
        });
        Bridge { stop, task }
    }

    /// Waits until every wish is settled.
    async fn answered(&self) {
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
    async fn held(&self, count: u32) {
        let vhost = self.url.rsplit('/').next().unwrap();
        let held = || self.rabbit.ctl(&["list_queues", "-p", vhost, "name", "messages_unacknowledged"]);
        soon(async {
            while !held().contains(&format!("lectern.want\t{count}")) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    async fn hears(&self, room: &str) -> Consumer {
        let tenant = TenantId::new("uni").unwrap();
        self.broker.room(&tenant, &RoomId::new(room).unwrap()).await.unwrap()
    }
}

/// Somebody in a room, without media: a WebSocket that stays open.
struct Guest {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    session: Value,
    handle: Value,
}

impl Guest {
    async fn join(janus: &JanusServer, room: u64, display: &str) -> Self {
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

    async fn leave(mut self) {
        self.ask(json!({ "janus": "message", "body": { "request": "leave" } })).await;
    }

    async fn ask(&mut self, mut request: Value) -> Value {
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

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it did not happen in time")
}

/// The next events of `kinds`, in this order and without others between.
async fn expect<const N: usize>(consumer: &mut Consumer, kinds: [&str; N]) -> [Event; N] {
    let mut got = Vec::new();
    for kind in kinds {
        let delivery = soon(consumer.next()).await.unwrap();
        assert_eq!(delivery.event.body.kind(), kind, "after {got:?}: {:?}", delivery.event);
        got.push(delivery.event.clone());
        delivery.settle().await.unwrap();
    }
    got.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lecture_is_told_and_asked_for_from_its_first_person_to_its_end() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("1234").await;
    let mut work = bed.broker.work(Work::Record, 8).await.unwrap();
    let bridge = bed.bridge(120);
    bed.janus.create_room(1234, json!({ "description": "Forelesning i fysikk" })).await;

    let kari = Guest::join(&bed.janus, 1234, "Kari Nordmann").await;
    let told = expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
    let bot = Guest::join(&bed.janus, 1234, SIGN).await;
    let ola = Guest::join(&bed.janus, 1234, "Ola").await;
    bot.leave().await;
    kari.leave().await;
    let more = expect(&mut room, ["participant.joined", "participant.left"]).await;
    bed.janus.ask(json!({ "request": "destroy", "room": 1234 })).await;
    let [ended] = expect(&mut room, ["room.ended"]).await;
    drop(ola);

    let wish = soon(work.next()).await.unwrap();
    assert_eq!(wish.event, told[2]);
    wish.settle().await.unwrap();
    let Body::RecordingRequested(wish) = &told[2].body else { panic!("{:?}", told[2]) };
    assert_eq!((wish.policy.as_str(), wish.requested_by.as_str(), wish.retention_days), ("lectures", "policy", 365));
    let (Body::ParticipantJoined(came), Body::ParticipantLeft(went)) = (&told[1].body, &more[1].body) else {
        panic!("{told:?} {more:?}")
    };
    assert_eq!(came, went, "it was Kari who came and left");
    let Body::RoomEnded(ending) = &ended.body else { panic!("{ended:?}") };
    assert_eq!(ending.reason, "destroyed");
    for event in told.iter().chain(&more).chain([&ended]) {
        assert_eq!(event.meta.session, told[0].meta.session);
        assert_eq!((event.meta.source().as_str(), event.meta.tenant.as_str()), ("/janus/hall", "uni"));
        let message = String::from_utf8(event.to_json()).unwrap();
        assert!(!["Kari", "Ola", "Forelesning"].iter().any(|name| message.contains(name)), "{message}");
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_room_ends_its_run_and_the_next_run_is_asked_for_anew() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("5").await;
    let bridge = bed.bridge(1);
    bed.janus.create_room(5, json!({ "description": "forelesning" })).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let kari = Guest::join(&bed.janus, 5, "Kari").await;
        let [started, ..] = expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
        // Gone without a word: Janus notices that the socket closed.
        drop(kari);
        let [_, ended] = expect(&mut room, ["participant.left", "room.ended"]).await;
        assert_eq!(ended.meta.session, started.meta.session);
        sessions.push(started.meta.session);
    }
    assert_ne!(sessions[0], sessions[1]);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_no_rule_records_is_told_and_not_asked_for() {
    let bed = Bed::lay().await;
    let (mut coffee, mut asked) = (bed.hears("6").await, bed.hears("77").await);
    let bridge = bed.bridge(120);
    bed.janus.create_room(6, json!({ "description": "Kaffe" })).await;
    bed.janus.create_room(77, json!({ "description": "Kollokvium" })).await;
    for (number, room) in [(6, &mut coffee), (77, &mut asked)] {
        let _guest = Guest::join(&bed.janus, number, "Kari").await;
        let _second = Guest::join(&bed.janus, number, "Ola").await;
        expect(room, ["room.started", "participant.joined", "participant.joined"]).await;
        bed.janus.ask(json!({ "request": "destroy", "room": number })).await;
        expect(room, ["room.ended"]).await;
    }
    bridge.stop().await;
}

/// What a deployment in the middle of a teaching day does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_starts_anew_finds_running_rooms_and_asks_only_for_what_is_not_recorded() {
    let bed = Bed::lay().await;
    let (mut recorded, mut missed) = (bed.hears("8").await, bed.hears("9").await);
    for room in [8, 9] {
        bed.janus.create_room(room, json!({ "description": "Forelesning" })).await;
    }
    let _kari = Guest::join(&bed.janus, 8, "Kari").await;
    let _bot = Guest::join(&bed.janus, 8, SIGN).await;
    let _ola = Guest::join(&bed.janus, 9, "Ola").await;
    let bridge = bed.bridge(120);
    expect(&mut recorded, ["room.started", "participant.joined"]).await;
    expect(&mut missed, ["room.started", "participant.joined", "recording.requested"]).await;
    // Nothing else is told of the recorded one before the next thing that happens there.
    let late = Guest::join(&bed.janus, 8, "Per").await;
    expect(&mut recorded, ["participant.joined"]).await;
    late.leave().await;
    expect(&mut recorded, ["participant.left"]).await;
    bridge.stop().await;
}

/// The wish of a person, as `lectern record start` sends it.
fn wanted(id: &str, room: &str, instance: &str) -> Event {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_recorded_when_somebody_asks_though_it_was_asked_for_before_it_opened() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("77").await;
    // No bridge runs yet: the wish waits for it, and then for its room.
    bed.broker.publish(&wanted("early", "77", "hall")).await.unwrap();
    expect(&mut room, ["recording.wanted"]).await;
    let bridge = bed.bridge(120);
    bed.janus.create_room(77, json!({ "description": "Kollokvium" })).await;
    let _kari = Guest::join(&bed.janus, 77, "Kari").await;
    let told = expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
    let Body::RecordingRequested(wish) = &told[2].body else { panic!("{:?}", told[2]) };
    assert_eq!((wish.policy.as_str(), wish.requested_by.as_str(), wish.retention_days), ("asked-for", "operator", 30));
    assert_eq!(told[2].meta.session, told[0].meta.session);

    bed.broker.publish(&wanted("again", "77", "hall")).await.unwrap();
    let [_, again] = expect(&mut room, ["recording.wanted", "recording.requested"]).await;
    assert_eq!((&again.meta.id, &again.meta.session), (&told[2].meta.id, &told[2].meta.session), "the same request");
    bed.answered().await;
    bridge.stop().await;
}

/// A server whose rooms are numbers refuses to be asked for a name, and takes "01234" for another room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_for_a_room_that_cannot_be_keeps_no_lecture_from_its_recording() {
    let bed = Bed::lay().await;
    let (mut room, mut other) = (bed.hears("1234").await, bed.hears("01234").await);
    let bridge = bed.bridge(120);
    for (id, room) in [("odd", "aula"), ("odder", "01234")] {
        bed.broker.publish(&wanted(id, room, "hall")).await.unwrap();
    }
    expect(&mut other, ["recording.wanted"]).await;
    bed.held(2).await;
    bed.janus.create_room(1234, json!({ "description": "Forelesning i kjemi" })).await;
    let _kari = Guest::join(&bed.janus, 1234, "Kari").await;
    expect(&mut room, ["room.started", "participant.joined", "recording.requested"]).await;
    let second = tokio::time::timeout(Duration::from_secs(3), other.next()).await;
    assert!(second.is_err(), "a second run of the same room: {second:?}");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_no_rule_grants_is_settled_and_one_in_anothers_name_is_parked() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("6").await;
    let bridge = bed.bridge(120);
    bed.janus.create_room(6, json!({ "description": "Kaffe" })).await;
    let _guest = Guest::join(&bed.janus, 6, "Kari").await;
    expect(&mut room, ["room.started", "participant.joined"]).await;
    bed.broker.publish(&wanted("refused", "6", "hall")).await.unwrap();
    let mut foreign = wanted("foreign", "77", "hall");
    foreign.meta.tenant = TenantId::new("other").unwrap();
    bed.broker.publish(&foreign).await.unwrap();
    soon(async {
        while bed.broker.parked_count().await.unwrap() != 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let _second = Guest::join(&bed.janus, 6, "Ola").await;
    expect(&mut room, ["recording.wanted", "participant.joined"]).await;
    bed.answered().await;
    bridge.stop().await;
}
