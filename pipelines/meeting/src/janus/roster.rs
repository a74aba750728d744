//! Who is in the room and what they send, kept from Janus' notices. Pure: notices in, steps out.
//!
//! # Design
//! A person is in the room from the first notice that names them (`joining` and `attendees` where the room has
//! `notify_joining`, else their first publication) until `leaving` or `kicked`. `unpublished` comes twice and only ends
//! their tracks. Janus has no word for a screen share: [`ScreenRule`] finds it, and a publisher who is only somebody's
//! screen is not a person of its own while that somebody is here. Who has our own sign for a name and sends nothing is
//! another recorder, and no person either.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use media::{Codec, Kind, Participant, ParticipantId, Source, Track, TrackId};
use sha2::{Digest, Sha256};

use super::message::{Id, Notice, Publisher, Stream};
use crate::names::clean_name;
use crate::{Event, ScreenRule};

/// What must be done about a notice, in order.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Tell(Event),
    /// These are now all the streams to receive from this publisher; none: stop receiving.
    Receive(Id, Vec<Wanted>),
}

/// A stream that should be received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The publisher's own mid.
    pub(crate) mid: String,
    pub(crate) track: TrackId,
    pub(crate) codec: Codec,
    /// Silence of a screen says nothing: a slide that stands still is not sent.
    pub(crate) may_rest: bool,
}

#[derive(Debug)]
pub(crate) struct Roster {
    rule: ScreenRule,
    /// The name of every recorder.
    sign: String,
    /// In order of arrival.
    people: Vec<Person>,
    tracks: BTreeMap<TrackId, Voice>,
    /// The latest first.
    speaking: Vec<ParticipantId>,
}

#[derive(Debug)]
struct Person {
    feed: Id,
    /// What is shown for them: their own, or that of the person whose screen this is.
    shown: ParticipantId,
    name: String,
    /// Somebody's screen, and not a person.
    is_screen: bool,
    streams: Vec<Sent>,
}

#[derive(Debug, PartialEq, Eq)]
struct Sent {
    wanted: Wanted,
    source: Source,
}

/// Why a track may be mute: by a moderator's word, or because nothing comes.
#[derive(Debug, Default)]
struct Voice {
    moderated: bool,
    silent: bool,
}

impl Voice {
    fn is_muted(&self) -> bool {
        self.moderated || self.silent
    }
}

impl Roster {
    pub(crate) fn new(rule: ScreenRule, sign: String) -> Self {
        Self { rule, sign, people: Vec::new(), tracks: BTreeMap::new(), speaking: Vec::new() }
    }

    /// What follows from `notice`.
    pub(crate) fn hear(&mut self, notice: Notice) -> Vec<Step> {
        let mut steps = Vec::new();
        for person in notice.attendees.iter().chain(&notice.joining) {
            if person.display.as_ref() != Some(&self.sign) {
                self.arrive(person, &mut steps);
            }
        }
        for publisher in &notice.publishers {
            self.publish(publisher, &mut steps);
        }
        if let Some(feed) = &notice.unpublished {
            self.unpublish(feed, &mut steps);
        }
        for feed in notice.leaving.iter().chain(&notice.kicked) {
            self.leave(feed, &mut steps);
        }
        if let Some(feed) = &notice.id {
            match (notice.videoroom.as_str(), notice.moderation.as_deref(), notice.display) {
                ("talking", ..) => self.talk(feed, true, &mut steps),
                ("stopped-talking", ..) => self.talk(feed, false, &mut steps),
                ("event", Some(word), _) => {
                    self.moderate(feed, notice.mid.as_deref().unwrap_or_default(), word == "muted", &mut steps);
                }
                ("event", None, Some(display)) => self.rename(feed, &display, &mut steps),
                _ => {}
            }
        }
        steps
    }

    /// Nothing of what `feed` sends is of use, until it sends something new.
    pub(crate) fn hide(&mut self, feed: &Id) -> Vec<Step> {
        let mut steps = Vec::new();
        self.unpublish(feed, &mut steps);
        steps
    }

    /// Nothing comes from `track` any more, or something comes again.
    pub(crate) fn silence(&mut self, track: &TrackId, silent: bool) -> Option<Event> {
        self.change(track, |voice| voice.silent = silent)
    }

    fn change(&mut self, track: &TrackId, change: impl FnOnce(&mut Voice)) -> Option<Event> {
        let voice = self.tracks.get_mut(track)?;
        let before = voice.is_muted();
        change(voice);
        match (before, voice.is_muted()) {
            (false, true) => Some(Event::Muted(track.clone())),
            (true, false) => Some(Event::Unmuted(track.clone())),
            _ => None,
        }
    }

