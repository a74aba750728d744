//! The CloudEvents envelope: reading with limits, writing, routing.

use crate::body::Body;
use crate::ids::{Platform, RoomId, SessionId, TenantId};

/// Where an event comes from and what it is about; the same for every body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// CloudEvents `id`; with `source`, the key by which consumers drop repeats.
    pub id: String,
    /// Part of CloudEvents `source`: `/{platform}/{instance}`.
    pub platform: Platform,
    /// The server's name in our configuration, never its address.
    pub instance: String,
    pub tenant: TenantId,
    pub room: RoomId,
    pub session: SessionId,
    /// RFC 3339. Stored as given; decisions use the reader's own clock.
    pub time: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub meta: Meta,
    pub body: Body,
}

/// The two topic exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// `meetings.events`: what happened.
    Events,
    /// `meetings.commands`: what is wanted.
    Commands,
}

/// Why a message is not an event of ours. Every reason leads to the parking queue, none to a retry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("the message has {0} bytes, more than 65536")]
    TooLong(usize),
}

impl Event {
    /// Reads one message.
    ///
    /// # Errors
    /// See [`DecodeError`]; the message is then to be parked, not retried.
    pub fn parse(_message: &[u8]) -> Result<Self, DecodeError> {
        todo!()
    }

    /// The message as it goes to the broker.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        todo!()
    }

    #[must_use]
    pub fn exchange(&self) -> Exchange {
        todo!()
    }

    /// `{tenant}.{platform}.{entity}.{verb}`.
    #[must_use]
    pub fn routing_key(&self) -> String {
        todo!()
    }
}
