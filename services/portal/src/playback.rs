//! Files of a recording, unsealed as they are read. At most a few hundred kilobytes of plaintext are in memory per
//! viewer, and none is ever on disk.

use std::io::{self, Read, Seek, SeekFrom};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use events::RecordingId;
use futures_util::stream::try_unfold;
use storage::SealedReader;
use storage::manifest::Object;

use crate::Catalogue;
use crate::catalogue::Card;
use crate::range::{Wanted, wanted};
use crate::trouble::Trouble;

/// Read and sent at once: four of age's chunks.
const PIECE: u64 = 256 << 10;

/// What a request for a file says besides its path.
#[derive(Debug)]
pub(crate) struct Asked {
    headers: HeaderMap,
    head: bool,
    download: bool,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let download = parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "download"));
        Ok(Self { headers: parts.headers.clone(), head: parts.method == Method::HEAD, download })
    }
}

/// A file by the name it has on the page.
fn find<'a>(card: &'a Card, name: &str) -> Option<(&'a Object, &'static str, &'static str)> {
    let (object, kind, extension) = match name {
        "video.mp4" => (card.movie(), "video/mp4", "mp4"),
        "captions.vtt" => (card.transcript("vtt"), "text/vtt; charset=utf-8", "vtt"),
        "captions.srt" => (card.transcript("srt"), "application/x-subrip; charset=utf-8", "srt"),
        "transcript.txt" => (card.transcript("txt"), "text/plain; charset=utf-8", "txt"),
        "transcript.json" => (card.transcript("json"), "application/json", "json"),
        _ => return None,
    };
    Some((object?, kind, extension))
}

pub(crate) async fn answer(
    catalogue: &Catalogue,
    recording: RecordingId,
    name: &str,
    asked: &Asked,
) -> Result<Response, Trouble> {
    let card = catalogue.one(recording).await?;
    let (object, kind, extension) = find(&card, name).ok_or(Trouble::NoSuchPage)?;
    // The ciphertext's hash, as signed: another text under the same name has another tag.
    let tag = format!("\"{}\"", object.sha256);
    let said = |name| asked.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // RFC 9110 13.1.2: compared weakly, and `*` is any version.
    let is_ours = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    if said(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').map(str::trim).any(is_ours)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let reader = catalogue.reader(&card, object).await?;
    let length = reader.len();
    // RFC 9110 14.2: GET alone has ranges. 13.1.5: a part of another version would not fit what the client has.
    let range = said(header::RANGE).filter(|_| !asked.head);
    let range = range.filter(|_| said(header::IF_RANGE).is_none_or(|one| one == tag));
    let (status, from, to) = match range.map_or(Wanted::All, |range| wanted(range, length)) {
        Wanted::All => (StatusCode::OK, 0, length),
        Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Wanted::Nothing => {
            let whole = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response());
        }
    };
    let body = if asked.head { Body::empty() } else { Body::from_stream(plaintext(reader, from, to)) };
    let mut response = (status, [(header::CONTENT_TYPE, kind), (header::ACCEPT_RANGES, "bytes")], body).into_response();
    let headers = response.headers_mut();
    let mut say = |name, value: String| HeaderValue::from_str(&value).map(|value| headers.insert(name, value));
    // Hex, numbers and ids: all of them are header values.
    let _ = say(header::CONTENT_LENGTH, (to - from).to_string());
    let _ = say(header::ETAG, tag);
    if status == StatusCode::PARTIAL_CONTENT {
        let _ = say(header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", to - 1));
    }
    if asked.download {
        let _ = say(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{recording}.{extension}\""));
    }
    Ok(response)
}

/// Bytes `from..to`, read as fast as they are taken. An object that turns out altered breaks the connection off, so
/// that what was sent is never taken for all of it.
fn plaintext(
    reader: SealedReader,
    from: u64,
    to: u64,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    try_unfold((reader, from, to), |(mut reader, at, to)| async move {
        if at >= to {
            return Ok(None);
        }
        let read = move || {
            let mut piece = Vec::new();
            reader.seek(SeekFrom::Start(at))?;
            (&mut reader).take(PIECE.min(to - at)).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok((reader, Bytes::from(piece)))
        };
        // Dropped with its request; the one read under way ends within the store's own time limit.
        let (reader, piece) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        let next = at + piece.len() as u64;
        Ok(Some((piece, (reader, next, to))))
    })
}
