//! The frame of every page, and the list of recordings. maud escapes whatever people wrote.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

use crate::Catalogue;
use crate::catalogue::Card;
use crate::trouble::Trouble;
use crate::words::{self, Standing};

/// Recordings on one page.
const COUNT: usize = 50;

pub(crate) fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – Lectern" }
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/portal.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.bar { div { p.brand { a href="/" { "Lectern" } } } }
                main #main { (body) }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    /// From 1.
    #[serde(default)]
    page: Option<usize>,
}

pub(crate) async fn list(
    State(catalogue): State<Arc<Catalogue>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Markup, Trouble> {
    let Query(which) = which.map_err(|_| Trouble::NoSuchPage)?;
    let page = which.page.unwrap_or(1).max(1);
    let (cards, count) = catalogue.page((page - 1).saturating_mul(COUNT), COUNT).await?;
    if cards.is_empty() && page > 1 {
        return Err(Trouble::NoSuchPage);
    }
    let body = html! {
        h1 { "Recordings" }
        @if cards.is_empty() {
            p { "There are none yet. They appear here when a room opens that is to be recorded." }
        } @else {
            ul.cards { @for card in &cards { li { (summary(&catalogue, card)) } } }
        }
        @if count > COUNT {
            nav.row aria-label="Pages" {
                @if page > 1 { a href={ "/?page=" (page - 1) } rel="prev" { "Newer" } }
                span.quiet { "Page " (page) " of " (count.div_ceil(COUNT)) }
                @if page * COUNT < count { a href={ "/?page=" (page + 1) } rel="next" { "Older" } }
            }
        }
    };
    Ok(frame("Recordings", &body))
}

fn summary(catalogue: &Catalogue, card: &Card) -> Markup {
    let standing = Standing::of(card);
    html! {
        h2 { a href={ "/recordings/" (card.path.recording) } { (title(card)) } }
        (facts(card, standing))
        @if let Some(advice) = standing.advice(&card.record) { p.quiet { (advice) } }
        @if let Some(watch) = watch(catalogue, card) { p { a href=(watch) { "Watch live" } } }
    }
}

/// The title, or what tells recordings apart without one.
pub(crate) fn title(card: &Card) -> String {
    card.title.clone().unwrap_or_else(|| format!("Recording of {}", words::date(card.record.created)))
}

/// Standing, date and length in one row.
pub(crate) fn facts(card: &Card, standing: Standing) -> Markup {
    html! {
        p.row {
            span class={ "badge " (standing.word()) } { (standing.badge()) }
            time.quiet datetime=(card.record.created) data-local { (words::date(card.record.created)) }
            @if let Some(manifest) = card.manifest() {
                span.quiet { (words::duration(Duration::from_millis(manifest.duration_ms))) }
            }
        }
    }
}

/// Where a webinar can be watched while it is live.
pub(crate) fn watch(catalogue: &Catalogue, card: &Card) -> Option<String> {
    let live = Standing::of(card) == Standing::Live;
    let origin = catalogue.origin_url.as_ref().filter(|_| live)?;
    Some(format!("{origin}/watch/{}", card.path.recording))
}
