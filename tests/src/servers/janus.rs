//! Debian's Janus as a child: VideoRoom over WebSocket on loopback, its news to our RabbitMQ.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::rabbitmq::{RabbitMq, USER};
use super::{free_ports, listening};
use crate::process::{Process, Program};
use crate::room::{Plan, Room};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/janus";
/// The exchange that Janus' event handler publishes to; `[bridge]` reads from it.
pub const EXCHANGE: &str = "janus-events";
/// Media ports per server: two per peer connection, and a room has a dozen of these.
const MEDIA_PORTS: u16 = 200;

/// A running Janus. Dropping it stops it.
#[derive(Debug)]
pub struct Janus {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
}

impl Janus {
    /// Writes a configuration into `folder` and starts. Rooms are made over the API, see [`crate::room`].
    ///
    /// # Errors
    /// When `janus` is not installed or does not come up.
    pub async fn start(folder: &Path, broker: &RabbitMq) -> anyhow::Result<Self> {
        let mut janus = Self::prepare(folder, broker)?;
        janus.again().await?;
        Ok(janus)
    }

    /// Everything but the start, for runs in which Janus is away at first.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn prepare(folder: &Path, broker: &RabbitMq) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let [port] = free_ports()?;
        let first = media_ports()?;
        let write =
            |name: &str, text: String| fs::write(folder.join(name), text).with_context(|| format!("write {name}"));
        write("janus.jcfg", core(&folder, first))?;
        write(
            "janus.transport.websockets.jcfg",
            format!(
                "general: {{ ws = true\n ws_port = {port}\n ws_ip = \"127.0.0.1\"\n wss = false\n json = \"compact\" }}\n\
                 admin: {{ admin_ws = false }}\n"
            ),
        )?;
        write("janus.plugin.videoroom.jcfg", "general: { events = true }\n".into())?;
        write(
            "janus.eventhandler.rabbitmqevh.jcfg",
            format!(
                "general: {{ enabled = true\n events = \"plugins\"\n grouping = false\n json = \"compact\"\n\
                 host = \"127.0.0.1\"\n port = {}\n username = \"{USER}\"\n password = \"{}\"\n\
                 exchange = \"{EXCHANGE}\"\n exchange_type = \"fanout\"\n route_key = \"{EXCHANGE}\"\n\
                 declare_outgoing_queue = false\n heartbeat = 10 }}\n",
                broker.port(),
                broker.password(),
            ),
        )?;
        Ok(Self { process: None, folder, port })
    }

    /// Starts, or starts again on the same port. Rooms of an earlier start are gone.
    ///
    /// # Errors
    /// As [`Janus::start`].
    pub async fn again(&mut self) -> anyhow::Result<()> {
        let program = Program::new("janus").args([
            "-F".as_ref(),
            self.folder.as_os_str(),
            "-C".as_ref(),
            self.folder.join("janus.jcfg").as_os_str(),
        ]);
        let process = Process::start(program, &self.folder.join("server.log"))?;
        listening(&process, self.port).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Has a room that is there again after every start, from the next start on.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn furnish(&self, id: u64, plan: &Plan) -> anyhow::Result<Room> {
        let room = Room::furnished(&self.url(), id);
        let text = format!(
            "general: {{ events = true }}\nroom-{id}: {{ description = \"{}\"\n secret = \"{}\"\n publishers = {}\n \
             bitrate = 1000000\n fir_freq = 0\n audiocodec = \"opus\"\n videocodec = \"{}\"\n \
             audiolevel_event = true\n notify_joining = true }}\n",
            plan.title,
            room.secret(),
            plan.publishers,
            plan.codecs,
        );
        fs::write(self.folder.join("janus.plugin.videoroom.jcfg"), text).context("write the room")?;
        Ok(room)
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = process.kill();
        }
    }

    /// `ws://…`, subprotocol `janus-protocol`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Janus wants absolute paths, and must offer loopback addresses only.
fn core(folder: &Path, first: u16) -> String {
    let folder = folder.display();
    let last = first + MEDIA_PORTS - 1;
    let but = |kind: &str, kept: &str| {
        let names = fs::read_dir(format!("{LIBRARY}/{kind}")).into_iter().flatten().flatten();
        let names = names.map(|e| e.file_name().to_string_lossy().into_owned());
        names.filter(|n| n.ends_with(".so") && n != kept).collect::<Vec<_>>().join(",")
    };
    format!(
        "general: {{ configs_folder = \"{folder}\"\n plugins_folder = \"{LIBRARY}/plugins\"\n\
         transports_folder = \"{LIBRARY}/transports\"\n events_folder = \"{LIBRARY}/events\"\n\
         loggers_folder = \"{LIBRARY}/loggers\"\n interface = \"127.0.0.1\"\n debug_level = 4\n debug_colors = false\n\
         session_timeout = 60 }}\n\
         media: {{ ipv6 = false\n rtp_port_range = \"{first}-{last}\" }}\n\
         nat: {{ ice_enforce_list = \"lo\" }}\n\
         plugins: {{ disable = \"{}\" }}\n\
         transports: {{ disable = \"{}\" }}\n\
         loggers: {{ disable = \"libjanus_jsonlog.so\" }}\n\
         events: {{ broadcast = true\n disable = \"{}\"\n stats_period = 0 }}\n",
        but("plugins", "libjanus_videoroom.so"),
        but("transports", "libjanus_websockets.so"),
        but("events", "libjanus_rabbitmqevh.so"),
    )
}

/// The first of [`MEDIA_PORTS`] neighbouring UDP ports of which the ends are free, below the system's ephemeral range.
fn media_ports() -> anyhow::Result<u16> {
    let free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let start = rand::random_range(0..50_u16);
    (0..50)
        .map(|n| 20_000 + (start + n) % 50 * MEDIA_PORTS)
        .find(|first| free(*first) && free(first + MEDIA_PORTS - 1))
        .context("no free range of UDP ports between 20000 and 30000")
}
