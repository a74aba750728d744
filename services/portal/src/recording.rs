//! The page of one recording: video with captions, the transcript beside it, what is missing, and downloads.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use maud::{Markup, html};
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
            div class=(if transcript.is_some() { "play both" } else { "play" }) {
                (video(&card))
                @if let Some(transcript) = &transcript { (lines(transcript)) }
            }
            (gaps(&card))
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

fn gaps(card: &Card) -> Markup {
    let gaps = card.manifest().map(|manifest| manifest.gaps.as_slice()).unwrap_or_default();
    let at = |time: media::MediaTime| words::clock(Duration::from_nanos(time.0));
    html! {
        @if !gaps.is_empty() {
            section {
                h2 { "What is missing" }
                ul { @for gap in gaps { li { "From " (at(gap.from)) " to " (at(gap.to)) ": " (gap.why) } } }
            }
        }
    }
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
