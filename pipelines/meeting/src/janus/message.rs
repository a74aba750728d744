//! What Janus says, as far as a recorder listens. Shapes only (Janus 1.1: `janus.c`, `plugins/janus_videoroom.c`).
//! Fields that other versions add are passed over; fields that a room leaves out are empty.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A room, a participant: a number, or text where VideoRoom's `string_ids` is set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Id {
    Number(u64),
    Text(String),
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            // Chosen by people: may be an address or a name.
            Self::Text(_) => f.write_str("(text)"),
        }
    }
}

/// One message of Janus' API, whatever its kind.
#[derive(Deserialize)]
pub(crate) struct Message {
    pub(crate) janus: String,
    pub(crate) transaction: Option<String>,
    /// The handle it is about.
    pub(crate) sender: Option<u64>,
    pub(crate) data: Option<Created>,
    pub(crate) plugindata: Option<PluginData>,
    pub(crate) jsep: Option<Jsep>,
    pub(crate) error: Option<Refusal>,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) reason: Option<String>,
    /// In the answer to `info`: seconds after which a silent session is forgotten; 0 for never.
    #[serde(rename = "session-timeout")]
    pub(crate) session_timeout: Option<u64>,
}

#[derive(Deserialize)]
pub(crate) struct Created {
    pub(crate) id: u64,
}

#[derive(Deserialize)]
pub(crate) struct PluginData {
    #[serde(default)]
    pub(crate) data: Value,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Jsep {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) sdp: String,
    /// What it offers is encrypted end to end. Newer servers than Debian 12's say so of subscriptions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) e2ee: bool,
}

/// `reason` is Janus' own sentence; it may repeat what was sent, so it goes into no log.
#[derive(Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
}

/// RFC 8840's candidate as Janus writes it, or word that there are no more.
#[derive(Clone, Deserialize)]
pub(crate) struct Candidate {
    #[serde(default)]
    pub(crate) candidate: String,
    #[serde(default, rename = "sdpMLineIndex")]
    pub(crate) mline: u32,
}

/// What VideoRoom says, in answer or unasked.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Notice {
    /// `joined`, `attached`, `updated`, `talking`, `stopped-talking`, `destroyed`, `event`, …
    pub(crate) videoroom: String,
    pub(crate) id: Option<Id>,
    pub(crate) mid: Option<String>,
    pub(crate) display: Option<String>,
    /// The room's title.
    pub(crate) description: Option<String>,
    pub(crate) private_id: Option<u64>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) attendees: Vec<Publisher>,
    pub(crate) participants: Vec<Publisher>,
    /// In the answer to `list`.
    pub(crate) list: Vec<Listed>,
    pub(crate) joining: Option<Publisher>,
    pub(crate) unpublished: Option<Id>,
    pub(crate) leaving: Option<Id>,
    pub(crate) kicked: Option<Id>,
    pub(crate) reason: Option<String>,
    pub(crate) moderation: Option<String>,
    pub(crate) streams: Vec<Subscribed>,
    pub(crate) error_code: Option<u32>,
}

/// A room in the server's list.
#[derive(Deserialize)]
pub(crate) struct Listed {
    pub(crate) room: Id,
    #[serde(default)]
    pub(crate) require_e2ee: bool,
}

/// Somebody in the room, with what they send.
#[derive(Clone, Deserialize)]
pub(crate) struct Publisher {
    pub(crate) id: Id,
    pub(crate) display: Option<String>,
    #[serde(default)]
    pub(crate) streams: Vec<Stream>,
}

/// One stream of a publisher.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) mid: String,
    pub(crate) codec: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) disabled: bool,
    pub(crate) moderated: bool,
}

/// One line of our subscription: which of the publisher's streams it carries now.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Subscribed {
    pub(crate) mid: String,
    pub(crate) feed_mid: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_offer_says_whether_it_is_encrypted_and_our_answer_says_nothing_of_it() {
        for (said, encrypted) in [(json!({"e2ee": true}), true), (json!({"e2ee": false}), false), (json!({}), false)] {
            let mut offer = json!({"type": "offer", "sdp": "v=0"});
            offer.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
            assert_eq!(serde_json::from_value::<Jsep>(offer).unwrap().e2ee, encrypted, "{said}");
        }
        let answer = Jsep { kind: "answer".into(), sdp: "v=0".into(), e2ee: false };
        assert_eq!(json!(answer), json!({"type": "answer", "sdp": "v=0"}));
    }
}
