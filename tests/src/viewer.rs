//! Someone who watches a webinar: a real Chromium on the watch page.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use fantoccini::Client;
use serde_json::Value;

use crate::process::until;
use crate::servers::Chromium;

/// A window on a watch page.
#[derive(Debug)]
pub struct Viewer {
    client: Client,
}

/// How playback went, as the page's own `<video>` tells.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Played {
    /// Seconds of content that passed while playing; jumps are not counted.
    pub seconds: f64,
    /// Pictures that were decoded.
    pub frames: u64,
    pub width: u64,
}

/// Watches from inside the page, so that a slow driver cannot make playback look jumpy.
const WATCH: &str = "
  const video = document.querySelector('video');
  if (!video || window.watched) return !!video;
  window.watched = { seconds: 0, last: null, wall: null };
  setInterval(() => {
    const w = window.watched, now = performance.now() / 1000, at = video.currentTime;
    if (w.last !== null && !video.paused && at > w.last && at - w.last < (now - w.wall) * 1.5 + 0.1) w.seconds += at - w.last;
    w.last = at; w.wall = now;
  }, 200);
  return true;";

const TELL: &str = "
  const video = document.querySelector('video');
  const q = video.getVideoPlaybackQuality();
  return { seconds: window.watched.seconds, frames: q.totalVideoFrames - q.droppedVideoFrames, width: video.videoWidth };";

impl Viewer {
    /// Opens `url`, reloading until the page has a `<video>` that plays.
    ///
    /// # Errors
    /// When nothing plays within `deadline`.
    pub async fn watch(chromium: &Chromium, url: &str, deadline: Duration) -> anyhow::Result<Self> {
        let client = chromium.open((1280, 800), &[]).await?;
        let viewer = Self { client };
        viewer.client.goto(url).await.with_context(|| format!("open {url}"))?;
        until(&format!("{url} plays"), deadline, async || {
            viewer.client.execute(WATCH, vec![]).await?;
            Ok((viewer.played().await.unwrap_or_default().seconds > 0.0).then_some(()))
        })
        .await?;
        Ok(viewer)
    }

    /// What has been played so far.
    ///
    /// # Errors
    /// When the window has gone.
    pub async fn played(&self) -> anyhow::Result<Played> {
        let told = self.client.execute(TELL, vec![]).await?;
        let number = |name: &str| told[name].as_u64().unwrap_or(0);
        Ok(Played {
            seconds: told["seconds"].as_f64().unwrap_or(0.0),
            frames: number("frames"),
            width: number("width"),
        })
    }

    /// Runs `script` in the page.
    ///
    /// # Errors
    /// When it throws.
    pub async fn ask(&self, script: &str) -> anyhow::Result<Value> {
        Ok(self.client.execute(script, vec![]).await?)
    }

    /// Writes what the window shows as a PNG.
    ///
    /// # Errors
    /// When the window has gone or `file` cannot be written.
    pub async fn screenshot(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, self.client.screenshot().await?).with_context(|| format!("write {file:?}"))
    }

    /// Lets what is still buffered play after the webinar's end, for `patience` at most; closes the window and tells how
    /// much was played.
    ///
    /// # Errors
    /// When the window has gone.
    pub async fn finish(self, patience: Duration) -> anyhow::Result<Played> {
        let begun = Instant::now();
        let mut last = self.played().await?;
        let mut still = Instant::now();
        while begun.elapsed() < patience && still.elapsed() < Duration::from_secs(3) {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = self.played().await?;
            if now.seconds > last.seconds {
                (last, still) = (now, Instant::now());
            }
        }
        self.close().await?;
        Ok(last)
    }

    /// Closes the window.
    ///
    /// # Errors
    /// When it has gone.
    pub async fn close(self) -> anyhow::Result<()> {
        self.client.close().await.context("close Chromium")
    }
}
