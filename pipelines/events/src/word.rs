//! Short texts with a grammar: what is free text in other contracts is a closed alphabet here, so that no name, title,
//! address or markup can travel in it.

use serde::{Deserialize, Deserializer, de::Error};

use crate::ids;

/// BCP 47: letters and digits in groups, 35 characters at most (RFC 5646 4.4.1).
pub(crate) const LANGUAGE: &str = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,5}$";
/// A file name and a hash.
pub(crate) const MODEL: &str = "^[A-Za-z0-9._:@ +-]{1,200}$";

/// `[A-Za-z0-9_-]{1,64}`, as ids.
pub(crate) fn word<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    checked(input, ids::fits, "a word of 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
}

pub(crate) fn language<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    checked(input, is_language, "a BCP 47 language tag")
}

pub(crate) fn model<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let fits = |text: &str| {
        (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@ +-".contains(&b))
    };
    checked(input, fits, "a model's file name and hash")
}

/// Whether `text` has the form of a language tag that events carry.
#[must_use]
pub fn is_language(text: &str) -> bool {
    let mut groups = text.split('-');
    let first = groups.next().unwrap_or_default();
    let sound = |group: &str| (1..=8).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_alphanumeric());
    (2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && groups.clone().count() <= 5
        && groups.all(sound)
}

fn checked<'de, D: Deserializer<'de>>(
    input: D,
    fits: impl Fn(&str) -> bool,
    what: &'static str,
) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if fits(&text) { Ok(text) } else { Err(D::Error::custom(what)) }
}
