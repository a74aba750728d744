//! The CloudEvents 1.0 envelope in structured JSON mode: reading with limits, writing, routing.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::body::Body;
use crate::decode::DecodeError;
use crate::ids::{self, Platform, RoomId, SessionId, TenantId};
use crate::strict;

/// The newest major version of every type.
const VERSION: u32 = 1;
const TYPE_PREFIX: &str = "no.lectern.";
const SCHEMA_BASE: &str = "https://lectern.no/events/";

/// Where an event comes from and what it is about; the same for every body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// CloudEvents `id`; with `source`, the key by which consumers drop repeats. Has the grammar of ids.
    pub id: String,
    /// Part of CloudEvents `source`: `/{platform}/{instance}`.
    pub platform: Platform,
    /// The server's name in our configuration, never its address. Has the grammar of ids.
    pub instance: String,
    pub tenant: TenantId,
    pub room: RoomId,
    pub session: SessionId,
    /// RFC 3339. Stored as given; decisions use the reader's own clock.
    pub time: String,
}

impl Meta {
    /// CloudEvents `source`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/{}/{}", self.platform, self.instance)
    }

    /// The moment in [`Meta::time`]. None when the maker of this value wrote none; what was read always has one.
    #[must_use]
    pub fn moment(&self) -> Option<OffsetDateTime> {
        moment(&self.time)
    }
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

impl Exchange {
    /// Its name at the broker.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "meetings.events",
            Self::Commands => "meetings.commands",
        }
    }
}

impl Event {
    /// Reads one message. Extension attributes that are not ours are passed over; data fields that are not ours are not.
    ///
    /// # Errors
    /// See [`DecodeError`]; the message is then to be parked, not retried.
    pub fn parse(message: &[u8]) -> Result<Self, DecodeError> {
        let Value::Object(mut object) = strict::read(message)? else { return Err(DecodeError::NotAnEvent) };
        let data = object.remove("data");
        let attributes = Attributes(&object);
        if attributes.text("specversion")? != "1.0" {
            return Err(DecodeError::Attribute("specversion"));
        }
        let kind = kind(attributes.text("type")?)?;
        let meta = attributes.meta()?;
        if attributes.optional("datacontenttype")?.is_some_and(|found| found != "application/json") {
            return Err(DecodeError::Attribute("datacontenttype"));
        }
        if attributes.optional("partitionkey")?.is_some_and(|found| found != meta.session.as_str()) {
            return Err(DecodeError::Attribute("partitionkey"));
        }
        attributes.optional("dataschema")?;
        let data = data.ok_or(DecodeError::Missing("data"))?;
        Ok(Self { meta, body: Body::read(kind, data)? })
    }

    /// The same event when it belongs to `tenant`.
    ///
    /// # Errors
    /// [`DecodeError::WrongTenant`]: somebody publishes into another's name; worth an alarm.
    pub fn for_tenant(self, tenant: &TenantId) -> Result<Self, DecodeError> {
        if self.meta.tenant == *tenant { Ok(self) } else { Err(DecodeError::WrongTenant) }
    }

    /// The message as it goes to the broker.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let Meta { id, tenant, room, session, time, .. } = &self.meta;
        let kind = self.body.kind();
        json!({
            "specversion": "1.0",
            "id": id,
            "source": self.meta.source(),
            "type": type_of(kind),
            "subject": room,
            "time": time,
            "datacontenttype": "application/json",
            "dataschema": data_schema(kind),
            "tenant": tenant,
            "sessionid": session,
            "partitionkey": session,
            "data": self.body.data(),
        })
        .to_string()
        .into_bytes()
    }

    #[must_use]
    pub fn exchange(&self) -> Exchange {
        self.body.exchange()
    }

    /// `{tenant}.{platform}.{entity}.{verb}.{room}`, the room as [`room_key`]; at most 120 bytes of AMQP's 255.
    #[must_use]
    pub fn routing_key(&self) -> String {
        let Meta { tenant, platform, room, .. } = &self.meta;
        format!("{tenant}.{platform}.{}.{}", self.body.kind(), room_key(room))
    }
}

/// A room in a routing key: 16 hex digits of its id's SHA-256. Keys are visible to every client and in every log, and
/// an id may say more than a number.
#[must_use]
pub fn room_key(room: &RoomId) -> String {
    hex::encode(&Sha256::digest(room.as_str())[..8])
}

/// A CloudEvents `id` that is the same whenever the same thing is told again: 32 hex digits of a hash over `source`,
/// kind, room, session and `sequence`, which tells apart what the others do not (a participant and a count, say).
#[must_use]
pub fn event_id(source: &str, kind: &str, room: &RoomId, session: &SessionId, sequence: &str) -> String {
    let mut hash = Sha256::new();
    for part in [source, kind, room.as_str(), session.as_str(), sequence] {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// CloudEvents `type`: reverse DNS and major version.
pub(crate) fn type_of(kind: &str) -> String {
    format!("{TYPE_PREFIX}{kind}.v{VERSION}")
}

/// Where the schema of a whole message of this kind is said to be.
pub(crate) fn schema_id(kind: &str) -> String {
    format!("{SCHEMA_BASE}{kind}.v{VERSION}.json")
}

/// CloudEvents `dataschema`: the part of it that describes `data`.
pub(crate) fn data_schema(kind: &str) -> String {
    format!("{}#/properties/data", schema_id(kind))
}

fn kind(name: &str) -> Result<&str, DecodeError> {
    let (kind, version) = name
        .strip_prefix(TYPE_PREFIX)
        .and_then(|rest| rest.rsplit_once(".v"))
        .filter(|(kind, _)| Body::KINDS.contains(kind))
        .ok_or(DecodeError::UnknownType)?;
    match version.parse() {
        Ok(VERSION) => Ok(kind),
        Ok(VERSION..) => Err(DecodeError::NewerVersion),
        Ok(0) | Err(_) => Err(DecodeError::UnknownType),
    }
}

fn moment(time: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(time, &Rfc3339).ok()
}

struct Attributes<'a>(&'a Map<String, Value>);

impl<'a> Attributes<'a> {
    fn optional(&self, name: &'static str) -> Result<Option<&'a str>, DecodeError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(DecodeError::Attribute(name)),
        }
    }

    fn text(&self, name: &'static str) -> Result<&'a str, DecodeError> {
        self.optional(name)?.ok_or(DecodeError::Missing(name))
    }

    fn meta(&self) -> Result<Meta, DecodeError> {
        let source = self.text("source")?;
        let (platform, instance) = source
            .strip_prefix('/')
            .and_then(|rest| rest.split_once('/'))
            .filter(|(_, instance)| ids::fits(instance))
            .ok_or(DecodeError::Attribute("source"))?;
        let platform = platform.parse().map_err(|_| DecodeError::Attribute("source"))?;
        let id = self.text("id")?;
        if !ids::fits(id) {
            return Err(DecodeError::Attribute("id"));
        }
        let time = self.text("time")?;
        moment(time).ok_or(DecodeError::Attribute("time"))?;
        Ok(Meta {
            id: id.to_owned(),
            platform,
            instance: instance.to_owned(),
            tenant: TenantId::new(self.text("tenant")?)?,
            room: RoomId::new(self.text("subject")?)?,
            session: SessionId::new(self.text("sessionid")?)?,
            time: time.to_owned(),
        })
    }
}
