//! The moves: what it takes to go from one state to another. When they are made stands in `machine`.

use std::time::{Duration, Instant};

use layout::arrange;
use media::TrackId;

use crate::people::Welcome;
use crate::shelf::pause;
use crate::{Action, Ending, Fault, Meeting, News, Object, Outcome, Reason, Release, Session, State, Storage};

/// Hundreds may come and go in a minute; the picture is moved about at most twice a second.
const SETTLE: Duration = Duration::from_millis(500);

/// The longest pause before the next attempt to join: a lecture goes on meanwhile.
const JOIN_CAP: Duration = Duration::from_secs(15);

impl Session {
    /// Takes news about people and tracks; tells a pipeline that plays. Before the sign is set, nobody is to be heard
    /// of (DESIGN D16).
    pub(crate) fn hear(&mut self, news: Meeting) {
        if !self.inside {
            return;
        }
        match news {
            Meeting::Arrived(who) => self.people.arrived(who),
            Meeting::Departed(who) => {
                let gone = self.people.departed(&who);
                self.drop_tracks(gone);
            }
            Meeting::Track(track) => {
                if self.people.track(track.clone()) == Welcome::Add && self.plays() {
                    self.actions.push(Action::AddTrack(track));
                }
            }
            Meeting::Untrack(id) => {
                let gone = self.people.untrack(&id);
                self.drop_tracks(gone);
            }
            Meeting::Muted(id) => self.people.mute(&id, true),
            Meeting::Unmuted(id) => self.people.mute(&id, false),
            Meeting::Speaking(who) => self.people.speaking(who),
            // No news about people; handled where they matter.
            Meeting::Joined | Meeting::Removed | Meeting::Lost(..) => {}
        }
    }

    pub(crate) fn drop_tracks(&mut self, gone: Vec<TrackId>) {
        if self.plays() {
            self.actions.extend(gone.into_iter().map(Action::DropTrack));
        }
    }

    pub(crate) fn plays(&self) -> bool {
        matches!(self.state, State::Live { .. } | State::Rejoining { .. } | State::HandingOver { .. })
    }

    pub(crate) fn go_live(&mut self, now: Instant) {
        self.state = State::Live { since: now };
        self.actions.push(Action::Announce(News::Started));
        self.actions.extend(self.people.tracks().cloned().map(Action::AddTrack));
        self.admit_later(now);
        self.count_the_silent(now);
        self.arrange(now);
    }

    pub(crate) fn back_in_the_room(&mut self, now: Instant) {
        self.inside = true;
        if let State::Rejoining { since, .. } = self.state {
            self.state = State::Live { since };
            self.join_at = None;
            self.count_the_silent(now);
            self.arrange(now);
        }
    }

    pub(crate) fn removed(&mut self, now: Instant) {
        match self.state {
            State::Rejoining { .. } => self.drain(Ending::Cut(Reason::Removed), now),
            _ => self.drain(self.unless_offered(Ending::Complete), now),
        }
    }

    pub(crate) fn lost(&mut self, fault: Fault, why: Reason, now: Instant) {
        match fault {
            _ if self.released => self.drain(Ending::HandedOver, now),
            Fault::Passing => self.rejoin(why, now),
            // A server that has just restarted may know its rooms a little later; their people come back to them.
            Fault::Room if matches!(self.state, State::Rejoining { .. }) => self.rejoin(why, now),
            Fault::Room => self.drain(Ending::Cut(why), now),
            Fault::Worker => {
                self.release(Release::HandOver);
                self.drain(Ending::HandedOver, now);
            }
        }
    }

    /// Out of the room while live, or one more attempt to come back has failed.
    pub(crate) fn rejoin(&mut self, why: Reason, now: Instant) {
        let (since, failed) = match self.state {
            State::Rejoining { since, attempt, .. } => (since, attempt),
            State::Live { since } => (since, 0),
            _ => return,
        };
        if failed == self.spec.limits.rejoins {
            return self.drain(Ending::Cut(why), now);
        }
        // The first attempt goes out at once: most breaks are over before they are noticed.
        let pause = if failed == 0 { Duration::ZERO } else { pause(failed, JOIN_CAP, self.spec.seed) };
        let attempt = failed + 1;
        self.state = State::Rejoining { since, attempt, until: now + pause + self.spec.limits.join };
        self.inside = false;
        let gone = self.people.clear();
        self.drop_tracks(gone);
        if failed == 0 {
            self.arrange(now);
        }
        self.silent_since = None;
        self.admit_at = None;
        self.join_at = Some(now + pause);
        self.join_if_due(attempt, now);
    }

    pub(crate) fn join_again(&mut self, attempt: u32, why: Reason, now: Instant) {
        if attempt >= self.spec.limits.joins {
            return self.fail(Fault::Passing, why);
        }
        self.kill();
        self.inside = false;
        self.people.clear();
        let at = now + pause(attempt, JOIN_CAP, self.spec.seed);
        self.join_at = Some(at);
        self.state = State::Joining { attempt: attempt + 1, until: at + self.spec.limits.join };
    }

    pub(crate) fn join_if_due(&mut self, attempt: u32, now: Instant) {
        if self.join_at.is_some_and(|at| at <= now) {
            self.join_at = None;
            self.actions.push(Action::Join { attempt });
        }
    }

    pub(crate) fn hand_over(&mut self, now: Instant) {
        if !self.released {
            self.release(Release::HandOver);
            if matches!(self.state, State::Rejoining { .. }) {
                self.join_at = None;
            }
            self.state = State::HandingOver { until: now + self.spec.limits.hand_over };
        }
    }

