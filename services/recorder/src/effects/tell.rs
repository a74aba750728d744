//! From what the session announces and releases to the clerk's duties: the record in the store first, then the events, so
//! that whoever hears of something finds it there.

use claim::Phase;
use events::{Body, RecorderJoined, RecordingStarted, StreamEnded, StreamLive};
use session::{Fault, News, Outcome, Reason};
use tracing::info;

use super::{Capture, Effects};
use crate::clerk::{Duty, LastResort, failed};

impl Effects {
    pub(super) fn announce(&mut self, news: News) {
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

    /// An epoch that has begun and captured nothing says so before the recording's end is told: then nobody looks for it.
    /// A media process that died while it captured is another matter: what it had is lost.
    pub(super) fn came_to_nothing(&mut self) {
        let Capture { begun, plays, drained, nothing } = self.capture;
        let empty = !self.keeper.captured() && !self.keeper.heard() && (drained || !plays);
        if begun && empty && !nothing {
            self.capture.nothing = true;
            self.clerk.put(Duty::Nothing);
        }
    }

    /// The record first, so that whoever hears of the end finds it there.
    pub(super) fn finished(&mut self, outcome: Outcome) {
        self.came_to_nothing();
        let (phase, why) = match outcome {
            Outcome::Complete => (Phase::Ended, self.heard_of.end.filter(|why| *why == Reason::Removed)),
            Outcome::Cut(why) => (Phase::Ended, Some(why)),
            // Earlier epochs may hold something, if only in a spool, and this is why there is no more.
            Outcome::Empty(why) if self.job.held.earlier() => (Phase::Ended, Some(why)),
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
            Outcome::Empty(_) if self.job.held.earlier() => Body::EpochStored(record.stored(true)),
            Outcome::Empty(why) => failed(record, why, false),
            Outcome::Failed(fault, why) => failed(record, why, fault != Fault::Room),
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

    /// Who goes on: this worker, if its media process was the trouble; else whoever takes what is offered.
    pub(super) fn hand_over(&mut self) {
        if self.heard_of.shutdown || self.heard_of.illness {
            info!("the recording is offered to another worker");
            if self.heard_of.illness {
                self.shy.of(self.job.held.record.recording);
            }
            self.offered = true;
            let last = self.last_resort();
            self.clerk.put(Duty::Offer(last));
        } else {
            info!("this worker goes on with the next epoch");
            self.clerk.put(Duty::PassOn(self.next.again.clone()));
        }
    }

    /// The session ended, and the recording goes on without it, unless it was said to be over before anybody had taken
    /// it; true then.
    pub(super) fn left_to_others(&self, outcome: Outcome) -> bool {
        let record = &self.job.held.record;
        let over = outcome == Outcome::HandedOver && self.offered && self.heard_of.end.is_some();
        if over {
            let last = self.last_resort();
            self.clerk.put(Duty::GiveUp(last));
        } else if self.keeper.whole() {
            self.clerk.put(Duty::Tell(Body::EpochStored(record.stored(false))));
        }
        over
    }

    /// If nobody goes on: what there is becomes a film.
    fn last_resort(&self) -> LastResort {
        let record = &self.job.held.record;
        let ours = if self.heard_of.shutdown { Reason::WorkerStopped } else { Reason::WorkerBroken };
        let (phase, reason, body) = match self.job.held.earlier() || self.keeper.captured() {
            true => (Phase::Ended, self.heard_of.end.unwrap_or(ours), Body::EpochStored(record.stored(true))),
            false => match self.heard_of.end {
                Some(why) => (Phase::Empty, why, failed(record, why, false)),
                None => (Phase::Failed, Reason::WorkerBroken, failed(record, Reason::WorkerBroken, true)),
            },
        };
        LastResort { phase, reason, tell: std::iter::once(body).chain(self.stream_ended()).collect() }
    }
}
