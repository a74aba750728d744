//! Janus' event handler messages (janus.plugin.videoroom, type 64) as facts. Pure. A display name is looked at for the
//! recording sign and goes no further.
//!
//! Checked against what Janus 1.1.2 sends; `tests/news/*.jsonl` is a recording of it. A room's title is in none of it.

use events::RoomId;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// News is some 500 bytes; a group that a busy server collects is some hundred of them.
const MAX_BYTES: usize = 1024 * 1024;

/// Something that happened in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub room: RoomId,
    /// Janus' own clock in microseconds since 1970: a number that tells happenings apart, not a time to act on.
    pub at: i64,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// `bot`: one of ours, by the recording sign in its display name.
    Joined {
        who: String,
        bot: bool,
    },
    Published {
        who: String,
        bot: bool,
    },
    Unpublished {
        who: String,
    },
    /// Left or was kicked.
    Left {
        who: String,
    },
    Destroyed,
}

/// What one message held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    pub facts: Vec<Fact>,
    /// Happenings in rooms whose id is outside our grammar; such a room cannot be recorded.
    pub foreign_rooms: usize,
}

/// Reads one message: an object, or an array of them where the handler groups. What is not about rooms is passed over,
/// and so is what is not Janus' at all: the exchange is not ours to police.
#[must_use]
pub fn read(message: &[u8], sign: &str) -> News {
    let mut news = News::default();
    // Statistics come every second for every stream; they are turned away before they are parsed.
    if message.len() > MAX_BYTES || !mentions_rooms(message) {
        return news;
    }
    let Ok(group) = serde_json::from_slice::<Group>(message) else { return news };
    let items = match group {
        Group::One(item) => vec![*item],
        Group::Many(items) => items,
    };
    for item in items {
        let Some(data) = item.room_news() else { continue };
        let Some(what) = data.what(sign) else { continue };
        match data.room.as_ref().and_then(plain).map(RoomId::new) {
            Some(Ok(room)) => news.facts.push(Fact { room, at: item.timestamp, what }),
            Some(Err(_)) => news.foreign_rooms += 1,
            None => {}
        }
    }
    news
}

/// A participant's id as events carry it: Janus' number, or its string where that has the grammar of ids, or a hash.
#[must_use]
pub fn participant(id: &Value) -> Option<String> {
    let id = plain(id)?;
    let fits = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    Some(if fits { id } else { format!("h-{}", hex::encode(&Sha256::digest(&id)[..12])) })
}

/// A number or a string, as `string_ids` of VideoRoom's configuration decides.
pub(crate) fn plain(id: &Value) -> Option<String> {
    match id {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn mentions_rooms(message: &[u8]) -> bool {
    const PLUGIN: &[u8] = b"janus.plugin.videoroom";
    message.windows(PLUGIN.len()).any(|window| window == PLUGIN)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Group {
    One(Box<Item>),
    Many(Vec<Item>),
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    sort: u32,
    #[serde(default)]
    timestamp: i64,
    #[serde(default)]
    event: Value,
}

/// Plugin events (Janus, "Event handlers": 64).
const PLUGIN_EVENT: u32 = 64;

impl Item {
    fn room_news(&self) -> Option<Data> {
        let ours = self.sort == PLUGIN_EVENT && self.event.get("plugin")? == "janus.plugin.videoroom";
        if ours { Data::deserialize(self.event.get("data")?).ok() } else { None }
    }
}

#[derive(Deserialize)]
struct Data {
    event: String,
    room: Option<Value>,
    id: Option<Value>,
    display: Option<String>,
}

impl Data {
    fn what(&self, sign: &str) -> Option<What> {
        let who = || participant(self.id.as_ref()?);
        let bot = self.display.as_ref().is_some_and(|display| display.starts_with(sign));
        match self.event.as_str() {
            "joined" => Some(What::Joined { who: who()?, bot }),
            "published" => Some(What::Published { who: who()?, bot }),
            "unpublished" => Some(What::Unpublished { who: who()? }),
            "leaving" | "kicked" => Some(What::Left { who: who()? }),
            "destroyed" => Some(What::Destroyed),
            _ => None,
        }
    }
}
