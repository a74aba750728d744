//! A real Chromium in the room: its fake camera and microphone play our files, a small page speaks to Janus.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use fantoccini::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Person;
use crate::process::until;
use crate::servers::Chromium;

/// How a browser joins.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub pin: Option<String>,
    /// `vp8` or `h264`; none leaves it to browser and server.
    pub codec: Option<&'static str>,
}

/// A browser that can be in a room. Dropping it without [`Browser::close`] leaves the window to its driver's end.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    page: JoinHandle<()>,
    person: Person,
}

/// The files that a fake camera and microphone play over and over.
#[derive(Debug, Clone)]
pub struct Tape {
    pub video: PathBuf,
    pub audio: PathBuf,
}

impl Tape {
    /// Made by `samples/media/camera` in `folder` for `person`, unless it lies there.
    ///
    /// # Errors
    /// When ffmpeg fails.
    pub fn of(person: &Person, folder: &Path) -> anyhow::Result<Self> {
        let stem = folder.join(format!("camera-{}", person.pitch));
        let tape = Self { video: stem.with_extension("y4m"), audio: stem.with_extension("wav") };
        if !tape.audio.exists() {
            crate::media_script(
                "camera",
                &[stem.as_os_str(), person.colour.to_string().as_ref(), person.pitch.to_string().as_ref()],
            )?;
        }
        Ok(tape)
    }
}

impl Browser {
    /// Opens a window on the participant's page, in no room yet.
    ///
    /// # Errors
    /// When Chromium does not start or cannot load the page.
    pub async fn open(chromium: &Chromium, person: &Person, tape: &Tape) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = format!("http://{}/", listener.local_addr()?);
        let text = |kind: &'static str, body: &'static str| get(async move || ([(CONTENT_TYPE, kind)], body));
        let pages = Router::new()
            .route("/", text("text/html", include_str!("page.html")))
            .route("/page.js", text("text/javascript", include_str!("page.js")));
        let page = tokio::spawn(async move {
            let _ = axum::serve(listener, pages).await;
        });
        let flags = [
            "--use-fake-device-for-media-stream".to_owned(),
            format!("--use-file-for-fake-video-capture={}", tape.video.display()),
            format!("--use-file-for-fake-audio-capture={}", tape.audio.display()),
            "--allow-loopback-in-peer-connection".into(),
        ];
        let client = chromium.open((480, 360), &flags).await?;
        let browser = Self { client, page, person: person.clone() };
        browser.client.goto(&address).await?;
        Ok(browser)
    }

    /// Joins `room`; returns when media flows.
    ///
    /// # Errors
    /// When Janus does not let it in; the error holds Janus' reason.
    pub async fn join(&self, janus: &str, room: u64, entry: &Entry) -> anyhow::Result<()> {
        let options = self.options(janus, room, entry);
        self.call("join", options).await?;
        until("the browser sends frames", Duration::from_secs(30), async || {
            Ok((self.call("sent", Value::Null).await?["frames"].as_u64() > Some(0)).then_some(()))
        })
        .await
    }

    /// Joins `room` without camera and microphone.
    ///
    /// # Errors
    /// When Janus does not let it in.
    pub async fn attend(&self, janus: &str, room: u64, entry: &Entry) -> anyhow::Result<()> {
        self.call("attend", self.options(janus, room, entry)).await.map(drop)
    }

    fn options(&self, janus: &str, room: u64, entry: &Entry) -> Value {
        json!({ "janus": janus, "room": room, "name": self.person.name, "pin": entry.pin, "codec": entry.codec })
    }

    pub async fn leave(&self) -> anyhow::Result<()> {
        self.call("leave", Value::Null).await.map(drop)
    }

    /// Off sends black, as browsers do.
    pub async fn camera(&self, on: bool) -> anyhow::Result<()> {
        self.call("camera", json!(on)).await.map(drop)
    }

    pub async fn mic(&self, on: bool) -> anyhow::Result<()> {
        self.call("mic", json!(on)).await.map(drop)
    }

    /// Sends the camera at `1/by` of its size and returns when frames of that size have been sent.
    ///
    /// # Errors
    /// When the sender refuses or goes on as before.
    pub async fn scale(&self, by: u32) -> anyhow::Result<()> {
        let before = self.call("sent", Value::Null).await?["width"].clone();
        self.call("scale", json!(by)).await?;
        until("the browser sends another size", Duration::from_secs(20), async || {
            Ok((self.call("sent", Value::Null).await?["width"] != before).then_some(()))
        })
        .await
    }

    /// Shares a slide with a time code as a second publisher, described as `screen`.
    pub async fn share(&self, title: &str) -> anyhow::Result<()> {
        self.call("share", json!(title)).await.map(drop)
    }

    pub async fn unshare(&self) -> anyhow::Result<()> {
        self.call("unshare", Value::Null).await.map(drop)
    }

    /// Whether Janus has said that this person is out.
    pub async fn gone(&self) -> anyhow::Result<bool> {
        Ok(self.client.execute("return participant.gone", vec![]).await? == json!(true))
    }

    /// Closes the window.
    pub async fn close(self) -> anyhow::Result<()> {
        self.client.clone().close().await.context("close Chromium")
    }

    async fn call(&self, method: &str, argument: Value) -> anyhow::Result<Value> {
        let script = "const [method, argument, done] = arguments; \
             (async () => participant[method](argument))().then((v) => done({ ok: v ?? null }), (e) => done({ error: `${e}` }))";
        let answer = self.client.execute_async(script, vec![json!(method), argument]).await?;
        match answer.get("error") {
            Some(error) => bail!("the browser could not {method}: {error}"),
            None => Ok(answer["ok"].clone()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.page.abort();
    }
}
