//! What only the institution may read about a room: its title, who was there and when, and on what basis it was
//! recorded. Becomes the sealed description.

use events::RecordingRequested;
use media::{Participant, ParticipantId, WallTime};
use storage::Description;
use storage::journal::{Attendance, Consent};

/// Comings and goings that are noted, names and all. A room of five thousand fits; a storm of bots does not.
const LONGEST: usize = 20_000;

pub(crate) struct Room {
    asked: RecordingRequested,
    sign: String,
    sign_set: Option<WallTime>,
    title: Option<String>,
    people: Vec<Attendance>,
}

impl Room {
    pub(crate) fn new(asked: RecordingRequested, sign: String) -> Self {
        Self { asked, sign, sign_set: None, title: None, people: Vec::new() }
    }

    /// The sign is set. After a reconnect, the first time counts.
    pub(crate) fn joined(&mut self, title: Option<String>, now: WallTime) {
        self.sign_set.get_or_insert(now);
        if title.is_some() {
            self.title = title;
        }
    }

    /// Says it again when somebody's name changes.
    pub(crate) fn arrived(&mut self, who: &Participant, now: WallTime) {
        let full = self.people.len() >= LONGEST;
        match self.here(&who.id) {
            Some(here) => here.name.clone_from(&who.name),
            None if full => {}
            None => {
                let new = Attendance { id: who.id.0.clone(), name: who.name.clone(), arrived: now, left: None };
                self.people.push(new);
            }
        }
    }

    pub(crate) fn departed(&mut self, who: &ParticipantId, now: WallTime) {
        if let Some(here) = self.here(who) {
            here.left = Some(now);
        }
    }

    fn here(&mut self, who: &ParticipantId) -> Option<&mut Attendance> {
        self.people.iter_mut().rev().find(|p| p.left.is_none() && p.id == who.0)
    }

    /// We are out of the room, so for us everybody is.
    pub(crate) fn lost(&mut self, now: WallTime) {
        for here in self.people.iter_mut().filter(|p| p.left.is_none()) {
            here.left = Some(now);
        }
    }

    /// None before the sign was ever set: then there is nothing to describe.
    pub(crate) fn describe(&self) -> Option<Description> {
        Some(Description {
            title: self.title.clone(),
            participants: self.people.clone(),
            consent: Consent {
                policy: self.asked.policy.clone(),
                basis: self.asked.basis,
                requested_by: self.asked.requested_by.clone(),
                sign: self.sign.clone(),
                sign_set: self.sign_set?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use events::{Basis, LayoutName, PolicyId};

    use super::*;

    fn room() -> Room {
        let asked = RecordingRequested {
            policy: PolicyId::new("p").unwrap(),
            requested_by: "policy".into(),
            layout: LayoutName::Grid,
            language: "nb".into(),
            basis: Basis::PublicTask,
            retention_days: 1,
            webinar: false,
            max_seconds: 0,
        };
        Room::new(asked, "sign".into())
    }

    fn who(id: &str, name: &str) -> Participant {
        Participant { id: ParticipantId(id.into()), name: name.into() }
    }

    #[test]
    fn whoever_comes_back_is_noted_twice_and_a_new_name_once() {
        let mut room = room();
        room.joined(Some("Algebra".into()), WallTime(1));
        room.arrived(&who("1", "Ann"), WallTime(2));
        room.arrived(&who("1", "Anna"), WallTime(3));
        room.departed(&ParticipantId("1".into()), WallTime(4));
        room.arrived(&who("1", "Anna"), WallTime(5));
        room.lost(WallTime(6));
        room.joined(None, WallTime(7));
        let told = room.describe().unwrap();
        let seen = told.participants.iter().map(|p| (p.name.as_str(), p.arrived.0, p.left.map(|t| t.0)));
        assert_eq!(seen.collect::<Vec<_>>(), [("Anna", 2, Some(4)), ("Anna", 5, Some(6))]);
        assert_eq!((told.title.as_deref(), told.consent.sign_set), (Some("Algebra"), WallTime(1)));
    }

    #[test]
    fn a_storm_is_noted_up_to_its_bound_and_those_noted_still_leave() {
        let mut room = room();
        room.joined(None, WallTime(1));
        let bot = |n: usize| who(&n.to_string(), "Ann");
        for n in 0..=LONGEST {
            room.arrived(&bot(n), WallTime(2));
        }
        for n in [0, LONGEST - 1, LONGEST] {
            room.departed(&bot(n).id, WallTime(3));
        }
        let people = room.describe().unwrap().participants;
        assert_eq!(people.len(), LONGEST);
        assert_eq!([0, 1, LONGEST - 1].map(|n| people[n].left), [Some(WallTime(3)), None, Some(WallTime(3))]);
    }

    #[test]
    fn without_a_sign_there_is_nothing_to_describe() {
        assert!(room().describe().is_none());
    }
}
