//! One epoch in one worker: its session, and what is done when the session asks for something.

use std::collections::BTreeMap;

use claim::{Change, Holder, Phase, Record};
use layout::LayoutName;
use media::PipelineSpec;
use session::{
    Action, Fault, Input, Limits, Meeting, News, Object, Outcome, Pipeline, Reason, Release, Session, Spec, State,
};

use super::Worker;
use super::hold::{Given, Hold};
use super::keep::{Item, Media};
use super::ledger::Ledger;
use crate::event::Wake;
use crate::mistake::Mistake;
use crate::outside::Outside;
use crate::room::Bot;
use crate::schedule::{MS, Micros};
use crate::spool::Journal;

#[derive(Debug)]
pub(crate) struct Job {
    pub(super) number: u32,
    pub(crate) recording: usize,
    pub(super) epoch: u32,
    /// The owner's word.
    pub(super) word: String,
    pub(super) hold: Hold,
    pub(super) session: Session,
    pub(super) spec: Spec,
    /// When it began.
    pub(super) began: Micros,
    /// When the session is to be woken.
    pub(super) armed: Option<Micros>,
    pub(super) joins: u32,
    pub(super) media: Option<Media>,
    pub(super) items: BTreeMap<Object, Item>,
    pub(super) journal: Journal,
    pub(super) ledger: Ledger,
    pub(super) captured: bool,
    /// A segment of this epoch is in the store.
    pub(super) stored: bool,
    /// On the worker's wall, since when it is out of the room.
    pub(super) away: Option<i64>,
    /// The media process died, and not the worker.
    pub(super) goes_on: bool,
}

impl Job {
    /// It takes up a slot.
    pub(crate) fn records(&self) -> bool {
        !matches!(self.session.state(), State::Storing { .. } | State::Ended(_))
    }

    /// It is in the room, or about to be again, and takes the recording for its own.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.session.state(), State::Live { .. } | State::Rejoining { .. })
    }

    /// The recording is this worker's to go on with.
    pub(super) fn holds(&self) -> bool {
        matches!(self.hold.given, Given::No | Given::Own)
    }

    /// The media process ends with its open segment. The worker lives, so it can name what went.
    fn lose_open(&mut self, out: &mut Outside, now: Micros) {
        out.check.unfinished(self.recording, self.epoch, self.open(now), now);
        if !out.makes(Mistake::UnnamedLoss) {
            self.journal.gaps.extend(self.open(now));
        }
    }

    pub(super) fn settled(&self) -> bool {
        self.hold.settled() && !self.ledger.owes_nothing()
    }
}

impl Worker {
    /// It is ours.
    pub(super) fn record(&mut self, recording: usize, record: Record, etag: String, out: &mut Outside) {
        let (at, now) = (out.instant(), out.now());
        out.check.ours(recording, &record, self.at, now);
        out.story.tell(now, || format!("worker {}   holds {recording} in epoch {}", self.at, record.epoch));
        let spec = Spec {
            earlier: record.epoch > 1,
            layout: LayoutName::Speaker,
            pipeline: PipelineSpec::default(),
            limits: Limits::default(),
            seed: u64::from(record.epoch) ^ record.created.0.unsigned_abs(),
            caution: session::Caution::default(),
        };
        let (session, actions) = Session::new(spec.clone(), at);
        let number = self.number();
        out.story.begin(self.at, number, &spec, &actions);
        self.disk.notes.push((recording, record.owner.clone()));
        self.jobs.push(Job {
            number,
            recording,
            epoch: record.epoch,
            word: record.owner.clone(),
            hold: Hold::new(Holder::new(record, etag)),
            session,
            spec,
            began: now,
            armed: None,
            joins: 0,
            media: None,
            items: BTreeMap::new(),
            journal: Journal::default(),
            ledger: Ledger::default(),
            captured: false,
            stored: false,
            away: None,
            goes_on: false,
        });
        self.perform(number, actions, out);
        self.arm(number, out);
        out.wake(self.client(), 2 * crate::schedule::SECOND, Wake::Beat(number));
        if self.stopping {
            self.tell(number, Input::Shutdown, out);
        }
    }