    pub(crate) fn broke(&mut self, fault: Fault, why: Reason, now: Instant) {
        let ending = match fault {
            _ if self.released => Ending::HandedOver,
            Fault::Room => Ending::Cut(why),
            Fault::Passing | Fault::Worker => Ending::HandedOver,
        };
        self.kill();
        self.leave();
        if ending == Ending::HandedOver {
            self.release(Release::HandOver);
        }
        self.store_the_rest(ending, now);
    }

    /// `ending`, unless the claim was offered to somebody else, who then has the last word.
    pub(crate) fn unless_offered(&self, ending: Ending) -> Ending {
        if self.released { Ending::HandedOver } else { ending }
    }

    pub(crate) fn drain(&mut self, why: Ending, now: Instant) {
        self.leave();
        self.actions.push(Action::Drain);
        self.quieten();
        self.state = State::Draining { why, until: now + self.spec.limits.drain };
    }

    pub(crate) fn store_the_rest(&mut self, why: Ending, now: Instant) {
        self.quieten();
        if !self.shelf.captured() {
            return match why {
                Ending::Complete => self.end(Outcome::Empty(Reason::NothingCaptured)),
                Ending::Cut(reason) => self.fail(Fault::Room, reason),
                Ending::HandedOver | Ending::Superseded => self.end(why.into()),
            };
        }
        let patience = if self.stopping { self.spec.limits.drain } else { self.spec.limits.store };
        self.state = State::Storing { why, until: now + patience };
        if self.shelf.is_empty() {
            self.store(Object::Journal);
        }
    }

    /// No more joining, no more arranging.
    pub(crate) fn quieten(&mut self) {
        self.join_at = None;
        self.arrange_at = None;
        self.admit_at = None;
        self.silent_since = None;
    }

    pub(crate) fn store(&mut self, object: Object) {
        if self.shelf.add(&object) {
            self.actions.push(Action::Store(object));
        }
    }

    pub(crate) fn store_again(&mut self, now: Instant) {
        self.actions.extend(self.shelf.due(now).into_iter().map(Action::Store));
    }

    pub(crate) fn shelve(&mut self, news: Storage, now: Instant) {
        match news {
            Storage::Stored(object) => self.shelf.stored(&object),
            Storage::Failed(object) => self.shelf.failed(&object, now, self.spec.seed),
            // It ends already, or has made nothing that would need room.
            Storage::SpoolFull => {}
        }
    }

    /// Adds the next track on trial. The one after it has to wait for its own pause, in which this one is to be seen to
    /// do no harm. It is shown at once: a picture does harm only from then on.
    pub(crate) fn admit(&mut self, now: Instant) {
        self.admit_at = None;
        if let Some(track) = self.people.admit() {
            self.actions.push(Action::AddTrack(track));
            self.arrange(now);
        }
        self.admit_later(now);
    }

    /// Whoever is on trial is added later: with nobody else there, at once. That ends as soon as somebody is there, or
    /// both would have just come. Any other time stands, or a room in which people come and go would put it off for ever.
    pub(crate) fn admit_later(&mut self, now: Instant) {
        let alone = self.people.tracks().next().is_none();
        let set = self.admit_at.filter(|_| alone || !self.admit_at_once);
        if set.is_none() {
            self.admit_at_once = alone;
        }
        let pause = if alone { Duration::ZERO } else { self.spec.caution.pause };
        self.admit_at = self.people.waiting().then(|| set.unwrap_or(now + pause));
    }

    pub(crate) fn count_the_silent(&mut self, now: Instant) {
        let live = matches!(self.state, State::Live { .. });
        self.silent_since = (live && self.people.silent()).then(|| self.silent_since.unwrap_or(now));
    }

    pub(crate) fn arrange_soon(&mut self, now: Instant) {
        match self.arranged.map(|last| last + SETTLE) {
            Some(settled) if now < settled => self.arrange_at = Some(settled),
            _ => self.arrange(now),
        }
    }

    pub(crate) fn arrange(&mut self, now: Instant) {
        self.arranged = Some(now);
        self.arrange_at = None;
        let scene = arrange(&self.people.roster(), self.spec.pipeline.canvas, self.spec.layout);
        if self.shown.as_ref() != Some(&scene) {
            self.shown = Some(scene.clone());
            self.actions.push(Action::Arrange(scene));
        }
    }

    pub(crate) fn fail(&mut self, fault: Fault, why: Reason) {
        // Not being able to come back, or breaking at once, is no failure of what there is.
        self.end(if self.spec.earlier { Outcome::Empty(why) } else { Outcome::Failed(fault, why) });
    }

    pub(crate) fn kill(&mut self) {
        if std::mem::take(&mut self.pipeline) {
            self.actions.push(Action::Kill);
        }
    }

    pub(crate) fn leave(&mut self) {
        self.inside = false;
        if std::mem::take(&mut self.bot) {
            self.actions.push(Action::Leave);
        }
    }

    pub(crate) fn release(&mut self, how: Release) {
        if !std::mem::replace(&mut self.released, true) {
            self.actions.push(Action::Release(how));
        }
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.kill();
        self.leave();
        self.quieten();
        match outcome {
            Outcome::Complete | Outcome::Cut(_) | Outcome::Empty(_) | Outcome::Failed(..) => {
                self.release(Release::Finished(outcome));
                self.actions.push(Action::Announce(News::Ended(outcome)));
            }
            Outcome::HandedOver => self.release(Release::HandOver),
            Outcome::Superseded => {}
        }
        self.state = State::Ended(outcome);
    }
}