    fn find(&mut self, feed: &Id) -> Option<&mut Person> {
        self.people.iter_mut().find(|person| person.feed == *feed)
    }

    /// Makes sure that `publisher` is known.
    fn arrive(&mut self, publisher: &Publisher, steps: &mut Vec<Step>) {
        if self.find(&publisher.id).is_some() {
            return;
        }
        let name = clean_name(publisher.display.as_deref().unwrap_or_default());
        let person = match self.screen_of(&name) {
            Some((owner, name)) => {
                let found = self.people.iter().find(|person| !person.is_screen && person.name == owner);
                match found.map(|person| person.shown.clone()) {
                    Some(shown) => Person::new(publisher.id.clone(), shown, name, true),
                    None => Person::new(publisher.id.clone(), participant_id(&publisher.id), owner, false),
                }
            }
            None => Person::new(publisher.id.clone(), participant_id(&publisher.id), name, false),
        };
        if !person.is_screen {
            steps.push(Step::Tell(person.arrived()));
        }
        self.people.push(person);
    }

    /// Whose screen a publisher called `name` is, and that name.
    fn screen_of(&self, name: &str) -> Option<(String, String)> {
        let suffix = self.rule.name_suffix.trim();
        let owner = name.strip_suffix(suffix)?.trim_end();
        (!suffix.is_empty() && !owner.is_empty()).then(|| (owner.to_owned(), name.to_owned()))
    }

    fn publish(&mut self, publisher: &Publisher, steps: &mut Vec<Step>) {
        self.arrive(publisher, steps);
        let of_screen = self.screen_of(&clean_name(publisher.display.as_deref().unwrap_or_default())).is_some();
        let rule = self.rule.clone();
        let offered: Vec<(&Stream, Codec, Source)> = publisher
            .streams
            .iter()
            .filter(|stream| !stream.disabled && !stream.mid.is_empty())
            .filter_map(|stream| {
                let codec = codec(stream)?;
                Some((stream, codec, source(codec, of_screen || is_screen(&rule, stream))))
            })
            .collect();
        let Some(person) = self.people.iter_mut().find(|person| person.feed == publisher.id) else { return };
        let mut changed = false;
        person.streams.retain(|sent| {
            let stays = offered.iter().any(|(stream, codec, source)| sent.is(stream, *codec, *source));
            if !stays {
                changed = true;
                self.tracks.remove(&sent.wanted.track);
                steps.push(Step::Tell(Event::Untrack(sent.wanted.track.clone())));
            }
            stays
        });
        for (stream, codec, source) in offered {
            if !person.streams.iter().any(|sent| sent.is(stream, codec, source)) {
                changed = true;
                let sent = Sent::new(person, stream, codec, source);
                let (id, participant) = (sent.wanted.track.clone(), person.shown.clone());
                self.tracks.insert(id.clone(), Voice::default());
                person.streams.push(sent);
                steps.push(Step::Tell(Event::Track(Track { id, participant, source, codec })));
            }
        }
        if changed {
            // Subscribed before it is told of, so that whoever routes the track at once finds it.
            let wanted = person.wanted();
            let first =
                steps.iter().position(|step| matches!(step, Step::Tell(Event::Track(_)))).unwrap_or(steps.len());
            steps.insert(first, Step::Receive(publisher.id.clone(), wanted));
        }
        for stream in &publisher.streams {
            self.moderate(&publisher.id, &stream.mid, stream.moderated, steps);
        }
    }

    fn unpublish(&mut self, feed: &Id, steps: &mut Vec<Step>) {
        let Some(person) = self.find(feed) else { return };
        let sent = std::mem::take(&mut person.streams);
        if sent.is_empty() {
            return;
        }
        for sent in sent {
            self.tracks.remove(&sent.wanted.track);
            steps.push(Step::Tell(Event::Untrack(sent.wanted.track)));
        }
        steps.push(Step::Receive(feed.clone(), Vec::new()));
    }

    fn leave(&mut self, feed: &Id, steps: &mut Vec<Step>) {
        self.unpublish(feed, steps);
        let Some(at) = self.people.iter().position(|person| person.feed == *feed) else { return };
        let person = self.people.remove(at);
        if person.is_screen {
            return;
        }
        self.hush(&person.shown, steps);
        // A screen outlives its person as a participant of its own.
        let orphans: Vec<usize> = (0..self.people.len()).filter(|&at| self.people[at].shown == person.shown).collect();
        for &at in &orphans {
            let orphan = &mut self.people[at];
            orphan.shown = participant_id(&orphan.feed);
            orphan.is_screen = false;
            orphan.name.clone_from(&person.name);
            steps.push(Step::Tell(orphan.arrived()));
            let mut renamed = Vec::new();
            for sent in &mut orphan.streams {
                let old = std::mem::replace(&mut sent.wanted.track, track_id(&orphan.shown));
                let (id, source, codec) = (sent.wanted.track.clone(), sent.source, sent.wanted.codec);
                self.tracks.remove(&old);
                self.tracks.insert(id.clone(), Voice::default());
                steps.push(Step::Tell(Event::Untrack(old)));
                renamed.push(Step::Tell(Event::Track(Track { id, participant: orphan.shown.clone(), source, codec })));
            }
            steps.push(Step::Receive(orphan.feed.clone(), orphan.wanted()));
            steps.extend(renamed);
        }
        steps.push(Step::Tell(Event::Departed(person.shown)));
    }

