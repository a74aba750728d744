//! What can go wrong with a store, in our words. Decides nothing about retries but whether one could help.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

pub(super) type SdkFailure<E> = SdkError<E, HttpResponse>;
type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// `If-None-Match: *` did not hold.
    #[error("{key} exists already")]
    Exists { key: String },
    #[error("{key} does not exist")]
    Missing { key: String },
    /// `If-Match` did not hold, or two writers met.
    #[error("{key} was changed by another writer")]
    Conflict { key: String },
    #[error("{key} is longer than {limit}")]
    TooLong { key: String, limit: u64 },
    /// What came back is not what was put.
    #[error("{key} differs from what was put")]
    Corrupt { key: String },
    /// A record that is not ours, or that goes back in time. Left as it is, for a person to look at.
    #[error("{key} is not a record that this recording can have: {why}; it is left as it is, restore it from a backup")]
    BadRecord { key: String, why: String },
    #[error("{key} takes age files only, and this is none")]
    Plaintext { key: String },
    /// No answer, or half of one. What was asked may have happened.
    #[error("could not {doing}: the store does not answer; see that it runs and that store.endpoint is right")]
    Unreachable { doing: String, source: Source },
    /// An answer that asks for patience (429, 5xx). What was asked may have happened.
    #[error("could not {doing}: the store is not well ({code})")]
    Busy { doing: String, code: String, source: Source },
    /// The request was signed too long ago, or too far ahead. The next is signed by the store's clock.
    #[error("could not {doing}: the store's clock and this machine's are too far apart; set the wrong one right (NTP)")]
    Skewed { doing: String, source: Source },
    /// An answer that another try would not change.
    #[error("could not {doing}: the store refuses ({code})")]
    Refused { doing: String, code: String, source: Option<Source> },
    /// The store does something that recordings cannot bear; ends in what to do.
    #[error("{0}")]
    Unfit(String),
    /// The configuration cannot be used; ends in what to do.
    #[error("{0}")]
    Config(String),
    /// The disk under the spool.
    #[error("could not read the spooled {key}")]
    Spool { key: String, source: std::io::Error },
    /// What was spooled is gone or no longer what was written. No other try finds it.
    #[error("the spooled {key} is spoilt or gone; see to the disk, and to torn/ in the spool's folder")]
    Spoilt { key: String },
}

impl StoreError {
    /// Whether the same call may go well later, with nothing changed but the time.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } | Self::Skewed { .. } => true,
            Self::Exists { .. }
            | Self::Missing { .. }
            | Self::Conflict { .. }
            | Self::TooLong { .. }
            | Self::Corrupt { .. }
            | Self::BadRecord { .. }
            | Self::Plaintext { .. }
            | Self::Refused { .. }
            | Self::Unfit(_)
            | Self::Config(_)
            | Self::Spool { .. }
            | Self::Spoilt { .. } => false,
        }
    }

    pub(super) fn refused(doing: String, code: impl Into<String>) -> Self {
        Self::Refused { doing, code: code.into(), source: None }
    }

    pub(super) fn cut_short(key: &str) -> Self {
        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Self::Unreachable { doing: format!("read all of {key}"), source: source.into() }
    }
}

/// An answer's meaning lies in its code first: gateways put the same code under different statuses.
pub(super) fn translate<E>(doing: String, key: &str, failure: SdkFailure<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = failure.raw_response().map(|response| response.status().as_u16());
    let code = failure.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default().to_owned();
    let wordless = code.is_empty();
    let named = if wordless { status.map_or_else(String::new, |status| status.to_string()) } else { code };
    let key = key.to_owned();
    if is_too_long(&failure) {
        return StoreError::refused(doing, "an answer that is too long to be one");
    }
    match (named.as_str(), status) {
        ("PreconditionFailed" | "ConditionalRequestConflict", _) | (_, Some(409 | 412)) if !owns_bucket(&named) => {
            StoreError::Conflict { key }
        }
        ("NoSuchKey" | "NotFound" | "404", _) => StoreError::Missing { key },
        ("RequestTimeTooSkewed", _) => {
            StoreError::Skewed { doing, source: DisplayErrorContext(failure).to_string().into() }
        }
        // It will not learn that by itself.
        ("NotImplemented", _) | (_, Some(501)) => StoreError::Refused { doing, code: named, source: None },
        ("SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestTimeout" | "OperationAborted", _)
        | (_, Some(429 | 500..=599)) => {
            StoreError::Busy { doing, code: named, source: DisplayErrorContext(failure).to_string().into() }
        }
        // Its sources tell the rest; all of it once more in Rust's words would help nobody.
        (_, None) => {
            let source = failure.into_source().unwrap_or_else(|whole| DisplayErrorContext(whole).to_string().into());
            StoreError::Unreachable { doing, source }
        }
        // Success with a body that cannot be read, such as one that broke off.
        (_, Some(200..=299)) if wordless => {
            StoreError::Unreachable { doing, source: DisplayErrorContext(failure).to_string().into() }
        }
        _ => {
            let source = failure.into_source().ok();
            StoreError::Refused { doing, code: named, source }
        }
    }
}

/// The guard cut it off.
fn is_too_long(failure: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(failure), |cause| cause.source());
    causes.any(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

fn owns_bucket(code: &str) -> bool {
    code.starts_with("BucketAlready")
}