    /// Tells the session of `job`, and does what it wants.
    pub(super) fn tell(&mut self, number: u32, input: Input, out: &mut Outside) {
        let (at, now) = (out.instant(), out.now());
        let wall = out.schedule.wall(self.clock).0;
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let from = *job.session.state();
        match input {
            Input::Pipeline(Pipeline::Playing) => job.ledger.plays = true,
            Input::Pipeline(Pipeline::Drained) => job.ledger.drained = true,
            _ => {}
        }
        let noted = out.story.wanted().then(|| input.clone());
        let actions = job.session.handle(input, at);
        let to = *job.session.state();
        let away = |state: &State| matches!(state, State::Rejoining { .. });
        if away(&to) && !away(&from) {
            job.away = Some(wall);
        } else if let (false, Some(since)) = (away(&to), job.away) {
            job.away = None;
            job.journal.gaps.push((since, wall));
        }
        if let Some(input) = noted {
            out.story.note(self.at, number, now - job.began, &input, &actions);
            if from.word() != to.word() {
                let line =
                    || format!("worker {}   job {number} {} -> {} on {input:?}", self.at, from.word(), to.word());
                out.story.tell(now, line);
            }
        }
        if matches!(to, State::Ended(_)) && !matches!(from, State::Ended(_)) {
            self.came_to_nothing(number, out);
        }
        self.perform(number, actions, out);
        self.arm(number, out);
    }

    fn arm(&mut self, number: u32, out: &mut Outside) {
        let client = self.client();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let deadline = job.session.deadline().map(|at| out.schedule.micros(at));
        if deadline != job.armed {
            job.armed = deadline;
            if let Some(at) = deadline {
                let pause = at.saturating_sub(out.now());
                out.wake(client, pause, Wake::Deadline(number, at));
            }
        }
    }

    fn perform(&mut self, number: u32, actions: Vec<Action>, out: &mut Outside) {
        for action in actions {
            self.act(number, action, out);
        }
    }

    fn act(&mut self, number: u32, action: Action, out: &mut Outside) {
        let client = self.client();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let recording = job.recording;
        match action {
            Action::Join { .. } => {
                job.joins += 1;
                out.join(recording, Bot { of: client, job: number, join: job.joins });
            }
            Action::Leave => {
                job.joins += 1;
                out.leave(recording, client, number);
            }
            Action::Start(_) => {
                job.media = Some(Media::default());
                let preroll = out.random.between(300 * MS, 900 * MS);
                out.wake(client, preroll, Wake::Playing(number));
                self.begins(number, out);
            }
            Action::AddTrack(_) | Action::DropTrack(_) | Action::Arrange(_) => {}
            Action::Drain => {
                let takes = out.random.between(100 * MS, 500 * MS);
                if !self.stuck {
                    out.wake(client, takes, Wake::Drained(number));
                }
            }
            Action::Kill => {
                let now = out.now();
                job.lose_open(out, now);
                job.media = None;
            }
            Action::Store(object) => self.store(number, object, out),
            Action::Announce(News::Started) => {
                self.change(number, Change::Become(Phase::Recording, None), out);
            }
            Action::Announce(News::Joined { .. } | News::Ended(_)) => {}
            Action::Release(Release::Finished(outcome)) => self.finish(number, outcome, out),
            Action::Release(Release::HandOver) => self.give_up(number, out),
        }
    }

    /// The record first; whoever is to hear of the end hears of it when it stands there.
    fn finish(&mut self, number: u32, outcome: Outcome, out: &mut Outside) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        let (phase, why) = match outcome {
            Outcome::Complete => (Phase::Ended, None),
            Outcome::Cut(why) => (Phase::Ended, Some(why)),
            Outcome::Empty(why) if job.spec.earlier => (Phase::Ended, Some(why)),
            Outcome::Empty(why) => (Phase::Empty, Some(why)),
            Outcome::Failed(_, why) => (Phase::Failed, Some(why)),
            Outcome::HandedOver | Outcome::Superseded => return,
        };
        job.hold.letter = phase == Phase::Ended;
        self.change(number, Change::Become(phase, why.map(Reason::word)), out);
    }

    /// Somebody else is to go on; after the death of the media process alone, this worker itself.
    fn give_up(&mut self, number: u32, out: &mut Outside) {
        let client = self.client();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        if !matches!(job.hold.given, Given::No) {
            return;
        }
        if job.goes_on && !self.stopping {
            job.hold.given = Given::Own;
            let (recording, word) = (job.recording, job.word.clone());
            out.wake(client, 0, Wake::Adopt(recording, word));
        } else {
            job.hold.given = Given::Offered;
            self.change(number, Change::Offer, out);
        }
    }

    pub(super) fn media_died(&mut self, number: u32, out: &mut Outside) {
        let now = out.now();
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else { return };
        if !job.records() {
            return;
        }
        out.story.tell(now, || format!("worker {}   the media process of job {number} dies", self.at));
        job.lose_open(out, now);
        job.goes_on = true;
        // What it still says is not heard.
        job.joins += 1;
        let input = match job.media.take() {
            Some(_) => Input::Pipeline(Pipeline::Broke(Fault::Passing, Reason::MediaDied)),
            None => Input::Meeting(Meeting::Lost(Fault::Passing, Reason::MediaDied)),
        };
        out.leave(job.recording, super::Client::Worker(self.at, self.life), number);
        self.tell(number, input, out);
        if let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) {
            job.goes_on = false;
        }
    }
}