    fn rename(&mut self, feed: &Id, display: &str, steps: &mut Vec<Step>) {
        let name = clean_name(display);
        if let Some(person) = self.find(feed)
            && !person.is_screen
            && person.name != name
        {
            person.name = name;
            steps.push(Step::Tell(person.arrived()));
        }
    }

    fn moderate(&mut self, feed: &Id, mid: &str, muted: bool, steps: &mut Vec<Step>) {
        let track = self.find(feed).and_then(|person| {
            let sent = person.streams.iter().find(|sent| sent.wanted.mid == mid)?;
            Some(sent.wanted.track.clone())
        });
        let event = track.and_then(|track| self.change(&track, |voice| voice.moderated = muted));
        steps.extend(event.map(Step::Tell));
    }

    fn talk(&mut self, feed: &Id, talks: bool, steps: &mut Vec<Step>) {
        let Some(shown) = self.find(feed).map(|person| person.shown.clone()) else { return };
        if talks {
            self.speaking.retain(|other| *other != shown);
            self.speaking.insert(0, shown);
            steps.push(Step::Tell(Event::Speaking(self.speaking.clone())));
        } else {
            self.hush(&shown, steps);
        }
    }

    fn hush(&mut self, shown: &ParticipantId, steps: &mut Vec<Step>) {
        if self.speaking.contains(shown) {
            self.speaking.retain(|other| other != shown);
            steps.push(Step::Tell(Event::Speaking(self.speaking.clone())));
        }
    }
}

impl Person {
    fn new(feed: Id, shown: ParticipantId, name: String, is_screen: bool) -> Self {
        Self { feed, shown, name, is_screen, streams: Vec::new() }
    }

    fn arrived(&self) -> Event {
        Event::Arrived(Participant { id: self.shown.clone(), name: self.name.clone() })
    }

    fn wanted(&self) -> Vec<Wanted> {
        self.streams.iter().map(|sent| sent.wanted.clone()).collect()
    }
}

impl Sent {
    fn new(person: &Person, stream: &Stream, codec: Codec, source: Source) -> Self {
        let may_rest = source == Source::Screen;
        let track = track_id(&person.shown);
        Self { wanted: Wanted { mid: stream.mid.clone(), track, codec, may_rest }, source }
    }

    fn is(&self, stream: &Stream, codec: Codec, source: Source) -> bool {
        self.wanted.mid == stream.mid && self.wanted.codec == codec && self.source == source
    }
}

fn codec(stream: &Stream) -> Option<Codec> {
    let codec = crate::peer::sdp::codec_named(stream.codec.as_deref()?)?;
    let kind = match stream.kind.as_str() {
        "audio" => Kind::Audio,
        "video" => Kind::Video,
        _ => return None,
    };
    (codec.kind() == kind).then_some(codec)
}

fn source(codec: Codec, screen: bool) -> Source {
    match (codec.kind(), screen) {
        (Kind::Video, false) => Source::Camera,
        (Kind::Video, true) => Source::Screen,
        (Kind::Audio, false) => Source::Microphone,
        (Kind::Audio, true) => Source::ScreenAudio,
    }
}

fn is_screen(rule: &ScreenRule, stream: &Stream) -> bool {
    let word = rule.description.trim().to_lowercase();
    let description = stream.description.as_deref().unwrap_or_default().to_lowercase();
    !word.is_empty() && description.contains(&word)
}

/// Janus' number; its text only where that is a plain token, since people choose those, and their hash otherwise.
fn participant_id(feed: &Id) -> ParticipantId {
    match feed {
        Id::Number(number) => ParticipantId(number.to_string()),
        Id::Text(text) => {
            let plain = (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            ParticipantId(if plain { text.clone() } else { hex::encode(&Sha256::digest(text)[..16]) })
        }
    }
}

/// Never given twice in the life of this process, also where somebody comes back under their old number.
fn track_id(participant: &ParticipantId) -> TrackId {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    TrackId(format!("{participant}-{}", GIVEN.fetch_add(1, Ordering::Relaxed) + 1))
}

#[cfg(test)]
mod tests;
