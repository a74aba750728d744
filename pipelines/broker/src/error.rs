//! What can go wrong, in words that end in what to do. No password, message or lapin type is in here.

use std::path::PathBuf;

use events::DecodeError;

/// Any lower layer's error, for the chain of sources only.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("broker.url must read amqp://host:5672/vhost or amqps://…, without user and password in it")]
    Address,
    #[error("broker.password_file is not set; every user but guest needs one")]
    NoPassword,
    #[error("cannot read the broker's password from {path}; mend broker.password_file")]
    Password { path: PathBuf, source: std::io::Error },
    #[error(
        "cannot read the key for signing events from {path}; mend signing_key_file and previous_key_file of [broker]"
    )]
    Key { path: PathBuf, source: std::io::Error },
    #[error("the key in {path} is too short; write 32 or more random characters, as `openssl rand -hex 32` makes them")]
    ShortKey { path: PathBuf },
    #[error("cannot reach the broker at {at}; is it running, and is broker.url right?")]
    Unreachable { at: String, source: Option<Cause> },
    #[error("the broker at {at} refused user {user}; check broker.user and the password file")]
    Credentials { at: String, user: String },
    #[error("the broker at {at} has no virtual host {vhost} for user {user}; make it, or mend broker.url")]
    VirtualHost { at: String, vhost: String, user: String },
    #[error(
        "the broker at {at} does not take our queues as they are; RabbitMQ 3.10 or newer is needed, and queues of the same name with other settings must go"
    )]
    Topology { at: String, source: Cause },
    #[error("{kind} does not satisfy the contract, and no receiver would read it")]
    Unfit { kind: &'static str, source: DecodeError },
    #[error("nobody takes {kind}: no queue is bound for it; is a worker for this room running?")]
    Unroutable { kind: &'static str },
    #[error("the broker refused {kind}; its queue is full or has lost its majority")]
    Refused { kind: &'static str },
    #[error("the broker did not confirm {kind} in time; it may have it or not")]
    Unconfirmed { kind: &'static str },
    #[error("the connection that brought this message is gone; the message comes again")]
    Superseded,
    #[error("stopped before the broker could be reached")]
    Stopped,
}

impl Error {
    /// Whether the same call may succeed later without anybody mending anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Unconfirmed { .. } | Self::Superseded => true,
            Self::Address
            | Self::NoPassword
            | Self::Password { .. }
            | Self::Key { .. }
            | Self::ShortKey { .. }
            | Self::Credentials { .. }
            | Self::VirtualHost { .. }
            | Self::Topology { .. }
            | Self::Unfit { .. }
            | Self::Unroutable { .. }
            | Self::Stopped => false,
        }
    }
}
