//! What a session tells about itself: every transition is one line, with the recording, its epoch and its room from the
//! span around it. No names, no titles.

use claim::Record;
use session::{Input, State};
use tracing::{Span, info, info_span};

pub(crate) fn span(record: &Record) -> Span {
    info_span!("session", recording = %record.recording, epoch = record.epoch, room = %record.room)
}

pub(crate) fn moved(on: &Input, from: &State, to: &State) {
    let on = heard(on);
    match to {
        State::Ended(outcome) => info!(on, from = from.word(), to = to.word(), ?outcome, "session moved"),
        State::Draining { why, .. } | State::Storing { why, .. } => {
            info!(on, from = from.word(), to = to.word(), ?why, "session moved");
        }
        _ => info!(on, from = from.word(), to = to.word(), "session moved"),
    }
}

/// One word for an input, without what it carries.
fn heard(input: &Input) -> &'static str {
    use session::{Claim, Meeting, Pipeline, Room, Storage};
    match input {
        Input::Room(Room::StopRequested) => "stop-requested",
        Input::Room(Room::Ended) => "room-ended",
        Input::Meeting(news) => match news {
            Meeting::Joined => "joined",
            Meeting::Arrived(_) | Meeting::Departed(_) => "people",
            Meeting::Track(_) | Meeting::Untrack(_) | Meeting::Muted(_) | Meeting::Unmuted(_) => "tracks",
            Meeting::Speaking(_) => "speaking",
            Meeting::Removed => "removed",
            Meeting::Lost(..) => "lost",
        },
        Input::Claim(Claim::Superseded) => "superseded",
        Input::Claim(Claim::Taken) => "taken",
        Input::Pipeline(news) => match news {
            Pipeline::Playing => "playing",
            Pipeline::Init(_) | Pipeline::Closed(..) => "made",
            Pipeline::Drained => "drained",
            Pipeline::Broke(..) => "broke",
        },
        Input::Storage(Storage::Stored(_)) => "stored",
        Input::Storage(Storage::Failed(_)) => "store-failed",
        Input::Storage(Storage::SpoolFull) => "spool-full",
        Input::Shutdown => "shutdown",
        Input::Timeout => "timeout",
    }
}
