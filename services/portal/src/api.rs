//! The same as JSON, for programs. Shows the token as a bearer token.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use storage::journal::Gap;

use crate::Catalogue;
use crate::catalogue::Card;
use crate::page::watch;
use crate::trouble::Trouble;
use crate::words::Standing;

/// Recordings in one answer, unless fewer are asked for.
const MOST: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Slice {
    skip: usize,
    count: usize,
}

impl Default for Slice {
    fn default() -> Self {
        Self { skip: 0, count: MOST }
    }
}

#[derive(Serialize)]
struct List {
    /// All there are.
    count: usize,
    /// The newest first.
    recordings: Vec<One>,
}

#[derive(Serialize)]
struct One {
    id: String,
    /// `starting`, `live`, `recording`, `processing`, `ready`, `partial`, `failed`, `empty`, `unproven`, `unreachable`.
    state: &'static str,
    /// Why, and what to do.
    advice: Option<String>,
    title: Option<String>,
    /// RFC 3339.
    created: String,
    language: String,
    webinar: bool,
    /// Where it can be watched while it is live.
    watch: Option<String>,
    generation: Option<u32>,
    duration_ms: Option<u64>,
    gaps: Vec<Gap>,
    /// Paths of what can be fetched, by kind.
    files: Vec<String>,
}

impl One {
    fn of(catalogue: &Catalogue, card: &Card) -> Self {
        let standing = Standing::of(card);
        let texts =
            [("vtt", "captions.vtt"), ("srt", "captions.srt"), ("txt", "transcript.txt"), ("json", "transcript.json")];
        let movie = card.movie().map(|_| "video.mp4");
        let texts = texts.into_iter().filter(|(kind, _)| card.transcript(kind).is_some()).map(|(_, file)| file);
        let id = card.path.recording.to_string();
        Self {
            state: standing.word(),
            advice: standing.advice(&card.record),
            title: card.title.clone(),
            created: card.record.created.to_string(),
            language: card.record.language.clone(),
            webinar: card.record.webinar,
            watch: watch(catalogue, card),
            generation: card.record.generation,
            duration_ms: card.manifest().map(|manifest| manifest.duration_ms),
            gaps: card.manifest().map(|manifest| manifest.gaps.clone()).unwrap_or_default(),
            files: movie.into_iter().chain(texts).map(|file| format!("/recordings/{id}/{file}")).collect(),
            id,
        }
    }
}

pub(crate) async fn list(
    State(catalogue): State<Arc<Catalogue>>,
    slice: Result<Query<Slice>, QueryRejection>,
) -> Response {
    let Ok(Query(slice)) = slice else { return Trouble::NoSuchPage.problem() };
    match catalogue.page(slice.skip, slice.count.min(MOST)).await {
        Ok((cards, count)) => {
            let recordings = cards.iter().map(|card| One::of(&catalogue, card)).collect();
            Json(List { count, recordings }).into_response()
        }
        Err(why) => Trouble::from(why).problem(),
    }
}

pub(crate) async fn one(State(catalogue): State<Arc<Catalogue>>, Path(recording): Path<String>) -> Response {
    let Ok(recording) = recording.parse() else { return Trouble::NoSuchPage.problem() };
    match catalogue.one(recording).await {
        Ok(card) => Json(One::of(&catalogue, &card)).into_response(),
        Err(why) => why.problem(),
    }
}
