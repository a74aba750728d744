//! The page of one recording: what is missing, video with captions, the transcript beside it, and downloads.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use maud::{Markup, html};
use media::MediaTime;
use storage::journal::Gap;
use transcript::Transcript;

use crate::Catalogue;
use crate::catalogue::Card;
use crate::page::{facts, frame, title, watch};
use crate::trouble::Trouble;
use crate::words::{self, Standing};

pub(crate) async fn show(
    State(catalogue): State<Arc<Catalogue>>,
    Path(recording): Path<String>,
) -> Result<Markup, Trouble> {
    let recording = recording.parse().map_err(|_| Trouble::NoSuchPage)?;
    let card = catalogue.one(recording).await?;
    let transcript = transcript(&catalogue, &card).await?;
    let standing = Standing::of(&card);
    let title = title(&card);
    let body = html! {
        p { a href="/" { "← All recordings" } }
        h1 { (title) }
        (facts(&card, standing))
        @if let Some(advice) = standing.advice(&card.record) { p { (advice) } }
        @if let Some(watch) = watch(&catalogue, &card) { p { a.button href=(watch) { "Watch live" } } }
        @if card.movie().is_some() {
            (gaps(&card))
            div class=(if transcript.is_some() { "play both" } else { "play" }) {
                (video(&card))
                @if let Some(transcript) = &transcript { (lines(transcript)) }
            }
            (downloads(&card))
        }
        (about(&card))
    };
    Ok(frame(&title, &body))
}

/// The newest transcript, if there is one.
async fn transcript(catalogue: &Catalogue, card: &Card) -> Result<Option<Transcript>, Trouble> {
    let Some(object) = card.transcript("json") else { return Ok(None) };
    let json = catalogue.text(card, object).await?;
    match Transcript::parse(&json) {
        Ok(transcript) => Ok(Some(transcript)),
        Err(_) => {
            // The recording is worth more than its text: show it without.
            tracing::warn!(recording = %card.path.recording, "a transcript of another format is not shown");
            Ok(None)
        }
    }
}

fn video(card: &Card) -> Markup {
    let at = format!("/recordings/{}", card.path.recording);
    let language = &card.record.language;
    html! {
        div.stage {
            video #player controls playsinline preload="metadata" src={ (at) "/video.mp4" } aria-label="The recording" {
                @if card.transcript("vtt").is_some() {
                    track kind="captions" src={ (at) "/captions.vtt" } srclang=(language)
                        label={ (words::language(language)) " (machine-made)" };
                }
            }
        }
    }
}

fn lines(transcript: &Transcript) -> Markup {
    html! {
        section.transcript aria-labelledby="transcript" {
            div {
                h2 #transcript { "Transcript" }
                p.quiet { "Machine-made; may be wrong. Choose a line to hear it." }
                ol.lines #lines lang=(transcript.language) {
                    @for cue in transcript.cues.iter().filter(|cue| cue.is_shown()) {
                        li {
                            button type="button" data-at=(cue.begins.as_secs_f64()) data-to=(cue.ends().as_secs_f64()) {
                                time { (words::clock(Duration::from_nanos(cue.begins.0))) }
                                span { (cue.text) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// So many are listed at once; more are there for whoever opens the list.
const FEW: usize = 3;

/// What is missing: above the picture, with ways to each place, and marks on a line as long as the film.
fn gaps(card: &Card) -> Markup {
    let Some(manifest) = card.manifest().filter(|manifest| !manifest.gaps.is_empty()) else { return html! {} };
    let gaps = &manifest.gaps;
    let sum = words::missing(gaps);
    html! {
        section.missing aria-labelledby="missing" {
            h2 #missing { "What is missing" }
            @let lasts = manifest.duration_ms.max(1);
            svg.marks viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                @for gap in gaps {
                    @let (x, width) = mark(gap, lasts);
                    rect x=(x) y="0" width=(width) height="10" {}
                }
            }
            details open[gaps.len() <= FEW] {
                summary { (sum) }
                ol { @for gap in gaps { li { (way(card, gap)) } } }
            }
        }
    }
}

fn way(card: &Card, gap: &Gap) -> Markup {
    let (what, why) = words::gap(gap);
    let to = |at: MediaTime| {
        let at = Duration::from_nanos(at.0);
        let seconds = format!("{:.3}", at.as_secs_f64());
        html! {
            // Without a script, the browser's own player opens there.
            a href={ "/recordings/" (card.path.recording) "/video.mp4#t=" (seconds) } data-jump=(seconds) {
                (words::clock(at))
            }
        }
    };
    let lasts = Duration::from_nanos(gap.to.0.saturating_sub(gap.from.0));
    html! {
        @if lasts.is_zero() {
            "At " (to(gap.from))
        } @else {
            (what) " from " (to(gap.from)) " to " (to(gap.to)) " " span.quiet { "(" (words::seconds(lasts)) ")" }
        }
        ": " (why)
    }
}

/// Where a gap lies on a line of 1000, and how wide it is: never too thin to be seen.
fn mark(gap: &Gap, lasts_ms: u64) -> (u64, u64) {
    let on_line = |at: MediaTime| (at.0 / 1000).saturating_div(lasts_ms).min(1000);
    let (from, to) = (on_line(gap.from).min(996), on_line(gap.to));
    (from, to.saturating_sub(from).max(4))
}

fn downloads(card: &Card) -> Markup {
    let id = card.path.recording;
    let texts = [
        ("vtt", "captions.vtt", "Captions (WebVTT)"),
        ("srt", "captions.srt", "Captions (SRT)"),
        ("txt", "transcript.txt", "Transcript (text)"),
    ];
    html! {
        section {
            h2 { "Downloads" }
            ul {
                @if let Some(movie) = card.movie() {
                    li {
                        a href={ "/recordings/" (id) "/video.mp4?download" } download { "Video (MP4)" }
                        " " span.quiet { (words::size(movie.plain_len.unwrap_or(movie.size))) }
                    }
                }
                @for (extension, file, name) in texts {
                    @if card.transcript(extension).is_some() {
                        li {
                            a href={ "/recordings/" (id) "/" (file) "?download" } download { (name) }
                            " " span.quiet { "machine-made" }
                        }
                    }
                }
            }
        }
    }
}

fn about(card: &Card) -> Markup {
    html! {
        section {
            h2 { "About this recording" }
            dl.facts {
                dt { "Id" } dd { code { (card.path.recording) } }
                dt { "Language" } dd lang=(card.record.language) { (words::language(&card.record.language)) }
                @if let Some(manifest) = card.manifest() {
                    dt { "Proof" } dd { "Signed list of " (manifest.objects.len()) " objects, generation " (manifest.generation) }
                }
            }
        }
    }
}
