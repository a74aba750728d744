//! What players ask for. Lifetimes follow rfc8216bis B.1: a playlist may be half a target duration old, media never
//! changes. Everything is public and the same for all, so any cache may keep it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use events::RecordingId;
use media::Rendition;

use crate::problem::Problem;
use crate::webinars::Webinars;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";

pub(crate) fn routes(webinars: Arc<Webinars>) -> Router {
    Router::new()
        .route("/hls/{recording}/index.m3u8", get(multivariant))
        .route("/hls/{recording}/{rendition}/index.m3u8", get(playlist))
        .route("/hls/{recording}/{rendition}/{file}", get(media_file))
        .route("/api/live", get(live))
        .route("/api/live/{recording}", get(state))
        // Pages of a university may play from here. `Age` and `Date` tell a player how old a cached playlist is.
        .route_layer(map_response(open_to_other_sites))
        .route("/healthz", get(async || "ok\n"))
        .with_state(webinars)
}

async fn open_to_other_sites(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Age, Date"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// How long a cache may keep an answer.
#[derive(Debug, Clone, Copy)]
enum Lifetime {
    /// Playlists, and that something is not there (yet).
    Moment,
    /// Media: its name is never used again.
    Always,
}

impl Lifetime {
    fn header(self) -> (header::HeaderName, &'static str) {
        let text = match self {
            // Half of 3 s, cut to whole seconds.
            Self::Moment => "public, max-age=1",
            Self::Always => "public, max-age=3600, immutable",
        };
        (header::CACHE_CONTROL, text)
    }
}

fn found(kind: &'static str, lifetime: Lifetime, body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, kind), lifetime.header()], body).into_response()
}

fn absent(what: &str) -> Response {
    ([Lifetime::Moment.header()], Problem(StatusCode::NOT_FOUND, what.to_owned())).into_response()
}

type At<T> = Result<Path<T>, PathRejection>;

async fn multivariant(State(webinars): State<Arc<Webinars>>, path: At<RecordingId>) -> Response {
    let Ok(Path(recording)) = path else { return absent("no such webinar") };
    match webinars.multivariant(recording) {
        Some(text) => found(PLAYLIST, Lifetime::Moment, text.into()),
        None => absent("the webinar has not begun"),
    }
}

async fn playlist(State(webinars): State<Arc<Webinars>>, path: At<(RecordingId, Rendition)>) -> Response {
    let Ok(Path((recording, rendition))) = path else { return absent("no such rendition") };
    match webinars.playlist(recording, &rendition) {
        Some(text) => found(PLAYLIST, Lifetime::Moment, text),
        None => absent("the webinar has not begun"),
    }
}

async fn media_file(State(webinars): State<Arc<Webinars>>, path: At<(RecordingId, Rendition, String)>) -> Response {
    let Ok(Path((recording, rendition, file))) = path else { return absent("no such file") };
    match File::parse(&file) {
        Some(File::Init { epoch }) => {
            let kind = if rendition == Rendition::audio() { "audio/mp4" } else { "video/mp4" };
            match webinars.init_section(recording, &rendition, epoch) {
                Some(bytes) => found(kind, Lifetime::Always, bytes),
                None => absent("no such init section"),
            }
        }
        Some(File::Segment { epoch, number }) => match webinars.segment(recording, &rendition, epoch, number) {
            Some(parts) => segment(parts),
            None => absent("this segment is gone, or never came"),
        },
        None => absent("no such file"),
    }
}

/// The parts one after the other, uncopied.
fn segment(parts: Vec<Bytes>) -> Response {
    let length: usize = parts.iter().map(Bytes::len).sum();
    let body = Body::from_stream(futures_util::stream::iter(parts.into_iter().map(Ok::<_, std::convert::Infallible>)));
    let mut response = ([(header::CONTENT_TYPE, "video/iso.segment"), Lifetime::Always.header()], body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

#[derive(Debug, PartialEq, Eq)]
enum File {
    Init { epoch: u32 },
    Segment { epoch: u32, number: u64 },
}

impl File {
    fn parse(name: &str) -> Option<Self> {
        let (epoch, rest) = name.split_once('-')?;
        let epoch = decimal(epoch)?.try_into().ok()?;
        match rest.strip_suffix(".m4s") {
            Some(number) => Some(Self::Segment { epoch, number: decimal(number)? }),
            None => (rest == "init.mp4").then_some(Self::Init { epoch }),
        }
    }
}

/// One spelling per number, so that one resource has one name in every cache.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    (digits && plain).then(|| text.parse().ok()).flatten()
}

async fn live(State(webinars): State<Arc<Webinars>>) -> Response {
    ([Lifetime::Moment.header()], Json(webinars.live())).into_response()
}

/// `{"state": "waiting" | "live" | "interrupted" | "ended"}`: what the page asks while it waits.
async fn state(State(webinars): State<Arc<Webinars>>, path: At<RecordingId>) -> Response {
    let Ok(Path(recording)) = path else { return absent("no such webinar") };
    let state = match webinars.state(recording) {
        hls::State::Waiting => "waiting",
        hls::State::Live => "live",
        hls::State::Interrupted => "interrupted",
        hls::State::Ended => "ended",
    };
    ([Lifetime::Moment.header()], Json(serde_json::json!({ "state": state }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_has_one_spelling() {
        assert_eq!(File::parse("1-init.mp4"), Some(File::Init { epoch: 1 }));
        assert_eq!(File::parse("12-345.m4s"), Some(File::Segment { epoch: 12, number: 345 }));
        for wrong in ["", "1-", "01-2.m4s", "1-02.m4s", "1-+2.m4s", "-1-2.m4s", "1-2.mp4", "4294967296-1.m4s", "1-.m4s"]
        {
            assert_eq!(File::parse(wrong), None, "{wrong}");
        }
    }
}
