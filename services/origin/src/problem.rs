//! Answers that are not what was asked for, as `application/problem+json` (RFC 9457). They repeat nothing of the
//! request.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hls::PushError;

use crate::webinars::Refused;

/// A status and a sentence for people.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "status": self.0.as_u16(),
            "title": self.0.canonical_reason().unwrap_or("error"),
            "detail": self.1,
        });
        (self.0, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::Push(PushError::Fenced { .. } | PushError::Ended) => StatusCode::CONFLICT,
            Refused::Unknown | Refused::Push(PushError::NoInit | PushError::PartsMissing { .. }) => {
                StatusCode::PRECONDITION_FAILED
            }
            Refused::Push(PushError::InitChanged | PushError::TooLong { .. } | PushError::TooFarAhead { .. }) => {
                StatusCode::BAD_REQUEST
            }
            Refused::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, refused.to_string())
    }
}
