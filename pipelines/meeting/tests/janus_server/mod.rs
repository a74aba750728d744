//! A real Janus for tests: its own folder, its own ports on 127.0.0.1, ready when its WebSocket answers, stopped by
//! its process handle when dropped. Publishes nothing and joins nothing; rooms are made with [`JanusServer::ask`].

#![allow(clippy::expect_used, reason = "test support: a broken test bed ends the test")]
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::fmt::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};

/// Where Debian's package puts Janus' modules.
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/janus";

/// Janus is up in one to three seconds; a busy machine is given ten times that.
const START: Duration = Duration::from_secs(30);

/// What differs between tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Demanded with every request when set.
    pub api_secret: Option<String>,
    /// Event handlers, as file name in Janus' configuration folder (such as
    /// `janus.eventhandler.rabbitmqevh.jcfg`) and the file's text.
    pub event_handlers: Vec<(String, String)>,
    /// VideoRoom's `string_ids`: rooms and feeds are named by strings rather than numbers.
    pub string_ids: bool,
    /// Seconds after which a silent session is forgotten; Janus' 60 when not set.
    pub session_timeout: Option<u32>,
}

/// A running Janus.
#[derive(Debug)]
pub(crate) struct JanusServer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    api_secret: Option<String>,
}

impl JanusServer {
    /// Starts Janus with VideoRoom, WebSockets, and nothing else.
    ///
    /// # Panics
    /// When Janus is not installed or does not come up; the end of its log is in the message.
    pub(crate) async fn start(options: Options) -> Self {
        // The port is free when looked at and may be gone when Janus binds it: then Janus ends, and we look again.
        let mut last = String::new();
        for _ in 0..3 {
            let folder = tempfile::tempdir().expect("a folder for Janus");
            let port = free_tcp_port();
            write_config(folder.path(), port, &options);
            let mut server = Self { child: spawn(folder.path()), folder, port, api_secret: options.api_secret.clone() };
            match server.ready().await {
                Ok(()) => return server,
                Err(log) => last = log,
            }
        }
        panic!("janus does not start; the end of its log:\n{last}");
    }

    /// The address of its WebSocket API.
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Its process id, for tests that measure or signal it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills Janus in the middle of whatever it is doing, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("janus can be killed");
        self.child.wait().expect("janus can be waited for");
    }

    /// Starts it again where it was, without any room.
    ///
    /// # Panics
    /// When it does not come up; the end of its log is in the message.
    pub(crate) async fn again(&mut self) {
        self.child = spawn(self.folder.path());
        if let Err(log) = self.ready().await {
            panic!("janus does not start again; the end of its log:\n{log}");
        }
    }

    /// All that Janus has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends one synchronous VideoRoom request (`create`, `destroy`, `kick`, `moderate`, `listparticipants`, …) over
    /// a connection of its own and returns the plugin's answer.
    ///
    /// # Panics
    /// When Janus cannot be reached or the plugin answers with an error.
    pub(crate) async fn ask(&self, body: Value) -> Value {
        let answer = self.try_ask(&body).await.expect("janus answers");
        assert!(answer.get("error").is_none(), "janus refused {body}: {answer}");
        answer
    }

    /// A VideoRoom named `room` for VP8, H.264 and Opus with `extra` settings on top.
    pub(crate) async fn create_room(&self, room: impl Into<Value>, extra: Value) {
        let mut body = json!({
            "request": "create", "room": room.into(), "permanent": false, "publishers": 20,
            "videocodec": "vp8,h264", "audiocodec": "opus", "audiolevel_event": true, "notify_joining": true,
        });
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
            body.extend(extra.clone());
        }
        self.ask(body).await;
    }

    async fn ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + START;
        loop {
            if self.child.try_wait().expect("janus can be asked whether it lives").is_some() || Instant::now() > until {
                let log = self.log();
                return Err(log.chars().skip(log.chars().count().saturating_sub(3000)).collect());
            }
            if self.try_ask(&json!({"request": "list"})).await.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_ask(&self, body: &Value) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = self.url().into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        let mut session = Value::Null;
        let mut handle = Value::Null;
        let mut answer = Value::Null;
        let steps = [
            json!({"janus": "create"}),
            json!({"janus": "attach", "plugin": "janus.plugin.videoroom"}),
            json!({"janus": "message", "body": body}),
            json!({"janus": "destroy"}),
        ];
        for mut step in steps {
            let verb = step["janus"].clone();
            step["transaction"] = verb.clone();
            for (key, value) in [("session_id", &session), ("handle_id", &handle)] {
                let owned = key == "session_id" || verb == "message";
                if owned && !value.is_null() {
                    step[key] = value.clone();
                }
            }
            if let Some(secret) = &self.api_secret {
                step["apisecret"] = json!(secret);
            }
            socket.send(Message::text(step.to_string())).await?;
            let reply: Value = loop {
                let message = timeout(Duration::from_secs(10), socket.next()).await?.ok_or("janus hung up")??;
                let Message::Text(text) = message else { continue };
                let reply: Value = serde_json::from_str(&text)?;
                if reply["transaction"] == verb && reply["janus"] != "ack" {
                    break reply;
                }
            };
            match (verb.as_str(), reply["janus"].as_str()) {
                (Some("create"), Some("success")) => session = reply["data"]["id"].clone(),
                (Some("attach"), Some("success")) => handle = reply["data"]["id"].clone(),
                (Some("message"), _) => answer = reply["plugindata"]["data"].clone(),
                (Some("destroy"), _) => {}
                _ => return Err(reply.to_string().into()),
            }
        }
        Ok(answer)
    }
}

