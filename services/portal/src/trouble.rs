//! When a page cannot be shown: what happened, in words, and what to do. Says nothing that the asker did not know.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use storage::seal::SealError;
use storage::store::StoreError;

use crate::page;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No token was shown, or a wrong one.
    Locked,
    NoSuchPage,
    /// The store does not answer.
    Unreachable,
    /// What the store gave is not what was signed, or its key is missing.
    Unreadable,
}

impl Trouble {
    fn status(self) -> StatusCode {
        match self {
            Self::Locked => StatusCode::UNAUTHORIZED,
            Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreadable => StatusCode::BAD_GATEWAY,
        }
    }

    /// What happened, and what to do.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Locked => (
                "This portal is locked",
                "Open the link that the portal printed when it first started. Whoever runs the portal finds the same word \
                 in its token file: put it after ?token= at the end of the address.",
            ),
            Self::NoSuchPage => {
                ("There is no such page", "Go to the list of recordings; perhaps the recording was disposed of.")
            }
            Self::Unreachable => (
                "The recordings cannot be reached",
                "Load this page again in a minute. If that does not help, whoever runs the portal should look at the \
                 store that [store].endpoint names.",
            ),
            Self::Unreadable => (
                "This recording cannot be opened",
                "It was altered, or its key is missing. Leave everything as it is, and give its id to whoever runs the \
                 portal: `lectern recordings verify` tells which object is wrong.",
            ),
        }
    }

    /// As JSON (RFC 9457) for programs, as a page for people.
    pub(crate) fn at(self, path: &str) -> Response {
        if path.starts_with("/api/") { self.problem() } else { self.into_response() }
    }

    pub(crate) fn problem(self) -> Response {
        let (title, detail) = self.words();
        let body = serde_json::json!({ "status": self.status().as_u16(), "title": title, "detail": detail });
        (self.status(), [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (title, advice) = self.words();
        let body = html! {
            h1 { (title) }
            p { (advice) }
            @if self != Self::Locked { p { a href="/" { "All recordings" } } }
        };
        (self.status(), page::frame(title, &body)).into_response()
    }
}

impl From<StoreError> for Trouble {
    fn from(why: StoreError) -> Self {
        tracing::warn!(%why, "the store could not answer a page");
        Self::Unreachable
    }
}

impl From<SealError> for Trouble {
    fn from(why: SealError) -> Self {
        tracing::error!(%why, "an object could not be opened");
        if why.is_passing() { Self::Unreachable } else { Self::Unreadable }
    }
}
