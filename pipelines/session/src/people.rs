//! Who is in the room and what they send, as heard from the connector. Knows nothing of states.

use layout::{Person, Roster};
use media::{Participant, ParticipantId, Source, Track, TrackId};

/// The room's people in the order they came, and their tracks in the order those came.
#[derive(Debug, Clone, Default)]
pub(crate) struct People {
    here: Vec<Participant>,
    tracks: Vec<Sent>,
    speaking: Vec<ParticipantId>,
}

#[derive(Debug, Clone)]
struct Sent {
    track: Track,
    muted: bool,
}

impl People {
    pub(crate) fn arrived(&mut self, who: Participant) {
        match self.here.iter_mut().find(|p| p.id == who.id) {
            // A platform says it again when somebody changes their name.
            Some(known) => *known = who,
            None => self.here.push(who),
        }
    }

    /// Forgets them; their tracks are returned, since those are gone with them.
    pub(crate) fn departed(&mut self, who: &ParticipantId) -> Vec<TrackId> {
        self.here.retain(|p| p.id != *who);
        self.speaking.retain(|p| p != who);
        let gone = self.tracks.iter().filter(|t| t.track.participant == *who).map(|t| t.track.id.clone()).collect();
        self.tracks.retain(|t| t.track.participant != *who);
        gone
    }

    /// False when the track was known already.
    pub(crate) fn track(&mut self, track: Track) -> bool {
        let new = !self.tracks.iter().any(|t| t.track.id == track.id);
        if new {
            if !self.here.iter().any(|p| p.id == track.participant) {
                // Better a picture without a name than none; the name follows with `arrived`.
                self.here.push(Participant { id: track.participant.clone(), name: String::new() });
            }
            self.tracks.push(Sent { track, muted: false });
        }
        new
    }

    /// False when the track was not known.
    pub(crate) fn untrack(&mut self, id: &TrackId) -> bool {
        let before = self.tracks.len();
        self.tracks.retain(|t| t.track.id != *id);
        self.tracks.len() < before
    }

    pub(crate) fn mute(&mut self, id: &TrackId, muted: bool) {
        for sent in self.tracks.iter_mut().filter(|t| t.track.id == *id) {
            sent.muted = muted;
        }
    }

    pub(crate) fn speaking(&mut self, who: Vec<ParticipantId>) {
        self.speaking = who;
    }

    /// We are out of the room: everybody is gone for us. Returns their tracks.
    pub(crate) fn clear(&mut self) -> Vec<TrackId> {
        std::mem::take(self).tracks.into_iter().map(|t| t.track.id).collect()
    }

    pub(crate) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().map(|t| &t.track)
    }

    pub(crate) fn silent(&self) -> bool {
        self.tracks.is_empty()
    }

    /// Who is to be placed: everybody who sends something. Those who only watch may be hundreds and are not shown.
    /// A muted picture is no picture.
    pub(crate) fn roster(&self) -> Roster {
        let picture = |of: &ParticipantId, from: Source| {
            let mut theirs = self.tracks.iter().filter(|t| t.track.participant == *of && !t.muted);
            theirs.find(|t| t.track.source == from).map(|t| t.track.id.clone())
        };
        let sends = |who: &&Participant| self.tracks.iter().any(|t| t.track.participant == who.id);
        let people = self.here.iter().filter(sends).map(|who| Person {
            id: who.id.clone(),
            name: who.name.clone(),
            camera: picture(&who.id, Source::Camera),
            screen: picture(&who.id, Source::Screen),
        });
        Roster { people: people.collect(), speaking: self.speaking.clone() }
    }
}

#[cfg(test)]
mod tests {
    use media::Codec;

    use super::*;

    fn id(text: &str) -> ParticipantId {
        ParticipantId(text.into())
    }

    fn track(name: &str, of: &str, source: Source) -> Track {
        Track { id: TrackId(name.into()), participant: id(of), source, codec: Codec::Vp8 }
    }

    fn room() -> People {
        let mut people = People::default();
        for who in ["ann", "bo", "watcher"] {
            people.arrived(Participant { id: id(who), name: who.to_uppercase() });
        }
        people.track(track("a-cam", "ann", Source::Camera));
        people.track(track("a-screen", "ann", Source::Screen));
        people.track(track("b-mic", "bo", Source::Microphone));
        people
    }

    #[test]
    fn people_are_placed_in_the_order_they_came_and_watchers_not_at_all() {
        let roster = room().roster();
        let seen = roster.people.iter().map(|p| (p.name.as_str(), p.camera.is_some(), p.screen.is_some()));
        let seen = seen.collect::<Vec<_>>();
        assert_eq!(seen, [("ANN", true, true), ("BO", false, false)]);
    }

    #[test]
    fn a_muted_camera_leaves_the_name_and_comes_back() {
        let mut people = room();
        people.mute(&TrackId("a-cam".into()), true);
        assert_eq!(people.roster().people[0].camera, None);
        people.mute(&TrackId("a-cam".into()), false);
        assert_eq!(people.roster().people[0].camera, Some(TrackId("a-cam".into())));
    }

    #[test]
    fn whoever_departs_takes_their_tracks_along() {
        let mut people = room();
        assert_eq!(people.departed(&id("ann")), [TrackId("a-cam".into()), TrackId("a-screen".into())]);
        assert_eq!(people.roster().people.len(), 1);
        assert_eq!(people.departed(&id("ann")), []);
    }

    #[test]
    fn a_second_camera_is_shown_when_the_first_is_gone() {
        let mut people = room();
        people.track(track("a-cam2", "ann", Source::Camera));
        people.untrack(&TrackId("a-cam".into()));
        assert_eq!(people.roster().people[0].camera, Some(TrackId("a-cam2".into())));
    }

    #[test]
    fn a_new_name_keeps_the_place() {
        let mut people = room();
        people.arrived(Participant { id: id("ann"), name: "Anna".into() });
        assert_eq!(people.roster().people[0].name, "Anna");
    }
}
