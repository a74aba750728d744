//! `lectern up`: every service in one process tree, for one machine.
//!
//! Starts each service as a child process of this same program, starts it again with a growing pause when it dies, and
//! on SIGTERM or Ctrl-C stops them in the order in which they depend on one another. Knows nothing of what they do.
//!
//! # Design
//! Processes, not tasks: a crash in one service (whisper.cpp is C++, say) costs that service a restart and never a
//! running recording, and one machine runs exactly what a cluster runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Result;
use chassis::Sections;
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use storage::Recipients;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// This very program, even when an upgrade has put another file in its place.
const OURSELVES: &str = "/proc/self/exe";

/// `[up]` in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// What runs on this machine.
    pub(crate) services: Vec<Service>,
    /// The embedded S3. Without it, `[store]` names a server that is already there.
    pub(crate) s3: Option<EmbeddedS3>,
    /// Seconds a service gets to finish what it has begun before it is killed.
    grace_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { services: Service::value_variants().to_vec(), s3: None, grace_seconds: 120 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbeddedS3 {
    pub(crate) listen: SocketAddr,
    /// Where the (encrypted) objects lie.
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Service {
    /// The embedded S3 server.
    S3,
    Bridge,
    Recorder,
    Finalizer,
    Transcriber,
    Origin,
    Portal,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Bridge => "bridge",
            Self::Recorder => "recorder",
            Self::Finalizer => "finalizer",
            Self::Transcriber => "transcriber",
            Self::Origin => "origin",
            Self::Portal => "portal",
        }
    }

    /// Services of a lower wave stop first: those that make work before those that take it, the store last.
    fn wave(self) -> usize {
        match self {
            Self::Bridge | Self::Recorder => 0,
            Self::Finalizer | Self::Transcriber | Self::Origin | Self::Portal => 1,
            Self::S3 => 2,
        }
    }
}

/// How the services are started.
#[derive(Debug, Clone)]
struct Launch {
    config: PathBuf,
    log: Logging,
    grace: Duration,
}

/// What the services log, and how.
#[derive(Debug, Clone)]
pub(crate) struct Logging {
    pub(crate) filter: String,
    pub(crate) json: bool,
}

/// Only the address of a service's section.
#[derive(Debug, Deserialize)]
struct Listening {
    listen: Option<SocketAddr>,
}

/// Runs until `stop`.
///
/// # Errors
/// When the configuration is wrong, with what to do.
pub(crate) async fn up(sections: &Sections, config: &Path, log: Logging, stop: CancellationToken) -> Result<()> {
    let up: Config = sections.section("up")?;
    judge(sections, &up.services)?;
    let launch = Launch { config: config.to_owned(), log, grace: Duration::from_secs(up.grace_seconds) };
    let mut services = up.services.clone();
    services.retain(|service| *service != Service::S3 || up.s3.is_some());
    services.sort_by_key(|service| std::cmp::Reverse(service.wave()));

    // One token per wave, so that a wave stops only when the one before it is gone.
    let waves = [CancellationToken::new(), CancellationToken::new(), CancellationToken::new()];
    let mut running: [JoinSet<()>; 3] = [JoinSet::new(), JoinSet::new(), JoinSet::new()];
    for service in services.iter().copied() {
        running[service.wave()].spawn(keep(service, launch.clone(), waves[service.wave()].clone()));
        if let (Service::S3, Some(s3)) = (service, &up.s3) {
            answers(s3.listen, &stop).await;
        }
    }
    for (service, name) in [(Service::Origin, "origin"), (Service::Portal, "portal")] {
        if !services.contains(&service) {
            continue;
        }
        let section = if service == Service::Origin { "origin" } else { "portal" };
        if let Some(address) = sections.section::<Listening>(section)?.listen {
            answers(address, &stop).await;
            info!(%address, "{name} answers");
        }
    }
    if !stop.is_cancelled() {
        info!("lectern is up");
    }

    stop.cancelled().await;
    for (token, mut tasks) in waves.into_iter().zip(running) {
        token.cancel();
        while tasks.join_next().await.is_some() {}
    }
    info!("lectern is down");
    Ok(())
}

/// What a service would refuse to start with is said once and before anything runs, not by its every restart.
fn judge(sections: &Sections, services: &[Service]) -> Result<()> {
    for service in services {
        match service {
            Service::Bridge => bridge::check(sections)?,
            Service::Recorder => recorder::check(sections)?,
            Service::Finalizer | Service::Transcriber => {
                Recipients::parse(&sections.section::<storage::seal::Config>("seal")?.recipients)?;
            }
            Service::Origin => drop(sections.section::<origin::Config>("origin")?),
            Service::Portal => portal::check(sections)?,
            Service::S3 => {}
        }
    }
    Ok(())
}

/// Waits until something listens at `address`, or `stop`.
async fn answers(address: SocketAddr, stop: &CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            connected = tokio::net::TcpStream::connect(address) => if connected.is_ok() { return },
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs one service until `stop`, again and again.
async fn keep(service: Service, launch: Launch, stop: CancellationToken) {
    /// A service that ran this long was healthy; its next death starts with the shortest pause again.
    const HEALTHY: Duration = Duration::from_secs(60);
    /// In milliseconds. Short enough that a recording hardly stops, long enough that a broken service does not eat a core.
    const PAUSES: [u64; 7] = [100, 500, 1_000, 2_000, 5_000, 15_000, 30_000];

    let mut deaths = 0;
    while !stop.is_cancelled() {
        let begun = tokio::time::Instant::now();
        match start(service, &launch) {
            Ok(mut child) => {
                tokio::select! {
                    status = child.wait() => report(service, status),
                    () = stop.cancelled() => return finish(service, child, launch.grace).await,
                }
            }
            Err(error) => warn!(service = service.name(), %error, "cannot start"),
        }
        deaths = if begun.elapsed() > HEALTHY { 0 } else { deaths + 1 };
        let pause = Duration::from_millis(PAUSES[deaths.min(PAUSES.len() - 1)]);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn start(service: Service, launch: &Launch) -> std::io::Result<Child> {
    let mut command = Command::new(OURSELVES);
    command
        // What process lists show.
        .arg0("lectern")
        .args(["service", service.name(), "--supervised", "--log", &launch.log.filter, "--config"])
        .arg(&launch.config);
    if launch.log.json {
        command.arg("--log-json");
    }
    // Its own process group: Ctrl-C reaches this process alone, which then stops the others in order.
    let child = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn()?;
    info!(service = service.name(), pid = child.id(), "started");
    Ok(child)
}

fn report(service: Service, status: std::io::Result<ExitStatus>) {
    match status {
        Ok(status) => warn!(service = service.name(), %status, "ended; starting it again"),
        Err(error) => warn!(service = service.name(), %error, "lost sight of it; starting it again"),
    }
}

/// Asks the service to end, and ends it when it does not.
async fn finish(service: Service, mut child: Child, grace: Duration) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // An error means that it is gone already, which is what is wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    match tokio::time::timeout(grace, child.wait()).await {
        Ok(_) => info!(service = service.name(), "stopped"),
        Err(_) => {
            warn!(service = service.name(), seconds = grace.as_secs(), "did not end in time: killed");
            // As above: gone is what is wanted.
            let _ = child.kill().await;
        }
    }
}
