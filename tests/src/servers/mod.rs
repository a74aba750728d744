//! The real servers a run needs, each with its own folder and free loopback ports. None is shared with the machine.

pub mod chromium;
pub mod janus;
pub mod lectern;
pub mod rabbitmq;
pub mod service;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::Context;

use crate::process::{Process, until};

pub use chromium::Chromium;
pub use janus::Janus;
pub use lectern::Lectern;
pub use rabbitmq::RabbitMq;
pub use service::Service;

/// A cold start takes a few seconds on an idle core; the cores are rarely idle.
const START: Duration = Duration::from_secs(120);

/// `N` ports that are free now. They are not ours until a server listens on them.
///
/// # Errors
/// When the system has none.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let held: Result<Vec<_>, _> = (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    let ports: Result<Vec<_>, _> = held?.iter().map(|l| l.local_addr().map(|a| a.port())).collect();
    <[u16; N]>::try_from(ports?).ok().context("as many ports as asked")
}

/// Waits until `port` takes connections; fails at once when `process` ends.
async fn listening(process: &Process, port: u16) -> anyhow::Result<()> {
    until(&format!("port {port} listens"), START, async || {
        process.check()?;
        Ok(tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok().map(drop))
    })
    .await
}
