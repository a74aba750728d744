//! The watch page and the files it needs. Script and style are files, so that the page's policy can forbid all else.

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use events::RecordingId;
use maud::{DOCTYPE, Markup, html};

/// `blob:` is how Media Source Extensions hand media to the video element.
const POLICY: &str = "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'self'";

pub(crate) fn routes() -> Router {
    Router::new().route("/watch/{recording}", get(watch)).route("/assets/{file}", get(asset))
}

async fn watch(path: Result<Path<RecordingId>, PathRejection>) -> Response {
    match path {
        Ok(Path(recording)) => page(StatusCode::OK, "Live webinar", &player(recording)),
        Err(_) => page(StatusCode::NOT_FOUND, "No such webinar", &not_found()),
    }
}

fn page(status: StatusCode, title: &str, main: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/hls.min.js" defer {}
                script src="/assets/watch.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the webinar" }
                header.bar { div { p.brand { "Lectern" } } }
                (main)
            }
        }
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "public, max-age=60"),
    ];
    (status, headers, page).into_response()
}

fn player(recording: RecordingId) -> Markup {
    html! {
        main #main data-recording=(recording) {
            h1 { "Live webinar" }
            div.stage.covered #stage {
                video #player controls playsinline preload="none" aria-label="The webinar" {}
                div.words #words role="status" {
                    strong #headline { "The webinar has not started yet" }
                    span #advice {
                        noscript { "Playing needs JavaScript: allow it for this page, or open " (playlist(recording)) " in a player such as VLC. " }
                    }
                }
            }
            div.row {
                p #status role="status" hidden {}
                button #unmute type="button" hidden { "Turn the sound on" }
                button.plain #edge type="button" hidden { "Go to live" }
            }
            details {
                summary { "Keys and help" }
                dl.keys {
                    dt { kbd { "Tab" } } dd { "to the video and its controls" }
                    dt { kbd { "Space" } } dd { "play or pause" }
                    dt { kbd { "←" } " " kbd { "→" } } dd { "back and forward" }
                    dt { kbd { "↑" } " " kbd { "↓" } } dd { "louder and softer" }
                }
                p.quiet { "No picture or sound? Load the page again, then try another browser or network, then ask the organiser." }
            }
        }
    }
}

fn playlist(recording: RecordingId) -> Markup {
    html! { a href={ "/hls/" (recording) "/index.m3u8" } { "the stream" } }
}

fn not_found() -> Markup {
    html! {
        main #main {
            h1 { "No such webinar" }
            p { "The address is not complete. Copy the whole link from your invitation, or ask the organiser." }
        }
    }
}

async fn asset(Path(file): Path<String>) -> Response {
    let (kind, bytes): (_, &'static [u8]) = match file.as_str() {
        "hls.min.js" => ("text/javascript; charset=utf-8", include_bytes!("../assets/hls.min.js")),
        "hls.js-LICENSE" => ("text/plain; charset=utf-8", include_bytes!("../assets/hls.js-LICENSE")),
        "watch.js" => ("text/javascript; charset=utf-8", include_bytes!("../assets/watch.js")),
        "page.css" => ("text/css; charset=utf-8", include_bytes!("../assets/page.css")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, bytes).into_response()
}
