//! Performs what a session asks for, and brings back what comes of it. Every action is begun and left; results are inputs.
//! Decides nothing: the session does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claim::Phase;
use events::{Body, RecorderJoined, RecordingStarted, StreamEnded, StreamLive};
use meeting::JoinSpec;
use session::{Action, Input, Meeting, News, Object, Outcome, Pipeline, Reason, Release, Room, State, Storage};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use crate::attendance;
use crate::clerk::{Clerk, Duty, LastResort, failed, now};
use crate::faults;
use crate::keep::{Keeper, Odd};
use crate::log::Log;
use crate::origin::Origin;
use crate::process::{BACKLOG, Heard, Launch, Media};
use crate::take::Job;
use crate::wire::{Command, Report};

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
    waiting: VecDeque<Input>,
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
                Some((object, stored)) = self.keeper.next() => {
                    return Input::Storage(if stored { Storage::Stored(object) } else { Storage::Failed(object) });
                }
                () = self.clerk.superseded() => return Input::Claim(session::Claim::Superseded),
                Some(_) = self.ending.join_next() => {}
            }
        }
    }

    pub(crate) fn note(&mut self, input: &Input, at: Instant) {
        self.log.note(input, at);
    }

    /// The session went from one state to another.
    pub(crate) fn moved(&mut self, from: &State, to: &State) {
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
                self.say(Command::Start(spec));
            }
            Action::AddTrack(track) => self.say(Command::AddTrack(track)),
            Action::DropTrack(id) => self.say(Command::DropTrack(id)),
            Action::Arrange(scene) => self.say(Command::Arrange(scene)),
            Action::Drain => self.say(Command::Drain),
            Action::Kill => self.end_media(),
            Action::Store(Object::Journal) => self.conclude(),
            Action::Store(object) => self.keeper.store(object),
            Action::Announce(news) => self.announce(news),
            Action::Release(Release::Finished(outcome)) => self.finished(outcome),
            // Nobody takes over while we still record; who goes on is settled by `settle`, when all is known.
            Action::Release(Release::HandOver) => info!("the recording is given up to another worker"),
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
            self.ending.spawn(media.end().in_current_span());
        }
    }

    fn hear(&mut self, heard: Heard) -> Option<Input> {
        let report = match heard {
            Heard::Report(report) => report,
            Heard::Gone => return self.died(),
        };
        let kept = match report {
            Report::Meeting { number, .. } if number != self.joins => return None,
            Report::Meeting { event, .. } => return self.see(event),
            Report::Playing { wall } => {
                self.keeper.began(wall);
                return Some(Input::Pipeline(Pipeline::Playing));
            }
            Report::Init(init) => {
                let rendition = init.rendition.clone();
                if let Some(origin) = &mut self.origin {
                    origin.init(&init);
                }
                self.keeper.init(init).map(|()| Some(Pipeline::Init(rendition)))
            }
            Report::Part(part) => {
                if let Some(origin) = &mut self.origin {
                    origin.part(&part);
                }
                self.keeper.part(&part).map(|()| None)
            }
            Report::Closed(closed) => {
                let (rendition, segment) = (closed.rendition.clone(), closed.segment);
                if let Some(origin) = &mut self.origin {
                    origin.closed(&closed);
                }
                self.keeper.closed(closed).map(|()| Some(Pipeline::Closed(rendition, segment)))
            }
            Report::TrackBroke(id) => return Some(Input::Meeting(Meeting::Untrack(id))),
            Report::Drained => Ok(Some(Pipeline::Drained)),
            Report::Broke { worker, why } => {
                warn!(why, "the pipeline broke");
                let (fault, reason) = faults::broke(worker);
                Ok(Some(Pipeline::Broke(fault, reason)))
            }
        };
        let said = kept.unwrap_or_else(|odd: Odd| {
            error!(%odd);
            let (fault, reason) = faults::broke(false);
            Some(Pipeline::Broke(fault, reason))
        });
        said.map(Input::Pipeline)
    }

    fn died(&mut self) -> Option<Input> {
        warn!("the media process is gone");
        let had_pipeline = self.pipeline;
        self.end_media();
        let (fault, why) = faults::DIED;
        Some(match had_pipeline {
            true => Input::Pipeline(Pipeline::Broke(fault, why)),
            false => Input::Meeting(Meeting::Lost(fault, why)),
        })
    }

    fn see(&mut self, event: meeting::Event) -> Option<Input> {
        use meeting::Event as Seen;
        let now = now();
        Some(Input::Meeting(match event {
            Seen::Joined { title } => {
                self.room.joined(title, now);
                Meeting::Joined
            }
            Seen::Arrived(who) => {
                self.room.arrived(&who, now);
                Meeting::Arrived(who)
            }
            Seen::Departed(who) => {
                self.room.departed(&who, now);
                Meeting::Departed(who)
            }
            Seen::Track(track) => Meeting::Track(track),
            Seen::Untrack(id) => Meeting::Untrack(id),
            Seen::Muted(id) => Meeting::Muted(id),
            Seen::Unmuted(id) => Meeting::Unmuted(id),
            Seen::Speaking(who) => Meeting::Speaking(who),
            Seen::Removed => {
                self.room.lost(now);
                Meeting::Removed
            }
            Seen::Ended => {
                self.room.lost(now);
                return Some(Input::Room(Room::Ended));
            }
            Seen::Lost(loss) => {
                self.room.lost(now);
                warn!(why = %loss, "out of the room");
                let (fault, why) = faults::lost(&loss);
                Meeting::Lost(fault, why)
            }
        }))
    }

    fn announce(&mut self, news: News) {
        let (recording, epoch) = (self.job.held.record.recording, self.job.held.record.epoch);
        let webinar = self.origin.is_some();
        match news {
            News::Joined { attempt } => {
                self.clerk.put(Duty::Tell(Body::RecorderJoined(RecorderJoined { recording, epoch, attempt })));
                if let Some(description) = self.room.describe() {
                    self.clerk.put(Duty::Describe(self.job.key.clone(), description));
                }
            }
            News::Started => {
                self.live = true;
                self.clerk.put(Duty::Become(Phase::Recording, None));
                self.clerk.put(Duty::Tell(Body::RecordingStarted(RecordingStarted { recording, epoch })));
                if webinar {
                    self.clerk.put(Duty::Tell(Body::StreamLive(StreamLive { recording })));
                }
            }
            News::Ended(outcome) => self.ended(outcome),
        }
    }

    /// The record first, so that whoever hears of the end finds it there.
    fn finished(&mut self, outcome: Outcome) {
        let (phase, why) = match outcome {
            Outcome::Complete => (Phase::Ended, None),
            Outcome::Cut(why) => (Phase::Ended, Some(why)),
            // Earlier epochs hold something, and this is only why there is no more.
            Outcome::Empty(why) if self.job.earlier => (Phase::Ended, Some(why)),
            Outcome::Empty(why) => (Phase::Empty, Some(why)),
            Outcome::Failed(_, why) => (Phase::Failed, Some(why)),
            Outcome::HandedOver | Outcome::Superseded => return,
        };
        self.clerk.put(Duty::Become(phase, why));
    }

    fn ended(&mut self, outcome: Outcome) {
        let record = &self.job.held.record;
        let body = match outcome {
            Outcome::Complete | Outcome::Cut(_) => Body::EpochStored(record.stored(true)),
            Outcome::Empty(_) if self.job.earlier => Body::EpochStored(record.stored(true)),
            Outcome::Empty(why) => failed(record, why, false),
            Outcome::Failed(fault, why) => failed(record, why, fault != session::Fault::Room),
            Outcome::HandedOver | Outcome::Superseded => return,
        };
        for body in std::iter::once(body).chain(self.stream_ended()) {
            self.clerk.put(Duty::Tell(body));
        }
    }

    /// Viewers were promised something, and now there is no more of it.
    fn stream_ended(&self) -> Option<Body> {
        let recording = self.job.held.record.recording;
        (self.live && self.origin.is_some()).then_some(Body::StreamEnded(StreamEnded { recording }))
    }

    /// The epoch's last objects, sealed like everything else.
    fn conclude(&mut self) {
        let description = self.room.describe().and_then(|told| serde_json::to_vec(&told).ok()).unwrap_or_default();
        self.keeper.conclude(description, self.log.text().to_vec(), now());
    }

    /// The session has ended: lets go of everything, and settles who goes on with a recording that was given up.
    pub(crate) async fn settle(mut self, outcome: Outcome, stop: &CancellationToken) {
        let over = match outcome {
            Outcome::HandedOver => self.give_up(stop.is_cancelled()),
            Outcome::Superseded => false,
            Outcome::Complete | Outcome::Cut(_) | Outcome::Empty(_) | Outcome::Failed(..) => true,
        };
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

    /// Offers the recording to whoever is next, be it this worker; false then. A worker that is told to stop ends what
    /// it has recorded instead: with no other one about, the recording would be ready only after the next start.
    fn give_up(&self, stopping: bool) -> bool {
        let record = &self.job.held.record;
        let kept = self.job.earlier || self.keeper.captured();
        if self.keeper.captured() && !self.keeper.whole() {
            error!("given up with something still in the spool; the next start of this worker uploads it");
        }
        let (phase, reason, body) = match kept {
            true => (Phase::Ended, Reason::WorkerStopped, Body::EpochStored(record.stored(true))),
            false => (Phase::Failed, Reason::WorkerBroken, failed(record, Reason::WorkerBroken, true)),
        };
        let last = LastResort { phase, reason, tell: std::iter::once(body).chain(self.stream_ended()).collect() };
        let over = kept && stopping;
        if over {
            self.clerk.put(Duty::GiveUp(last));
        } else {
            if self.keeper.whole() {
                self.clerk.put(Duty::Tell(Body::EpochStored(record.stored(false))));
            }
            self.clerk.put(Duty::Offer(Body::RecordingRequested(self.job.asked.clone()), last));
        }
        over
    }
}
