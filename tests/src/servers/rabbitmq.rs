//! Debian's RabbitMQ as a child: own node name, data, port mapper and user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{free_ports, listening};
use crate::process::{Process, Program};

pub const USER: &str = "lectern";
/// Guards nothing but a broker on loopback that lives as long as one run.
const PASSWORD: &str = "only-for-this-run";

/// What Erlang nodes of one run know each other by.
const COOKIE: &str = "only-for-this-run";
/// For nodes of a cluster.
const MINORITY: &str = "cluster_partition_handling = pause_minority\n";

/// A running broker. Dropping it stops it; its folder stays for the canary scan.
#[derive(Debug)]
pub struct RabbitMq {
    node: Option<Process>,
    /// None for a node that shares another's.
    _epmd: Option<Process>,
    folder: PathBuf,
    ports: [u16; 3],
}

impl RabbitMq {
    /// Starts in `folder`, which it creates.
    ///
    /// # Errors
    /// When `rabbitmq-server` or `epmd` is not installed or does not come up.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, None, "").await
    }

    /// Starts as a further node of `first`'s cluster, on the same machine. Whatever it holds by itself is forgotten.
    ///
    /// # Errors
    /// As [`RabbitMq::start`], and when `first` does not take it in.
    pub async fn join(folder: &Path, first: &Self) -> anyhow::Result<Self> {
        let node = Self::start_with(folder, Some(first), MINORITY).await?;
        node.ctl(&["stop_app"])?;
        node.ctl(&["join_cluster", &first.name()])?;
        node.ctl(&["start_app"])?;
        Ok(node)
    }

    /// Starts as the first node of a cluster: a node that sees too few others pauses.
    ///
    /// # Errors
    /// As [`RabbitMq::start`].
    pub async fn first(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, None, MINORITY).await
    }

    async fn start_with(folder: &Path, beside: Option<&Self>, settings: &str) -> anyhow::Result<Self> {
        for name in ["home", "mnesia", "log"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let folder = folder.canonicalize()?;
        let mut ports = free_ports()?;
        if let Some(first) = beside {
            ports[2] = first.ports[2];
        }
        let [amqp, _, mapper] = ports;
        let cookie = folder.join("home/.erlang.cookie");
        if !cookie.exists() {
            fs::write(&cookie, COOKIE)?;
            fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
        }
        fs::write(folder.join("plugins"), "[].")?;
        fs::write(folder.join("env.conf"), "")?;
        fs::write(folder.join("password"), PASSWORD)?;
        fs::write(
            folder.join("rabbitmq.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
                 default_user = {USER}\n\
                 default_pass = {PASSWORD}\n\
                 log.file = false\n\
                 log.console = true\n\
                 raft.wal_max_size_bytes = 16777216\n\
                 vm_memory_high_watermark.absolute = 1GB\n\
                 disk_free_limit.absolute = 50MB\n\
                 {settings}"
            ),
        )?;
        // Before the node, which would otherwise start a daemon that nobody stops.
        let epmd = if beside.is_none() {
            let mapping = Program::new("epmd").args(["-address", "127.0.0.1", "-port", &mapper.to_string()]);
            let epmd = Process::start(mapping, &folder.join("epmd.log"))?;
            listening(&epmd, mapper).await?;
            Some(epmd)
        } else {
            None
        };
        let mut server = Self { node: None, _epmd: epmd, folder, ports };
        server.again().await?;
        Ok(server)
    }

    /// Starts over the same data and ports after [`RabbitMq::stop`].
    ///
    /// # Errors
    /// As [`RabbitMq::start`].
    pub async fn again(&mut self) -> anyhow::Result<()> {
        let [amqp, distribution, mapper] = self.ports;
        let at = |name: &str| self.folder.join(name);
        let program = Program::new("/usr/lib/rabbitmq/bin/rabbitmq-server")
            .folder(&self.folder)
            .env("HOME", at("home"))
            // The port keeps two nodes of one machine apart.
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("ERL_EPMD_PORT", mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            // Keeps /etc/rabbitmq out of it.
            .env("RABBITMQ_CONF_ENV_FILE", at("env.conf"))
            // The script becomes the Erlang VM instead of its parent; standard input is closed all the same.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            // One scheduler that does not spin: the cores belong to media.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
            );
        let node = Process::start(program, &at("server.log"))?;
        // The listeners open as the last step, when queues are there.
        listening(&node, amqp).await?;
        self.node = Some(node);
        Ok(())
    }

    /// Stops the node; durable queues stay.
    pub fn stop(&mut self) {
        self.node = None;
    }

    /// Ends the node at once, as a power cut does.
    pub fn kill(&mut self) {
        if let Some(node) = self.node.take() {
            let _ = node.kill();
        }
    }

    /// Runs `rabbitmqctl` against this node; returns what it printed.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn ctl(&self, args: &[&str]) -> anyhow::Result<String> {
        let [.., mapper] = self.ports;
        let out = std::process::Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl")
            .args(["--quiet", "--node", &self.name()])
            .args(args)
            .current_dir(&self.folder)
            .env("HOME", self.folder.join("home"))
            .env("ERL_EPMD_PORT", mapper.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", self.folder.join("env.conf"))
            .output()
            .context("run rabbitmqctl (Debian: rabbitmq-server)")?;
        let said = [out.stdout, out.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        anyhow::ensure!(out.status.success(), "rabbitmqctl {args:?}: {said}");
        Ok(said)
    }

    /// Its name among Erlang nodes.
    pub fn name(&self) -> String {
        format!("lectern{}@localhost", self.port())
    }

    /// Cuts every link between this node and `others`, at once, or lets them find each other again. Erlang nodes speak when
    /// they know the same cookie, and it is enough that one of two knows another; clients' connections are not touched.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn part(&self, others: &[&Self], parted: bool) -> anyhow::Result<()> {
        let each = others.iter().map(|other| {
            let name = other.name();
            match parted {
                true => format!("erlang:set_cookie('{name}', 'parted'), erlang:disconnect_node('{name}')"),
                false => format!("erlang:set_cookie('{name}', '{COOKIE}')"),
            }
        });
        // In one go: a cluster that is parted in part only parts the rest by itself.
        self.ctl(&["eval", &format!("{}.", each.collect::<Vec<_>>().join(", "))]).map(drop)
    }

    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// `amqp://…` without credentials.
    pub fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}/%2f", self.port())
    }

    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
