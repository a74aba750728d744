//! Short words for inputs, states and actions, so that tables can be read.

#![allow(dead_code)] // each test file uses its own share

use media::{Codec, Participant, ParticipantId, Rendition, Source, Track, TrackId};
use session::{
    Action, Ending, Fault, Input, Meeting, News, Object, Outcome, Pipeline, Reason, Release, State, Storage,
};

pub(crate) fn joined() -> Input {
    Input::Meeting(Meeting::Joined)
}

/// A camera of the same name as its owner.
pub(crate) fn a_track(name: &str) -> Track {
    let participant = ParticipantId(name.into());
    Track { id: TrackId(name.into()), participant, source: Source::Camera, codec: Codec::Vp8 }
}

pub(crate) fn track(name: &str) -> Input {
    Input::Meeting(Meeting::Track(a_track(name)))
}

pub(crate) fn untrack(name: &str) -> Input {
    Input::Meeting(Meeting::Untrack(TrackId(name.into())))
}

pub(crate) fn arrived(name: &str) -> Input {
    Input::Meeting(Meeting::Arrived(Participant { id: ParticipantId(name.into()), name: name.to_uppercase() }))
}

pub(crate) fn lost(fault: Fault) -> Input {
    Input::Meeting(Meeting::Lost(fault, Reason::Unreachable))
}

fn segment(number: u64) -> Object {
    Object::Segment(Rendition::video(), number)
}

pub(crate) fn closed(number: u64) -> Input {
    Input::Pipeline(Pipeline::Closed(Rendition::video(), number))
}

pub(crate) fn stored(number: u64) -> Input {
    Input::Storage(Storage::Stored(segment(number)))
}

pub(crate) fn failed(number: u64) -> Input {
    Input::Storage(Storage::Failed(segment(number)))
}

pub(crate) fn stand(state: &State) -> String {
    match state {
        State::Joining { attempt, .. } => format!("joining {attempt}"),
        State::Lobby { attempt, .. } => format!("lobby {attempt}"),
        State::Starting { attempt, .. } => format!("starting {attempt}"),
        State::Live { .. } => "live".into(),
        State::Rejoining { attempt, .. } => format!("rejoining {attempt}"),
        State::HandingOver { .. } => "handing over".into(),
        State::Draining { why, .. } => format!("draining: {}", ending(*why)),
        State::Storing { why, .. } => format!("storing: {}", ending(*why)),
        State::Ended(outcome) => format!("ended: {}", out(*outcome)),
    }
}

fn ending(why: Ending) -> String {
    match why {
        Ending::Complete => "complete".into(),
        Ending::Cut(reason) => format!("cut({})", reason.word()),
        Ending::HandedOver => "handed over".into(),
        Ending::Superseded => "superseded".into(),
    }
}

fn out(outcome: Outcome) -> String {
    let fault = |fault| match fault {
        Fault::Passing => "passing",
        Fault::Room => "room",
        Fault::Worker => "worker",
    };
    match outcome {
        Outcome::Complete => "complete".into(),
        Outcome::Cut(reason) => format!("cut({})", reason.word()),
        Outcome::Empty(reason) => format!("empty({})", reason.word()),
        Outcome::Failed(whose, reason) => format!("failed({}, {})", fault(whose), reason.word()),
        Outcome::HandedOver => "handed over".into(),
        Outcome::Superseded => "superseded".into(),
    }
}

pub(crate) fn act(actions: &[Action]) -> String {
    actions.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn one(action: &Action) -> String {
    match action {
        Action::Join { attempt } => format!("join({attempt})"),
        Action::Leave => "leave".into(),
        Action::Start(_) => "start".into(),
        Action::AddTrack(track) => format!("add({})", track.id),
        Action::DropTrack(id) => format!("drop({id})"),
        Action::Arrange(scene) => format!("arrange({})", scene.tiles.len()),
        Action::Drain => "drain".into(),
        Action::Kill => "kill".into(),
        Action::Store(Object::Init(_)) => "store(init)".into(),
        Action::Store(Object::Segment(_, number)) => format!("store({number})"),
        Action::Store(Object::Journal) => "store(journal)".into(),
        Action::Announce(News::Joined { attempt }) => format!("announce(joined {attempt})"),
        Action::Announce(News::Started) => "announce(started)".into(),
        Action::Announce(News::Ended(outcome)) => {
            format!("announce({})", out(*outcome).split('(').next().unwrap_or_default())
        }
        Action::Release(Release::Finished(_)) => "release".into(),
        Action::Release(Release::HandOver) => "offer".into(),
    }
}
