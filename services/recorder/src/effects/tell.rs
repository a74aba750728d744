//! From what the session announces and releases to the clerk's duties: the record in the store first, then the events, so
//! that whoever hears of something finds it there.

use claim::Phase;
use events::{Body, RecorderJoined, RecordingStarted, StreamEnded, StreamLive};
use session::{Fault, News, Outcome, Reason};
use tracing::error;

use super::Effects;
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

    /// The record first, so that whoever hears of the end finds it there.
    pub(super) fn finished(&mut self, outcome: Outcome) {
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

    /// Offers the recording to whoever is next, be it this worker; false then. A worker that is told to stop ends what
    /// it has recorded instead: with no other one about, the recording would be ready only after the next start.
    pub(super) fn give_up(&self, stopping: bool) -> bool {
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
