//! Rooms with killers in them, played by the real session: what it adds is what can kill.

use layout::LayoutName;
use media::{Codec, ParticipantId, PipelineSpec, Source};
use proptest::prelude::*;
use session::{Action, Input, Limits, Meeting, Pipeline, Session, Spec};

use super::*;

const CRASH: End = End::Signal(11);

/// From a death until the next process plays.
const RESTART: Duration = Duration::from_millis(2_500);

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A track, when it comes into the room, and how long after it was added it kills.
#[derive(Debug, Clone)]
struct Sender {
    name: String,
    comes: Duration,
    kills: Option<Duration>,
}

fn sender(name: &str, comes: f64, kills: Option<f64>) -> Sender {
    Sender { name: name.into(), comes: secs(comes), kills: kills.map(secs) }
}

fn track(name: &str, epoch: u32) -> Track {
    Track {
        id: TrackId(format!("{name}-{epoch}")),
        participant: ParticipantId(name.into()),
        source: Source::Camera,
        codec: Codec::H264,
    }
}

#[derive(Debug, Default)]
struct Story {
    deaths: Vec<Duration>,
    shunned: Vec<(String, Duration)>,
    /// In the last process, at the end.
    recorded: BTreeSet<String>,
}

impl Story {
    fn shunned(&self) -> Vec<&str> {
        self.shunned.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Plays a room for `lasts`, with as many processes as it takes.
fn play(senders: &[Sender], lasts: f64) -> Story {
    let (start, end) = (Instant::now(), secs(lasts));
    let (mut blame, mut story) = (Blame::default(), Story::default());
    let mut at = Duration::ZERO;
    for epoch in 1.. {
        let caution = blame.caution();
        let (limits, seed, layout) = (Limits::default(), 0, LayoutName::Grid);
        let spec = Spec { earlier: epoch > 1, layout, pipeline: PipelineSpec::default(), limits, seed, caution };
        let (mut session, _) = Session::new(spec, start + at);
        let mut inside: Vec<(String, Duration)> = Vec::new();
        let mut come: Vec<&Sender> = senders.iter().collect();
        come.sort_by_key(|s| s.comes);
        let mut inputs = vec![Input::Meeting(Meeting::Joined)];
        let mut plays = false;
        let died = loop {
            let (here, later) = come.into_iter().partition::<Vec<_>, _>(|s| s.comes <= at);
            come = later;
            inputs.extend(here.iter().map(|s| Input::Meeting(Meeting::Track(track(&s.name, epoch)))));
            for input in std::mem::take(&mut inputs) {
                for action in session.handle(input, start + at) {
                    match action {
                        Action::AddTrack(track) => {
                            blame.added(&track, start + at);
                            inside.push((track.participant.0, at));
                        }
                        Action::Arrange(scene) => blame.arranged(&scene, start + at),
                        // It plays at once.
                        Action::Start(_) => inputs.push(Input::Pipeline(Pipeline::Playing)),
                        _ => {}
                    }
                }
            }
            plays |= !inputs.is_empty();
            if !inputs.is_empty() {
                continue;
            }
            let kills = |(name, since): &(String, Duration)| {
                senders.iter().find(|s| s.name == *name).and_then(|s| Some(*since + s.kills?))
            };
            let death = inside.iter().filter_map(kills).min();
            let wake = session.deadline().map(|deadline| deadline.duration_since(start));
            let comes = come.first().map(|s| s.comes);
            let next = [death, wake, comes].into_iter().flatten().min().unwrap_or(end).max(at);
            if next >= end {
                story.recorded = inside.into_iter().map(|(name, _)| name).collect();
                return story;
            }
            at = next;
            if death == Some(at) {
                break at;
            }
            if wake == Some(at) {
                inputs.push(Input::Timeout);
            }
        };
        assert!(plays);
        story.deaths.push(died);
        if let Some(shunned) = blame.died(CRASH, start + died) {
            story.shunned.push((shunned.participant.0, died));
        }
        at = died + RESTART;
    }
    unreachable!()
}

#[test]
fn a_newcomer_who_kills_at_once_is_shunned_within_a_minute_and_the_lecture_goes_on() {
    let room = [sender("ann", 0., None), sender("bo", 0., None), sender("evil", 600., Some(0.2))];
    let story = play(&room, 900.);
    assert_eq!(story.shunned(), ["evil"]);
    assert_eq!(story.deaths.len(), 3);
    assert!(story.deaths[2] - story.deaths[0] < WITHIN, "{story:?}");
    assert_eq!(story.recorded, ["ann", "bo"].map(String::from).into());
}

#[test]
fn of_several_who_came_together_the_one_who_kills_is_found() {
    let room = [
        sender("ann", 0., None),
        sender("bo", 300., None),
        sender("evil", 300., Some(1.)),
        sender("cy", 300., None),
        sender("di", 301., None),
    ];
    let story = play(&room, 900.);
    assert_eq!(story.shunned(), ["evil"]);
    // One that points at nobody, three that point at it.
    assert_eq!(story.deaths.len(), 4, "{story:?}");
    assert_eq!(story.recorded, ["ann", "bo", "cy", "di"].map(String::from).into());
}

#[test]
fn someone_who_turns_into_a_killer_after_an_hour_is_found_too() {
    // Nobody else came since, so the first death points at nobody, and the second at all who are there.
    let mut room = vec![sender("evil", 0., Some(3_600.)), sender("ann", 1., None), sender("bo", 2., None)];
    let first = play(&room, 3_700.);
    assert_eq!((first.deaths.len(), first.shunned()), (1, vec![]));
    room[0].kills = Some(secs(0.5));
    let story = play(&room, 300.);
    assert_eq!(story.shunned(), ["evil"]);
    assert_eq!(story.recorded, ["ann", "bo"].map(String::from).into());
}

#[test]
fn whatever_kills_from_outside_blames_nobody() {
    let start = Instant::now();
    let mut blame = Blame::default();
    for n in 0..20 {
        let now = start + secs(f64::from(n));
        blame.added(&track("ann", n), now);
        for how in [End::Signal(9), End::Signal(15), End::Code(1), End::Code(101), End::Unseen] {
            assert_eq!(blame.died(how, now), None);
        }
    }
    let caution = blame.caution();
    assert!(caution.shunned.is_empty() && caution.on_trial.is_empty());
}

#[test]
fn three_deaths_that_are_far_apart_shun_nobody() {
    let start = Instant::now();
    let mut blame = Blame::default();
    for n in 0..10 {
        let now = start + secs(f64::from(n) * 35.);
        blame.added(&track("ann", n), now);
        assert_eq!(blame.died(CRASH, now + secs(1.)), None, "death {n}");
    }
}

#[test]
fn a_death_without_the_suspect_clears_them() {
    let start = Instant::now();
    let mut blame = Blame::default();
    for n in 0..2 {
        blame.added(&track("ann", n), start + secs(f64::from(n)));
        assert_eq!(blame.died(CRASH, start + secs(f64::from(n) + 0.5)), None);
    }
    assert_eq!(blame.caution().on_trial, [Suspect::from(&track("ann", 0))]);
    blame.added(&track("bo", 3), start + secs(3.));
    assert_eq!(blame.died(CRASH, start + secs(3.5)), None);
    // Two were held against Ann; now none is.
    for n in 4..6 {
        blame.added(&track("ann", n), start + secs(f64::from(n)));
        assert_eq!(blame.died(CRASH, start + secs(f64::from(n) + 0.5)), None, "at {n}");
    }
}

#[test]
fn a_picture_counts_from_when_it_is_shown() {
    let start = Instant::now();
    let mut blame = Blame::default();
    let tile = |name| layout::Tile {
        participant: ParticipantId("".into()),
        track: Some(track(name, 1).id),
        label: String::new(),
        place: layout::Rect { x: 0, y: 0, width: 64, height: 64 },
    };
    let scene = |names: &[&'static str]| Scene {
        canvas: PipelineSpec::default().canvas,
        tiles: names.iter().map(|name| tile(name)).collect(),
    };
    for name in ["ann", "bo"] {
        blame.added(&track(name, 1), start);
    }
    blame.arranged(&scene(&["ann"]), start);
    blame.arranged(&scene(&["ann", "bo"]), start + secs(100.));
    assert_eq!(blame.died(CRASH, start + secs(101.)), None);
    assert_eq!(blame.caution().on_trial, [Suspect::from(&track("bo", 1))]);
}

#[test]
fn what_an_ended_process_held_is_forgotten() {
    let start = Instant::now();
    let mut blame = Blame::default();
    blame.added(&track("ann", 1), start);
    blame.ended();
    blame.added(&track("bo", 2), start + secs(1.));
    assert_eq!(blame.died(CRASH, start + secs(2.)), None);
    assert_eq!(blame.caution().on_trial, [Suspect::from(&track("bo", 2))]);
}

#[test]
fn what_was_dropped_just_before_a_death_is_still_a_suspect() {
    let start = Instant::now();
    let mut blame = Blame::default();
    blame.added(&track("ann", 1), start);
    blame.added(&track("bo", 1), start + secs(100.));
    blame.dropped(&track("bo", 1).id, start + secs(101.));
    blame.died(CRASH, start + secs(101.5));
    assert_eq!(blame.caution().on_trial, [Suspect::from(&track("bo", 1))]);

    blame.added(&track("bo", 2), start + secs(110.));
    blame.dropped(&track("bo", 2).id, start + secs(120.));
    blame.died(CRASH, start + secs(121.));
    assert!(blame.caution().on_trial.is_empty(), "it had lived through its trial");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Killers that kill within a trial are all shunned, each after three deaths of its own; nobody else ever is.
    #[test]
    fn killers_are_shunned_and_nobody_else(
        innocent in prop::collection::vec(0..400_u32, 0..9),
        killers in prop::collection::vec((0..400_u32, 50..4_500_u32), 1..3),
    ) {
        let mut room: Vec<_> = innocent.iter().enumerate()
            .map(|(n, at)| sender(&format!("ann{n}"), f64::from(*at), None)).collect();
        room.extend(killers.iter().enumerate()
            .map(|(n, (at, ms))| sender(&format!("evil{n}"), f64::from(*at), Some(f64::from(*ms) / 1000.))));
        let story = play(&room, 1_500.);
        let mut shunned = story.shunned();
        shunned.sort_unstable();
        let evil: Vec<_> = (0..killers.len()).map(|n| format!("evil{n}")).collect();
        prop_assert_eq!(&shunned, &evil, "{:?}", story);
        prop_assert_eq!(story.recorded.len(), innocent.len());
        // Three each, and for each at most two that point at nobody; whoever comes just then may blur one more.
        prop_assert!(story.deaths.len() <= 5 * killers.len() + innocent.len(), "{:?}", story);
    }

    /// Whatever a killer's delay, and whoever comes when: the innocent are never shunned.
    #[test]
    fn the_innocent_are_never_shunned(
        innocent in prop::collection::vec(0..300_u32, 1..9),
        killers in prop::collection::vec((0..300_u32, 50..60_000_u32), 1..3),
    ) {
        let mut room: Vec<_> = innocent.iter().enumerate()
            .map(|(n, at)| sender(&format!("ann{n}"), f64::from(*at), None)).collect();
        room.extend(killers.iter().enumerate()
            .map(|(n, (at, ms))| sender(&format!("evil{n}"), f64::from(*at), Some(f64::from(*ms) / 1000.))));
        let story = play(&room, 900.);
        prop_assert!(story.shunned().iter().all(|name| name.starts_with("evil")), "{:?}", story);
    }
}
