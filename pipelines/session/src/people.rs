//! Who is in the room and what they send, as heard from the connector. Knows nothing of states.

use layout::{Person, Roster};
use media::{Participant, ParticipantId, Source, Track, TrackId};

use crate::{Caution, Suspect};

/// The room's people in the order they came, and their tracks in the order those came.
#[derive(Debug, Clone, Default)]
pub(crate) struct People {
    here: Vec<Participant>,
    tracks: Vec<Sent>,
    speaking: Vec<ParticipantId>,
    shunned: Vec<Suspect>,
    /// Those that were not added yet, next first.
    on_trial: Vec<Suspect>,
}

#[derive(Debug, Clone)]
struct Sent {
    track: Track,
    muted: bool,
    /// On trial: not to be added yet.
    waits: bool,
}

/// What is to be done about a track that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Welcome {
    Add,
    /// It waits for [`People::admit`].
    Wait,
    /// It is known already, or shunned.
    Nothing,
}

impl People {
    pub(crate) fn wary(caution: &Caution) -> Self {
        Self { shunned: caution.shunned.clone(), on_trial: caution.on_trial.clone(), ..Self::default() }
    }

    pub(crate) fn arrived(&mut self, who: Participant) {
        match self.here.iter_mut().find(|p| p.id == who.id) {
            // A platform says it again when somebody changes their name.
            Some(known) => *known = who,
            None => self.here.push(who),
        }
    }

    /// Forgets them; those of their tracks that were added are returned, since they are gone with them.
    pub(crate) fn departed(&mut self, who: &ParticipantId) -> Vec<TrackId> {
        self.here.retain(|p| p.id != *who);
        self.speaking.retain(|p| p != who);
        let (gone, tracks) = std::mem::take(&mut self.tracks).into_iter().partition(|t| t.track.participant == *who);
        self.tracks = tracks;
        added(gone)
    }

    pub(crate) fn track(&mut self, track: Track) -> Welcome {
        let suspect = Suspect::from(&track);
        if self.shunned.contains(&suspect) || self.tracks.iter().any(|t| t.track.id == track.id) {
            return Welcome::Nothing;
        }
        if !self.here.iter().any(|p| p.id == track.participant) {
            // Better a picture without a name than none; the name follows with `arrived`.
            self.here.push(Participant { id: track.participant.clone(), name: String::new() });
        }
        let waits = self.on_trial.contains(&suspect);
        self.tracks.push(Sent { track, muted: false, waits });
        if waits { Welcome::Wait } else { Welcome::Add }
    }

    /// The next one on trial. From now on it is a track like any other.
    pub(crate) fn admit(&mut self) -> Option<Track> {
        let tracks = &mut self.tracks;
        let sent = |suspect: &Suspect| tracks.iter().position(|t| t.waits && Suspect::from(&t.track) == *suspect);
        let (place, at) = self.on_trial.iter().enumerate().find_map(|(place, s)| Some((place, sent(s)?)))?;
        self.on_trial.remove(place);
        let next = self.tracks.get_mut(at)?;
        next.waits = false;
        Some(next.track.clone())
    }

    pub(crate) fn waiting(&self) -> bool {
        self.tracks.iter().any(|t| t.waits)
    }

    /// The track itself, if it had been added; else nothing.
    pub(crate) fn untrack(&mut self, id: &TrackId) -> Vec<TrackId> {
        let (gone, tracks) = std::mem::take(&mut self.tracks).into_iter().partition(|t| t.track.id == *id);
        self.tracks = tracks;
        added(gone)
    }

    pub(crate) fn mute(&mut self, id: &TrackId, muted: bool) {
        for sent in self.tracks.iter_mut().filter(|t| t.track.id == *id) {
            sent.muted = muted;
        }
    }

    pub(crate) fn speaking(&mut self, who: Vec<ParticipantId>) {
        self.speaking = who;
    }

    /// We are out of the room: everybody is gone for us. Returns those of their tracks that were added.
    pub(crate) fn clear(&mut self) -> Vec<TrackId> {
        self.here.clear();
        self.speaking.clear();
        added(std::mem::take(&mut self.tracks))
    }

    /// Those that are added.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|t| !t.waits).map(|t| &t.track)
    }

    pub(crate) fn silent(&self) -> bool {
        self.tracks.is_empty()
    }

    /// Who is to be placed: everybody who sends something. Those who only watch may be hundreds and are not shown.
    /// A muted picture is no picture.
    pub(crate) fn roster(&self) -> Roster {
        let picture = |of: &ParticipantId, from: Source| {
            let mut theirs = self.tracks.iter().filter(|t| t.track.participant == *of && !t.muted && !t.waits);
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

fn added(tracks: Vec<Sent>) -> Vec<TrackId> {
    tracks.into_iter().filter(|t| !t.waits).map(|t| t.track.id).collect()
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

    #[test]
    fn who_is_shunned_is_not_there_and_who_is_on_trial_comes_later_and_in_order() {
        let suspect = |name, of, source| Suspect::from(&track(name, of, source));
        let mut people = People::wary(&Caution {
            shunned: vec![suspect("", "bo", Source::Camera)],
            on_trial: vec![suspect("", "cy", Source::Camera), suspect("", "ann", Source::Screen)],
            ..Caution::default()
        });
        assert_eq!(people.track(track("b-cam", "bo", Source::Camera)), Welcome::Nothing);
        assert!(people.silent() && people.roster().people.is_empty());
        assert_eq!(people.track(track("a-screen", "ann", Source::Screen)), Welcome::Wait);
        assert!(!people.silent(), "whoever waits sends");
        assert_eq!(people.track(track("a-cam", "ann", Source::Camera)), Welcome::Add);
        assert_eq!(people.track(track("c-cam", "cy", Source::Camera)), Welcome::Wait);
        assert_eq!(people.tracks().map(|t| t.id.0.as_str()).collect::<Vec<_>>(), ["a-cam"]);
        let screens = |people: &People| people.roster().people.iter().filter(|p| p.screen.is_some()).count();
        assert_eq!((people.roster().people.len(), screens(&people)), (2, 0));

        assert_eq!(people.admit().map(|t| t.id.0), Some("c-cam".into()));
        assert_eq!(people.untrack(&TrackId("a-screen".into())), [], "it was not added");
        assert_eq!(people.admit(), None);
        assert_eq!(people.track(track("a-screen2", "ann", Source::Screen)), Welcome::Wait);
        assert_eq!(people.admit().map(|t| t.id.0), Some("a-screen2".into()));
        assert_eq!(screens(&people), 1);
        // Tried once in this epoch is enough.
        assert_eq!(people.clear().len(), 3);
        assert_eq!(people.track(track("c-cam2", "cy", Source::Camera)), Welcome::Add);
        assert_eq!(people.track(track("b-cam2", "bo", Source::Camera)), Welcome::Nothing);
    }
}
