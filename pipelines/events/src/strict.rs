//! JSON as this contract reads it: short, shallow, integers only, no key twice, nothing that looks like a secret.
//! What fails here was never built into a value.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::decode::DecodeError;
use crate::secrets;

/// A hundred times the longest event, a thousandth of what the broker would carry.
pub const MAX_BYTES: usize = 64 * 1024;
/// Events are two deep; the rest is for extension attributes of others.
pub const MAX_DEPTH: usize = 16;

/// Reads one JSON value.
pub(crate) fn read(message: &[u8]) -> Result<Value, DecodeError> {
    let text = text(message)?;
    scan(text)?;
    let fault = Cell::new(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Node(&fault).deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    value.map_err(|e| fault.take().unwrap_or(DecodeError::NotJson { line: e.line(), column: e.column() }))
}

fn text(message: &[u8]) -> Result<&str, DecodeError> {
    if message.len() > MAX_BYTES {
        return Err(DecodeError::TooLong(message.len()));
    }
    // RFC 8259 8.1 wants UTF-8 without mark. JSON text holds no NUL byte, UTF-16 of it always does.
    if message.starts_with(b"\xef\xbb\xbf") || message.contains(&0) {
        return Err(DecodeError::Encoding);
    }
    std::str::from_utf8(message).map_err(|_| DecodeError::Encoding)
}

/// Walks the tokens once, before anything is allocated: depth and numbers. What is no JSON at all is left to the parser.
fn scan(text: &str) -> Result<(), DecodeError> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(DecodeError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let more =
                    rest.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')).count();
                let number = &text[at - 1..at + more];
                at += more;
                if number.parse::<i64>().is_err() {
                    return Err(DecodeError::Number);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The index after the closing quote of the string that begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    at
}

/// Builds a value and notes in the cell why it had to stop, for serde's own error is only text.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Cell<Option<DecodeError>>);

impl Node<'_> {
    fn refuse<T, E: Error>(self, why: DecodeError) -> Result<T, E> {
        self.0.set(Some(why));
        Err(E::custom("refused"))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    // `-0` passes the scan and is a float to serde_json.
    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        self.refuse(DecodeError::Number)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        if secrets::in_value(value) { self.refuse(DecodeError::Secret) } else { Ok(value.into()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if secrets::in_name(&key) {
                return self.refuse(DecodeError::Secret);
            }
            let value = members.next_value_seed(self)?;
            if object.insert(key, value).is_some() {
                return self.refuse(DecodeError::DuplicateKey);
            }
        }
        Ok(object.into())
    }
}
