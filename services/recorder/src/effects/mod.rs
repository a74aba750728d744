//! Performs what a session asks for, and brings back what comes of it. Every action is begun and left; results are inputs.
//! Decides nothing: the session does.

mod hear;
mod tell;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meeting::JoinSpec;
use session::{
    Action, Ending, Fault, Input, Meeting, Object, Outcome, Pipeline, Reason, Release, Room, State, Storage,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error};

use crate::attendance;
use crate::clerk::{Clerk, Duty, now};
use crate::epoch::Next;
use crate::faults;
use crate::keep::Keeper;
use crate::log::Log;
use crate::origin::Origin;
use crate::process::{BACKLOG, Heard, Launch, Media};
use crate::steward::Shy;
use crate::take::Job;
use crate::wire::Command;

/// For the origin to take the last parts.
const LAST_PARTS: Duration = Duration::from_secs(5);

pub(crate) struct Effects {
    job: Job,
    join: JoinSpec,
    launch: Arc<dyn Launch>,
    /// The media process, and its number: what an earlier one still says is not heard.
    media: Option<Media>,
    number: u32,
    tell: mpsc::Sender<(u32, Heard)>,
    heard: mpsc::Receiver<(u32, Heard)>,
    /// Attempts to join, over all media processes: what is seen in an earlier attempt is not heard.
    joins: u32,
    pipeline: bool,
    live: bool,
    ending: JoinSet<()>,
    keeper: Keeper,
    clerk: Clerk,
    origin: Option<Origin>,
    room: attendance::Room,
    log: Log,
    /// When the room was lost, while it is.
    lost: Option<media::WallTime>,
    /// What the next epoch needs when this one ends before the recording does.
    next: Next,
    shy: Arc<Shy>,
    heard_of: HeardOf,
    capture: Capture,
    /// The recording is offered to other workers.
    offered: bool,
    /// It ends with this epoch.
    last_word: bool,
    waiting: VecDeque<Input>,
}

/// What decides about who goes on with a recording that is given up.
#[derive(Debug, Default)]
struct HeardOf {
    /// This worker is to end.
    shutdown: bool,
    /// This worker is ill.
    illness: bool,
    /// Why somebody said, first, that the recording is over. A host who removes the recorder says so: nobody is sent again.
    end: Option<Reason>,
    /// A segment of this epoch is stored.
    stored: bool,
}

/// How far capturing has come.
#[derive(Debug, Default, Clone, Copy)]
struct Capture {
    /// The ledger was told that it begins.
    begun: bool,
    /// The pipeline plays: what comes now is captured.
    plays: bool,
    /// It has sent all that it had.
    drained: bool,
    /// The ledger was told that it came to nothing.
    nothing: bool,
}

/// What an epoch is made with.
pub(crate) struct Parts {
    pub(crate) join: JoinSpec,
    pub(crate) launch: Arc<dyn Launch>,
    pub(crate) keeper: Keeper,
    pub(crate) clerk: Clerk,
    pub(crate) origin: Option<Origin>,
    pub(crate) log: Log,
    /// How the platform shows that it is being recorded.
    pub(crate) sign: String,
    pub(crate) next: Next,
    pub(crate) shy: Arc<Shy>,
}

impl Effects {
    pub(crate) fn new(job: Job, parts: Parts) -> Self {
        let (tell, heard) = mpsc::channel(BACKLOG);
        let room = attendance::Room::new(job.asked.clone(), parts.sign);
        Self {
            job,
            join: parts.join,
            launch: parts.launch,
            media: None,
            number: 0,
            tell,
            heard,
            joins: 0,
            pipeline: false,
            live: false,
            ending: JoinSet::new(),
            keeper: parts.keeper,
            clerk: parts.clerk,
            origin: parts.origin,
            room,
            log: parts.log,
            lost: None,
            next: parts.next,
            shy: parts.shy,
            heard_of: HeardOf::default(),
            capture: Capture::default(),
            offered: false,
            last_word: false,
            waiting: VecDeque::new(),
        }
    }

