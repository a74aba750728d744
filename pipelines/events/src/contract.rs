//! The contract as documents, made from the types: a JSON Schema per event and one AsyncAPI 3.0 document. The files in
//! `schemas/` and `asyncapi.json` are what these functions return; a test compares.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::envelope::{Exchange, data_schema, schema_id, type_of};
use crate::ids::GRAMMAR;

/// The schema (draft 7, which AsyncAPI understands) of a whole message of `kind`; None when there is no such kind.
#[must_use]
pub fn schema(kind: &str) -> Option<Value> {
    let mut generator = SchemaSettings::draft07().with(|s| s.inline_subschemas = true).into_generator();
    let data = Body::schema_of(kind, &mut generator)?;
    let id = json!({ "type": "string", "pattern": GRAMMAR });
    Some(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": schema_id(kind),
        "title": type_of(kind),
        "description": "A CloudEvents 1.0 message in structured JSON mode.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time", "tenant", "sessionid", "data"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": id,
            "source": { "type": "string", "pattern": "^/[a-z]+/[A-Za-z0-9_-]{1,64}$", "description": "/{platform}/{instance}" },
            "type": { "const": type_of(kind) },
            "subject": with(&id, "The room's id."),
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": { "const": "application/json" },
            "dataschema": { "type": "string", "format": "uri", "examples": [data_schema(kind)] },
            "tenant": with(&id, "The institution."),
            "sessionid": with(&id, "One run of the room, from its opening to its end."),
            "partitionkey": with(&id, "The same as sessionid."),
            "data": data,
        },
    }))
}

/// The AsyncAPI 3.0 document.
#[must_use]
pub fn asyncapi() -> Value {
    let messages: Map<String, Value> =
        Body::KINDS.iter().filter_map(|kind| Some(((*kind).to_owned(), message(kind)?))).collect();
    let room_news = ["room.", "participant.", "track."];
    let (theirs, ours): (Vec<&str>, Vec<&str>) =
        kinds_on(Exchange::Events).partition(|kind| room_news.iter().any(|prefix| kind.starts_with(prefix)));
    let commands: Vec<&str> = kinds_on(Exchange::Commands).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lectern",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What happens in meetings, what is wanted of the recorder, and what became of it. Messages carry ids only: no names, titles, tokens or keys. Delivery is at least once; drop repeats by (source, id).",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            Exchange::Events.name(): channel(Exchange::Events, "What happened."),
            Exchange::Commands.name(): channel(Exchange::Commands, "What is wanted."),
        },
        "operations": {
            "tellProgress": operation("send", Exchange::Events, &ours, "Lectern tells what becomes of a recording."),
            "tellRoom": operation("send", Exchange::Events, &theirs, "The bridge tells what happens in rooms."),
            "hearRoom": operation("receive", Exchange::Events, &theirs, "Other bridges may tell it too."),
            "hearWish": operation("receive", Exchange::Commands, &commands, "A policy, a lecturer or an operator asks."),
            "tellWish": operation("send", Exchange::Commands, &commands, "The bridge asks where a policy says so; `lectern record` for a person."),
        },
        "components": { "messages": messages },
    })
}

fn kinds_on(exchange: Exchange) -> impl Iterator<Item = &'static str> {
    Body::KINDS.iter().copied().filter(move |kind| Body::exchange_of(kind) == Some(exchange))
}

fn message(kind: &str) -> Option<Value> {
    Some(json!({
        "name": type_of(kind),
        "title": kind,
        "contentType": "application/cloudevents+json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-07",
            "schema": schema(kind)?,
        },
    }))
}

fn channel(exchange: Exchange, description: &str) -> Value {
    let messages: Map<String, Value> = kinds_on(exchange)
        .map(|kind| (kind.to_owned(), json!({ "$ref": format!("#/components/messages/{kind}") })))
        .collect();
    json!({
        "address": exchange.name(),
        "description": format!("{description} Routing key: {{tenant}}.{{platform}}.{{entity}}.{{verb}}.{{first 16 hex digits of the room id's SHA-256}}."),
        "messages": messages,
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": { "name": exchange.name(), "type": "topic", "durable": true, "autoDelete": false },
        } },
    })
}

fn operation(action: &str, exchange: Exchange, kinds: &[&str], summary: &str) -> Value {
    let channel = exchange.name();
    let messages: Vec<Value> =
        kinds.iter().map(|kind| json!({ "$ref": format!("#/channels/{channel}/messages/{kind}") })).collect();
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "summary": summary,
        "messages": messages,
    })
}

fn with(schema: &Value, description: &str) -> Value {
    let mut schema = schema.clone();
    schema["description"] = description.into();
    schema
}
