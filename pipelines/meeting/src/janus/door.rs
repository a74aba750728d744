//! The way into a room: what it asks of who joins, and whether it shows the recording sign. Follows no room.

use serde_json::json;

use super::message::{Id, Notice};
use super::refusal::{self, code};
use super::wire::{Handle, WireError};
use crate::{JoinSpec, Loss};

/// Whether the server's list says that `room` takes only what is encrypted end to end. Joins nothing: nobody is shown a
/// recording sign for a recording that cannot be. Private rooms are in no list; then the offers tell.
pub(super) async fn takes_only_encrypted(control: &Handle, room: &str) -> Result<bool, WireError> {
    match control.ask(json!({"request": "list"}), None).await {
        Ok((answer, _)) => Ok(is_encrypted(&answer, room)),
        // A server that shows no list may yet let us in.
        Err(WireError::Refused(_) | WireError::Nonsense) => Ok(false),
        Err(other) => Err(other),
    }
}

fn is_encrypted(answer: &Notice, room: &str) -> bool {
    let number = room.parse().ok();
    let is_it = |id: &Id| match id {
        Id::Number(listed) => Some(*listed) == number,
        Id::Text(listed) => listed == room,
    };
    answer.list.iter().any(|listed| listed.require_e2ee && is_it(&listed.room))
}

/// Sends `join`, with the room as a number where it can be one, since that is Janus' default, else as text.
pub(super) async fn enter(control: &Handle, spec: &JoinSpec, sign: &str) -> Result<(Id, Notice), WireError> {
    let text = Id::Text(spec.room.clone());
    let mut ids = match spec.room.parse() {
        Ok(number) => vec![Id::Number(number), text],
        Err(_) => vec![text],
    };
    let mut answer = Err(WireError::Refused(code::NO_SUCH_ROOM));
    while !ids.is_empty() {
        let room = ids.remove(0);
        let mut body = json!({"request": "join", "ptype": "publisher", "room": room, "display": sign});
        if let Some(pin) = &spec.pin {
            body["pin"] = json!(pin);
        }
        answer = control.ask(body, None).await.map(|(notice, _)| (room, notice));
        if !matches!(answer, Err(WireError::Refused(code::INVALID_ELEMENT))) {
            break;
        }
    }
    answer
}

/// Whether the room's list has us under the sign: what everybody else is shown.
pub(super) async fn shows_sign(control: &Handle, room: &Id, joined: &Notice, sign: &str) -> Result<bool, WireError> {
    let (list, _) = control.ask(json!({"request": "listparticipants", "room": room}), None).await?;
    let ours = list.participants.iter().find(|someone| Some(&someone.id) == joined.id.as_ref());
    Ok(joined.videoroom == "joined" && ours.is_some_and(|ours| ours.display.as_deref() == Some(sign)))
}

/// Why there is no way in. `pin` says whether one was sent.
pub(super) fn loss(error: WireError, pin: bool) -> Loss {
    match error {
        WireError::Refused(code) => refusal::loss(code, pin),
        WireError::Address(source) => Loss::Refused(format!("{source}; check the server's url")),
        WireError::Connect(source) => Loss::Unreachable(source.to_string()),
        other @ (WireError::Late | WireError::Gone | WireError::Nonsense) => Loss::Unreachable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_tells_which_rooms_take_only_what_is_encrypted() {
        let list = json!({"videoroom": "success", "list": [
            {"room": 1, "require_e2ee": true}, {"room": 12, "require_e2ee": false}, {"room": 3},
            {"room": "algebra", "require_e2ee": true}, {"room": "7", "require_e2ee": true},
        ]});
        let list: Notice = serde_json::from_value(list).unwrap();
        for (room, encrypted) in
            [("1", true), ("12", false), ("3", false), ("4", false), ("algebra", true), ("7", true)]
        {
            assert_eq!(is_encrypted(&list, room), encrypted, "{room}");
        }
        assert!(!is_encrypted(&Notice::default(), "1"));
    }
}
