//! Tracks that earlier epochs have learned to be careful with.

mod words;

use std::time::{Duration, Instant};

use media::Codec;
use session::{Action, Caution, Input, Limits, Meeting, Pipeline, Session, Spec, State, Suspect};
use words::{a_track, act, joined, lost, stand, track, untrack};

const PAUSE: Duration = Duration::from_secs(5);

fn suspects(names: &[&str]) -> Vec<Suspect> {
    names.iter().map(|name| Suspect::from(&a_track(name))).collect()
}

struct World {
    session: Session,
    start: Instant,
    now: Instant,
}

impl World {
    fn new(shunned: &[&str], on_trial: &[&str]) -> Self {
        let caution = Caution { shunned: suspects(shunned), on_trial: suspects(on_trial), pause: PAUSE };
        let (pipeline, limits) = Default::default();
        let layout = layout::LayoutName::Grid;
        let now = Instant::now();
        let (session, _) = Session::new(Spec { earlier: true, layout, pipeline, limits, seed: 1, caution }, now);
        Self { session, start: now, now }
    }

    fn tell(&mut self, input: Input) -> String {
        act(&self.session.handle(input, self.now))
    }

    /// Live with these in the room.
    fn live(shunned: &[&str], on_trial: &[&str], sent: &[&str]) -> (Self, String) {
        let mut world = Self::new(shunned, on_trial);
        world.tell(joined());
        for name in sent {
            world.tell(track(name));
        }
        let live = world.tell(Input::Pipeline(Pipeline::Playing));
        (world, live)
    }

    /// What is added from now on when nothing happens but time: seconds since the start, and the track.
    fn then(&mut self) -> Vec<(u64, String)> {
        let mut added = Vec::new();
        let limit = self.start + Limits::default().empty;
        while let Some(at) = self.session.deadline().filter(|at| *at < limit) {
            self.now = at;
            for action in self.session.handle(Input::Timeout, at) {
                if let Action::AddTrack(track) = action {
                    added.push((at.duration_since(self.start).as_secs(), track.id.0));
                }
            }
        }
        added
    }
}

fn added(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|(at, name)| (*at, (*name).to_owned())).collect()
}

/// Their names have a place meanwhile.
#[test]
fn those_on_trial_come_after_the_others_one_by_one_and_in_their_own_order() {
    let (mut world, live) = World::live(&[], &["c", "a"], &["a", "b", "c", "d"]);
    assert_eq!(live, "announce(started) add(b) add(d) arrange(4)");
    assert_eq!(world.then(), added(&[(5, "c"), (10, "a")]));
}

#[test]
fn with_nobody_else_there_the_first_on_trial_does_not_wait() {
    let (mut world, live) = World::live(&[], &["b", "a"], &["a", "b"]);
    assert_eq!(live, "announce(started) arrange(2)");
    assert_eq!(world.then(), added(&[(0, "b"), (5, "a")]));
}

#[test]
fn who_is_shunned_is_to_this_session_not_there() {
    let (mut world, live) = World::live(&["b"], &[], &["a", "b"]);
    assert_eq!(live, "announce(started) add(a) arrange(1)");
    assert_eq!(world.tell(untrack("b")), "");
    assert_eq!(world.tell(track("b")), "");
    // The same person's other codec is another matter.
    let other = media::Track { codec: Codec::H264, ..a_track("b") };
    assert_eq!(world.tell(Input::Meeting(Meeting::Track(other))), "add(b)");

    let mut alone = World::new(&["b"], &[]);
    alone.tell(joined());
    assert_eq!(alone.tell(track("b")), "");
    assert_eq!(stand(alone.session.state()), "lobby 1", "nothing is sent that could be recorded");
}

#[test]
fn a_room_in_which_all_are_on_trial_is_recorded() {
    let mut world = World::new(&[], &["a"]);
    world.tell(joined());
    assert_eq!(world.tell(track("a")), "start");
}

#[test]
fn who_leaves_before_the_trial_was_never_there() {
    let (mut world, _) = World::live(&[], &["b"], &["a", "b"]);
    assert_eq!(world.tell(untrack("b")), "");
    assert_eq!(world.then(), added(&[]));
}

#[test]
fn a_trial_goes_on_after_the_room_was_lost_and_found() {
    let (mut world, _) = World::live(&[], &["b", "c"], &["a", "b", "c"]);
    world.now += PAUSE;
    assert_eq!(world.tell(Input::Timeout), "add(b) arrange(3)");
    assert_eq!(world.tell(lost(session::Fault::Passing)), "drop(a) drop(b) arrange(0) join(1)");
    world.now += PAUSE;
    world.tell(joined());
    world.now += Duration::from_secs(1);
    assert_eq!(world.tell(track("b")), "add(b) arrange(1)", "tried already");
    assert_eq!(world.tell(track("c")), "");
    assert!(matches!(world.session.state(), State::Live { .. }));
    assert_eq!(world.then(), added(&[(16, "c")]));
}

/// With one who was tried already, and with one who never was on trial.
#[test]
fn who_need_not_wait_waits_once_somebody_else_is_there() {
    let (mut world, _) = World::live(&[], &["a", "b"], &["a"]);
    assert_eq!(world.tell(Input::Timeout), "add(a) arrange(1)", "its trial begins with its picture");
    assert_eq!(world.tell(untrack("a")), "drop(a)");
    assert_eq!(world.tell(track("b")), "", "alone, so it would be added now");
    assert_eq!(world.tell(track("a")), "add(a)");
    assert_eq!(world.then(), added(&[(5, "b")]));

    let (mut world, _) = World::live(&[], &["b"], &["b"]);
    assert_eq!(world.tell(track("c")), "add(c)");
    assert_eq!(world.then(), added(&[(5, "b")]));
}

#[test]
fn who_comes_and_goes_puts_off_no_trial() {
    let (mut world, _) = World::live(&[], &["b"], &["a", "b"]);
    world.now += Duration::from_secs(4);
    world.tell(untrack("a"));
    assert_eq!(world.tell(track("a")), "add(a)");
    assert_eq!(world.then(), added(&[(5, "b")]));
}