    /// What happens next. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Input {
        loop {
            if let Some(input) = self.waiting.pop_front() {
                return input;
            }
            tokio::select! {
                Some((number, heard)) = self.heard.recv() => {
                    if number == self.number && let Some(input) = self.hear(heard) {
                        return input;
                    }
                }
                Some(news) = self.keeper.next() => return Input::Storage(news),
                claim = self.clerk.told() => return Input::Claim(claim),
                Some(_) = self.ending.join_next() => {}
            }
        }
    }

    pub(crate) fn note(&mut self, input: &Input, at: Instant) {
        self.log.note(input, at);
        match input {
            Input::Shutdown => self.heard_of.shutdown = true,
            Input::Room(Room::StopRequested) => _ = self.heard_of.end.get_or_insert(Reason::Stopped),
            Input::Room(Room::Ended) => _ = self.heard_of.end.get_or_insert(Reason::RoomEnded),
            Input::Meeting(Meeting::Removed) => _ = self.heard_of.end.get_or_insert(Reason::Removed),
            Input::Meeting(Meeting::Lost(Fault::Worker, _)) | Input::Pipeline(Pipeline::Broke(Fault::Worker, _)) => {
                self.heard_of.illness = true;
            }
            Input::Pipeline(Pipeline::Playing) => self.capture.plays = true,
            Input::Pipeline(Pipeline::Drained) => self.capture.drained = true,
            Input::Storage(Storage::Stored(Object::Segment(..))) if !self.heard_of.stored => {
                self.heard_of.stored = true;
                self.clerk.put(Duty::Stored);
            }
            _ => {}
        }
    }

    /// The session went from one state to another.
    pub(crate) fn moved(&mut self, from: &State, to: &State) {
        self.last_word |= matches!(to, State::Storing { why: Ending::Complete | Ending::Cut(_), .. });
        let away = |state: &State| matches!(state, State::Rejoining { .. });
        if away(to) && !away(from) {
            self.lost = Some(now());
        }
        if away(from)
            && !away(to)
            && let Some(lost) = self.lost.take()
        {
            self.keeper.gap(lost, now(), "out of the room");
        }
    }

    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::Join { .. } => self.join(),
            Action::Leave => self.say(Command::Leave),
            Action::Start(spec) => {
                self.pipeline = true;
                // The same entry again for a pipeline that is started again.
                self.capture.begun = true;
                self.clerk.put(Duty::Begin);
                self.say(Command::Start(spec));
            }
            Action::AddTrack(track) => {
                self.next.blame().added(&track, Instant::now());
                self.say(Command::AddTrack(track));
            }
            Action::DropTrack(id) => {
                self.next.blame().dropped(&id, Instant::now());
                self.say(Command::DropTrack(id));
            }
            Action::Arrange(scene) => {
                self.next.blame().arranged(&scene, Instant::now());
                self.say(Command::Arrange(scene));
            }
            Action::Drain => self.say(Command::Drain),
            Action::Kill => self.end_media(),
            Action::Store(Object::Journal) => self.conclude(),
            Action::Store(object) => self.keeper.store(object),
            Action::Announce(news) => self.announce(news),
            Action::Release(Release::Finished(outcome)) => self.finished(outcome),
            Action::Release(Release::HandOver) => self.hand_over(),
        }
    }

    fn join(&mut self) {
        if self.media.is_none() {
            self.number += 1;
            match self.launch.launch() {
                Ok(launched) => self.media = Some(Media::begin(launched, self.number, self.tell.clone())),
                Err(error) => {
                    error!(%error, "no media process can be started; check recorder.media_program");
                    let (fault, why) = faults::NOT_STARTED;
                    return self.waiting.push_back(Input::Meeting(Meeting::Lost(fault, why)));
                }
            }
        }
        self.joins += 1;
        self.say(Command::Join { number: self.joins, spec: Box::new(self.join.clone()) });
    }

    fn say(&self, command: Command) {
        if let Some(media) = &self.media {
            media.say(command);
        }
    }

    fn end_media(&mut self) {
        self.pipeline = false;
        // What it still says is not heard.
        self.number += 1;
        if let Some(media) = self.media.take() {
            self.next.blame().ended();
            self.ending.spawn(media.end().in_current_span());
        }
    }

    /// The epoch's last objects, sealed like everything else.
    fn conclude(&mut self) {
        if self.last_word {
            self.keeper.cut_off(now());
        }
        let description = self.room.describe().and_then(|told| serde_json::to_vec(&told).ok()).unwrap_or_default();
        self.keeper.conclude(description, self.log.text().to_vec(), now());
    }

    /// The session has ended: lets go of everything.
    pub(crate) async fn settle(mut self, outcome: Outcome, stop: &CancellationToken) {
        self.came_to_nothing();
        let over = match outcome {
            Outcome::HandedOver | Outcome::Superseded => self.left_to_others(outcome),
            Outcome::Complete | Outcome::Cut(_) | Outcome::Empty(_) | Outcome::Failed(..) => true,
        };
        if self.keeper.captured() && !self.keeper.whole() {
            error!(
                "ended with something not stored; what is in the spool is uploaded by the next start of this worker"
            );
        }
        self.end_media();
        let Self { clerk, origin, live, mut ending, .. } = self;
        let pushed = async {
            if let Some(origin) = origin {
                origin.finish(over && live, LAST_PARTS).await;
            }
        };
        let gone = async { while ending.join_next().await.is_some() {} };
        tokio::join!(clerk.finish(stop), pushed, gone);
    }
}
