//! Chromium through chromedriver: each [`Chromium::open`] is a browser of its own with a fresh profile.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use super::{free_ports, listening};
use crate::process::{Process, Program};

/// Quiet, offline, without a GPU. Loopback candidates must be real addresses: our Janus knows no mDNS names.
const FLAGS: [&str; 16] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-features=WebRtcHideLocalIpsWithMdns,Translate,MediaRouter,OptimizationHints",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
];

/// A running chromedriver. Dropping it ends every browser it opened.
#[derive(Debug)]
pub struct Chromium {
    driver: Process,
    port: u16,
    profiles: PathBuf,
}

impl Chromium {
    /// `folder` holds profiles and the driver's log.
    ///
    /// # Errors
    /// When `chromedriver` is not installed or does not come up.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let profiles = folder.join("profiles");
        fs::create_dir_all(&profiles)?;
        let [port] = free_ports()?;
        let program = Program::new("chromedriver")
            .args([format!("--port={port}"), "--allowed-ips=127.0.0.1".into()])
            // Debian's start script compares sizes with an empty HOME otherwise, and writes into it.
            .env("HOME", folder);
        let driver = Process::start(program, &folder.join("chromedriver.log"))?;
        listening(&driver, port).await?;
        Ok(Self { driver, port, profiles })
    }

    /// A new browser with a window of `size`, and `flags` beside the usual ones.
    ///
    /// # Errors
    /// When Chromium does not start.
    pub async fn open(&self, size: (u32, u32), flags: &[String]) -> anyhow::Result<Client> {
        self.driver.check()?;
        let profile = tempfile::Builder::new().prefix("p").tempdir_in(&self.profiles)?.keep();
        let mut args: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", profile.display()));
        args.push(format!("--window-size={},{}", size.0, size.1));
        args.extend(flags.iter().cloned());
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": args },
            "timeouts": { "script": 30_000, "pageLoad": 60_000 },
        });
        let serde_json::Value::Object(wanted) = wanted else { unreachable!("an object literal") };
        ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .with_context(|| format!("open Chromium; chromedriver says:\n{}", self.driver.tail()))
    }
}
