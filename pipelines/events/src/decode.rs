//! Why a message is not an event of ours, in words for people and in one word for machines. Values are never repeated:
//! they may be hostile, personal or secret.

use crate::ids::BadId;

/// Why a message is not an event of ours. Every reason leads to the parking queue, none to a retry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("the message has {0} bytes, more than {max}", max = crate::strict::MAX_BYTES)]
    TooLong(usize),
    #[error("the message is not UTF-8 text without byte order mark")]
    Encoding,
    #[error("the message nests deeper than {max}", max = crate::strict::MAX_DEPTH)]
    TooDeep,
    #[error("a number is not an integer of 64 bits with sign")]
    Number,
    #[error("the message is not JSON at line {line}, column {column}")]
    NotJson { line: usize, column: usize },
    #[error("a key stands twice in one object")]
    DuplicateKey,
    #[error("a member looks like a key or a credential; take it for exposed, and renew it")]
    Secret,
    #[error("the message is not a JSON object")]
    NotAnEvent,
    #[error("the attribute {0} is missing")]
    Missing(&'static str),
    #[error("the attribute {0} has a value outside the contract")]
    Attribute(&'static str),
    #[error(transparent)]
    BadId(#[from] BadId),
    #[error("the type is none that this version knows")]
    UnknownType,
    #[error("the type's version is newer than this program; update it")]
    NewerVersion,
    #[error("the data of {0} do not match its schema")]
    Data(&'static str),
    #[error("the event belongs to another tenant")]
    WrongTenant,
}

impl DecodeError {
    /// One word of `a-z` and `-`, for logs, metrics and the header of a parked message.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too-long",
            Self::Encoding => "encoding",
            Self::TooDeep => "too-deep",
            Self::Number => "number",
            Self::NotJson { .. } => "not-json",
            Self::DuplicateKey => "duplicate-key",
            Self::Secret => "secret",
            Self::NotAnEvent => "not-an-event",
            Self::Missing(_) => "missing-attribute",
            Self::Attribute(_) => "bad-attribute",
            Self::BadId(_) => "bad-id",
            Self::UnknownType => "unknown-type",
            Self::NewerVersion => "newer-version",
            Self::Data(_) => "bad-data",
            Self::WrongTenant => "wrong-tenant",
        }
    }
}
