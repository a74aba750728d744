//! From what the media process says to what the session hears; on the way, media goes to the keeper and to the origin,
//! and people into the description.

use std::time::Instant;

use session::{Input, Meeting, Pipeline, Room};
use tracing::{error, warn};

use super::Effects;
use crate::clerk::now;
use crate::faults;
use crate::keep::Odd;
use crate::process::{End, Heard};
use crate::wire::Report;

impl Effects {
    pub(super) fn hear(&mut self, heard: Heard) -> Option<Input> {
        let report = match heard {
            Heard::Report(report) => report,
            Heard::Gone(how) => return self.died(how),
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

    fn died(&mut self, how: End) -> Option<Input> {
        warn!(%how, medias = how.is_medias(), "the media process is gone");
        if let Some(suspect) = self.next.blame().died(how, Instant::now()) {
            error!(
                participant = %suspect.participant.0, source = ?suspect.source,
                "a track has killed the media process three times; the recording goes on without it"
            );
            self.keeper.shunned(&suspect, now());
        }
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
}
