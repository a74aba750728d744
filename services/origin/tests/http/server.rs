//! An origin on a free port, and what a recorder would send it.

use std::sync::Arc;
use std::time::Duration;

use events::{PolicyId, RecordingId, SessionId, TenantId};
use media::{MediaTime, Rendition, SegmentClosed, WallTime};
use origin::{Config, Token, Webinars, app};
use reqwest::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "a word that nobody guesses";

pub(crate) const SEGMENT: Duration = Duration::from_millis(3200);

pub(crate) struct Origin {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    serving: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Origin {
    pub(crate) async fn start(config: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = app(Arc::new(Webinars::new(config)), Token::new(TOKEN).unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, http: reqwest::Client::new(), serving }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }
}

pub(crate) fn recording(session: &str) -> RecordingId {
    RecordingId::derive(
        &TenantId::new("uni").unwrap(),
        &SessionId::new(session).unwrap(),
        &PolicyId::new("all").unwrap(),
    )
}

/// One epoch of one recording.
#[derive(Clone)]
pub(crate) struct Recorder<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) recording: RecordingId,
    pub(crate) epoch: u32,
    pub(crate) token: &'static str,
    /// When its first sample was captured.
    pub(crate) began: WallTime,
}

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: WallTime = WallTime(1_795_348_800_000_000);

impl<'a> Recorder<'a> {
    pub(crate) fn new(origin: &'a Origin, recording: RecordingId, epoch: u32) -> Self {
        let began = NOON.plus(Duration::from_secs(100) * epoch);
        Self { origin, recording, epoch, token: TOKEN, began }
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/ingest/{}/{}/{rest}", self.origin.url, self.recording, self.epoch)
    }

    pub(crate) async fn init(&self, rendition: &Rendition, body: Vec<u8>) -> Response {
        let put = self.origin.http.put(self.at(&format!("{rendition}/init"))).bearer_auth(self.token).body(body);
        let put = if *rendition == Rendition::video() {
            put.header("x-codec", "avc1.64001f").header("x-picture", "1280x720@30")
        } else {
            put.header("x-codec", "mp4a.40.2")
        };
        put.send().await.unwrap()
    }

    pub(crate) async fn part(
        &self,
        rendition: &Rendition,
        segment: u64,
        part: u32,
        lasts: Duration,
        body: Vec<u8>,
    ) -> Response {
        self.origin
            .http
            .put(self.at(&format!("{rendition}/{segment}/{part}")))
            .bearer_auth(self.token)
            .header("x-duration-ns", lasts.as_nanos().to_string())
            .header("x-independent", "1")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn closed(
        &self,
        rendition: &Rendition,
        segment: u64,
        begins: MediaTime,
        lasts: Duration,
    ) -> Response {
        let wall = self.began.plus(Duration::from_nanos(begins.0));
        let closed = SegmentClosed { rendition: rendition.clone(), segment, begins, lasts, wall };
        let post = self.origin.http.post(self.at(&format!("{rendition}/{segment}/closed")));
        post.bearer_auth(self.token).json(&closed).send().await.unwrap()
    }

    pub(crate) async fn end(&self) -> Response {
        self.origin.http.post(self.at("end")).bearer_auth(self.token).send().await.unwrap()
    }

    /// Init sections and `count` segments of two parts in both renditions; every push is taken.
    pub(crate) async fn run(&self, count: u64) {
        for rendition in [Rendition::video(), Rendition::audio()] {
            taken(&self.init(&rendition, format!("init {} {rendition}", self.epoch).into_bytes()).await);
        }
        for segment in 0..count {
            for rendition in [Rendition::video(), Rendition::audio()] {
                for part in 0..2 {
                    let body = format!("{rendition} {segment}.{part};").into_bytes();
                    taken(&self.part(&rendition, segment, part, SEGMENT / 2, body).await);
                }
                let begins = MediaTime(segment * 3_200_000_000);
                taken(&self.closed(&rendition, segment, begins, SEGMENT).await);
            }
        }
    }
}

pub(crate) fn taken(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{}", answer.url());
}
