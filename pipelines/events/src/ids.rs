//! Ids and their grammar: `[A-Za-z0-9_-]{1,64}`, so that an id can never be a path, a wildcard or markup.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An id did not match `[A-Za-z0-9_-]{1,64}`. The value is not repeated: it may be hostile or secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")]
pub struct BadId {
    pub what: &'static str,
}

/// The grammar of ids as a regular expression, for schemas.
pub(crate) const GRAMMAR: &str = "^[A-Za-z0-9_-]{1,64}$";

pub(crate) fn fits(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("pattern" = GRAMMAR))]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// When `text` does not match the grammar of ids.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                if fits(&text) { Ok(Self(text)) } else { Err(BadId { what: $what }) }
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }
    };
}

id! {
    /// An institution.
    TenantId, "a tenant id"
}
id! {
    /// A room on its platform. The same room reopens again and again.
    RoomId, "a room id"
}
id! {
    /// One run of a room, from its opening to its end.
    SessionId, "a session id"
}
id! {
    /// The rule that asked for a recording.
    PolicyId, "a policy id"
}

/// A meeting platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    Janus,
}

impl Platform {
    /// As it stands in CloudEvents `source` and in routing keys.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Janus => "janus",
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Platform {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match text {
            "janus" => Ok(Self::Janus),
            _ => Err(BadId { what: "a platform" }),
        }
    }
}

/// A recording. The same room run recorded under the same policy always has the same id, so a repeated event cannot
/// start a second recording (trust.md 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String", extend("pattern" = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
pub struct RecordingId(Uuid);

impl RecordingId {
    /// UUIDv5 (RFC 9562) of tenant, session and policy.
    #[must_use]
    pub fn derive(tenant: &TenantId, session: &SessionId, policy: &PolicyId) -> Self {
        // The grammar of ids has no '/', so the joined name is unambiguous.
        let name = format!("lectern/recording/{tenant}/{session}/{policy}");
        Self(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()))
    }
}

impl std::fmt::Display for RecordingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl std::str::FromStr for RecordingId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}