impl Drop for JanusServer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn spawn(folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("janus' log can be made");
    Command::new("janus")
        .arg("-F")
        .arg(folder)
        .arg("-C")
        .arg(folder.join("janus.jcfg"))
        .stdin(Stdio::null())
        .stderr(log.try_clone().expect("a second handle on the log"))
        .stdout(log)
        .spawn()
        .expect("janus runs (Debian: apt install janus)")
}

/// A TCP port of 127.0.0.1 that nobody listens on now.
pub(crate) fn free_tcp_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A hundred UDP ports, below the range the kernel hands out by itself, that no other instance uses.
fn free_rtp_ports() -> (u16, u16) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..120 {
        let slot = (std::process::id().wrapping_mul(17) + NEXT.fetch_add(1, Ordering::Relaxed)) % 120;
        let first = 20_000 + u16::try_from(slot).expect("120 slots") * 100;
        if (0..100).step_by(9).all(|n| UdpSocket::bind(("127.0.0.1", first + n)).is_ok()) {
            return (first, first + 99);
        }
    }
    panic!("no hundred UDP ports are free between 20000 and 32000");
}

fn write_config(folder: &Path, port: u16, options: &Options) {
    let (first, last) = free_rtp_ports();
    let at = folder.display();
    let secret = options.api_secret.as_ref().map_or(String::new(), |secret| format!("api_secret = \"{secret}\""));
    let patience = options.session_timeout.map_or(String::new(), |seconds| format!("session_timeout = {seconds}"));
    let others = |kind: &str, but: &str| {
        let mut names = String::new();
        for entry in std::fs::read_dir(format!("{MODULES}/{kind}")).expect("janus' modules (Debian: apt install janus)")
        {
            let name = entry.expect("a readable folder").file_name().to_string_lossy().into_owned();
            if name.ends_with(".so") && !name.contains(but) {
                let _ = write!(names, "{}{name}", if names.is_empty() { "" } else { "," });
            }
        }
        names
    };
    let main = format!(
        r#"general: {{
    configs_folder = "{at}"
    plugins_folder = "{MODULES}/plugins"
    transports_folder = "{MODULES}/transports"
    events_folder = "{MODULES}/events"
    loggers_folder = "{MODULES}/loggers"
    interface = "127.0.0.1"
    debug_level = 4
    {secret}
    {patience}
}}
media: {{ ipv6 = false; rtp_port_range = "{first}-{last}" }}
nat: {{ ice_enforce_list = "127.0.0.1" }}
plugins: {{ disable = "{plugins}" }}
transports: {{ disable = "{transports}" }}
events: {{ broadcast = {events}; stats_period = 5 }}
"#,
        plugins = others("plugins", "videoroom"),
        transports = others("transports", "websockets"),
        events = !options.event_handlers.is_empty(),
    );
    let websockets = format!(
        "general: {{ ws = true; ws_port = {port}; ws_ip = \"127.0.0.1\"; wss = false; json = \"compact\" }}\nadmin: {{ admin_ws = false }}\n"
    );
    let videoroom = format!("general: {{ events = true; string_ids = {} }}\n", options.string_ids);
    let mut files = vec![
        ("janus.jcfg".to_owned(), main),
        ("janus.transport.websockets.jcfg".to_owned(), websockets),
        ("janus.plugin.videoroom.jcfg".to_owned(), videoroom),
    ];
    files.extend(options.event_handlers.iter().cloned());
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("janus' configuration can be written");
    }
}
