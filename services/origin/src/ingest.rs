//! What recorders push. Every request shows the ingest token; bodies are bounded before they are read.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use events::RecordingId;
use media::{Canvas, Init, Part, Rendition, SegmentClosed};

use crate::config::Token;
use crate::problem::Problem;
use crate::webinars::Webinars;

/// `ftyp` and `moov` of one track take about 1 KiB.
const INIT_LIMIT: usize = 64 * 1024;

/// Half a second at 60 Mbit/s, far above any rung of a ladder.
const PART_LIMIT: usize = 4 * 1024 * 1024;

const NEWS_LIMIT: usize = 4 * 1024;

/// A part is half a second. What claims ten is broken.
const LONGEST_PART: Duration = Duration::from_secs(10);

pub(crate) fn routes(webinars: Arc<Webinars>, token: Token) -> Router {
    Router::new()
        .route("/ingest/{recording}/{epoch}/{rendition}/init", put(init).layer(DefaultBodyLimit::max(INIT_LIMIT)))
        .route(
            "/ingest/{recording}/{epoch}/{rendition}/{segment}/{part}",
            put(part).layer(DefaultBodyLimit::max(PART_LIMIT)),
        )
        .route(
            "/ingest/{recording}/{epoch}/{rendition}/{segment}/closed",
            post(closed).layer(DefaultBodyLimit::max(NEWS_LIMIT)),
        )
        .route("/ingest/{recording}/{epoch}/end", post(end).layer(DefaultBodyLimit::max(NEWS_LIMIT)))
        .route_layer(from_fn_with_state(token, authorise))
        .with_state(webinars)
}

type At<T> = Result<Path<T>, PathRejection>;

/// RFC 6750 2.1.
async fn authorise(State(token): State<Token>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if shown.and_then(|shown| shown.strip_prefix("Bearer ")).is_some_and(|shown| token.is(shown)) {
        return next.run(request).await;
    }
    let problem = Problem(StatusCode::UNAUTHORIZED, "show the ingest token as a bearer token".into());
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
}

async fn init(
    State(webinars): State<Arc<Webinars>>,
    path: At<(RecordingId, u32, Rendition)>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let (Path((recording, epoch, rendition)), bytes) = (path?, bytes?);
    let codec = text(&headers, "x-codec")?.ok_or_else(|| bad("the header x-codec is missing"))?;
    // RFC 6381 names no other characters; and it goes into a quoted string of a playlist.
    if codec.len() > 64 || !codec.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-') {
        return Err(bad("x-codec is not a codec as RFC 6381 names them"));
    }
    let picture = text(&headers, "x-picture")?.map(picture).transpose()?;
    webinars.init(recording, epoch, Init { rendition, codec: codec.to_owned(), picture, bytes })?;
    Ok(StatusCode::NO_CONTENT)
}

async fn part(
    State(webinars): State<Arc<Webinars>>,
    path: At<(RecordingId, u32, Rendition, u64, u32)>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let (Path((recording, epoch, rendition, segment, index)), bytes) = (path?, bytes?);
    let lasts = text(&headers, "x-duration-ns")?.and_then(|text| text.parse().ok()).map(Duration::from_nanos);
    let lasts = lasts.filter(|lasts| *lasts <= LONGEST_PART);
    let lasts = lasts.ok_or_else(|| bad("x-duration-ns is not a part's duration in nanoseconds"))?;
    let independent = match text(&headers, "x-independent")? {
        Some("1") => true,
        Some("0") => false,
        _ => return Err(bad("x-independent is neither 0 nor 1")),
    };
    if bytes.is_empty() {
        return Err(bad("a part without bytes"));
    }
    webinars.part(recording, epoch, Part { rendition, segment, index, lasts, independent, bytes })?;
    Ok(StatusCode::NO_CONTENT)
}

async fn closed(
    State(webinars): State<Arc<Webinars>>,
    path: At<(RecordingId, u32, Rendition, u64)>,
    news: Result<Json<SegmentClosed>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let (Path((recording, epoch, rendition, segment)), Json(news)) = (path?, news?);
    if (&news.rendition, news.segment) != (&rendition, segment) {
        return Err(bad("path and body name different segments"));
    }
    webinars.closed(recording, epoch, &news)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(State(webinars): State<Arc<Webinars>>, path: At<(RecordingId, u32)>) -> Result<StatusCode, Problem> {
    let Path((recording, epoch)) = path?;
    webinars.end(recording, epoch)?;
    Ok(StatusCode::NO_CONTENT)
}

fn bad(detail: &str) -> Problem {
    Problem(StatusCode::BAD_REQUEST, detail.to_owned())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    headers.get(name).map(|value| value.to_str().map_err(|_| bad("a header is not text"))).transpose()
}

/// `1280x720@30`.
fn picture(text: &str) -> Result<Canvas, Problem> {
    let numbers = || {
        let (size, fps) = text.split_once('@')?;
        let (width, height) = size.split_once('x')?;
        let canvas = Canvas { width: width.parse().ok()?, height: height.parse().ok()?, fps: fps.parse().ok()? };
        let sane = |n: u32, most: u32| (1..=most).contains(&n);
        (sane(canvas.width, 8192) && sane(canvas.height, 8192) && sane(canvas.fps, 240)).then_some(canvas)
    };
    numbers().ok_or_else(|| bad("x-picture is not like 1280x720@30"))
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self(rejection.status(), "the path is not {recording}/{epoch}/{rendition}/{segment}/{part}".into())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self(rejection.status(), "the body is too long or broke off".into())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        // Wrong JSON is 400 whether in syntax or in meaning: for a recorder both mean "drop it".
        let status = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            rejection.status()
        } else {
            StatusCode::BAD_REQUEST
        };
        Self(status, "the body is not the news of a closed segment in JSON".into())
    }
}
