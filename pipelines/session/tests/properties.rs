//! What holds whatever happens in whatever order. A world of half-wills answers the session's actions, refuses them,
//! keeps silent, lets time pass or says something out of turn; a watcher keeps its own books.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use media::{PipelineSpec, Rendition, TrackId};
use proptest::prelude::*;
use session::{
    Action, Caution, Claim, Fault, Input, Limits, Meeting, News, Object, Outcome, Pipeline, Reason, Release, Room,
    Session, Spec, State, Storage, Suspect,
};
use words::{arrived, joined, track, untrack};

/// One thing that the world does.
#[derive(Debug, Clone)]
enum Step {
    /// Answers the oldest open request, well or badly.
    Answer(bool),
    /// The pipeline closes its next segment.
    Close(bool),
    Say(Input),
    Wait(u64),
    /// Waits until the session wants to be woken.
    Sleep,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![4 => Just(Fault::Passing), 1 => Just(Fault::Room), 1 => Just(Fault::Worker)]
}

fn lost() -> impl Strategy<Value = Input> {
    fault().prop_map(|fault| Input::Meeting(Meeting::Lost(fault, Reason::Unreachable)))
}

fn rendition(video: bool) -> Rendition {
    if video { Rendition::video() } else { Rendition::audio() }
}

fn rare() -> impl Strategy<Value = Input> {
    let broke = fault().prop_map(|fault| Input::Pipeline(Pipeline::Broke(fault, Reason::MediaDied)));
    prop_oneof![
        3 => lost(),
        2 => broke,
        1 => Just(Input::Meeting(Meeting::Removed)),
        1 => Just(Input::Room(Room::StopRequested)),
        1 => Just(Input::Room(Room::Ended)),
        2 => Just(Input::Shutdown),
        1 => Just(Input::Claim(Claim::Superseded)),
        2 => Just(Input::Claim(Claim::Taken)),
        1 => Just(Input::Pipeline(Pipeline::Playing)),
        1 => Just(Input::Pipeline(Pipeline::Drained)),
        1 => Just(Input::Timeout),
        1 => Just(Input::Storage(Storage::Stored(Object::Journal))),
        1 => Just(Input::Storage(Storage::SpoolFull)),
        1 => (0..3_u64).prop_map(|n| Input::Storage(Storage::Failed(Object::Segment(Rendition::video(), n)))),
    ]
}

fn common() -> impl Strategy<Value = Input> {
    let someone = || prop_oneof![Just("a"), Just("b"), Just("c")];
    prop_oneof![
        2 => Just(joined()),
        4 => someone().prop_map(track),
        2 => someone().prop_map(untrack),
        1 => someone().prop_map(arrived),
        1 => any::<bool>().prop_map(|video| Input::Pipeline(Pipeline::Init(rendition(video)))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => prop_oneof![5 => Just(true), 1 => Just(false)].prop_map(Step::Answer),
        6 => any::<bool>().prop_map(Step::Close),
        6 => common().prop_map(Step::Say),
        2 => rare().prop_map(Step::Say),
        3 => (0..5_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Sleep),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let suspects = |from: [&'static str; 3]| prop::sample::subsequence(from.map(suspect).to_vec(), 0..=2);
    let caution =
        (suspects(["a", "b", "c"]), suspects(["c", "b", "x"]), 1..9_000_u64).prop_map(|(trial, shunned, ms)| {
            // Never the one that everything begins with.
            Caution { on_trial: trial, shunned, pause: Duration::from_millis(ms) }
        });
    (any::<bool>(), 1..4_u32, 0..3_u32, any::<u64>(), caution).prop_map(|(earlier, joins, rejoins, seed, caution)| {
        let limits = Limits { joins, rejoins, ..Limits::default() };
        let pipeline = PipelineSpec::default();
        Spec { earlier, layout: layout::LayoutName::Speaker, pipeline, limits, seed, caution }
    })
}

fn suspect(name: &str) -> Suspect {
    Suspect::from(&words::a_track(name))
}

/// The watcher's books, kept from inputs and actions alone.
#[derive(Default)]
struct Books {
    open: Vec<Action>,
    next: BTreeMap<Rendition, u64>,
    /// Every segment that the pipeline closed while it ran, and every receipt.
    closed: BTreeSet<Object>,
    receipts: BTreeSet<Object>,
    releases: Vec<Release>,
    ends: Vec<Outcome>,
    superseded: bool,
    bot: bool,
    pipeline: bool,
    /// The sign is set: joined, and neither lost nor removed since.
    sign: bool,
    caution: Caution,
    added: BTreeSet<TrackId>,
    /// The one on trial that was added last, and when.
    tried: Option<Instant>,
}

struct World {
    session: Session,
    now: Instant,
    books: Books,
}

impl World {
    fn new(spec: Spec) -> Self {
        let now = Instant::now();
        let books = Books { caution: spec.caution.clone(), ..Books::default() };
        let (session, actions) = Session::new(spec, now);
        let mut world = Self { session, now, books };
        world.note(actions);
        world
    }

    fn tell(&mut self, input: Input) {
        let books = &mut self.books;
        let plays = matches!(
            self.session.state(),
            State::Live { .. } | State::Rejoining { .. } | State::HandingOver { .. } | State::Draining { .. }
        );
        let joining = matches!(self.session.state(), State::Joining { .. } | State::Rejoining { .. });
        let ended = matches!(self.session.state(), State::Ended(_));
        match &input {
            Input::Pipeline(Pipeline::Closed(rendition, n)) if plays => {
                books.closed.insert(Object::Segment(rendition.clone(), *n));
            }
            Input::Pipeline(Pipeline::Drained) if matches!(self.session.state(), State::Draining { .. }) => {
                books.pipeline = false;
            }
            Input::Storage(Storage::Stored(object)) => {
                books.receipts.insert(object.clone());
            }
            Input::Claim(Claim::Superseded) if !ended => books.superseded = true,
            Input::Meeting(Meeting::Joined) => books.sign = true,
            Input::Meeting(Meeting::Lost(..) | Meeting::Removed) if !joining => books.sign = false,
            _ => {}
        }
        let actions = self.session.handle(input, self.now);
        assert!(!ended || actions.is_empty(), "after the end: {actions:?}");
        self.note(actions);
    }

    fn note(&mut self, actions: Vec<Action>) {
        let books = &mut self.books;
        for action in actions {
            match &action {
                Action::Join { .. } => (books.bot, books.sign) = (true, false),
                Action::Leave => (books.bot, books.sign) = (false, false),
                Action::Start(_) => {
                    assert!(books.sign, "started before the sign was set");
                    assert!(!books.pipeline, "two pipelines at once");
                    books.pipeline = true;
                    books.next.clear();
                }
                Action::Kill => books.pipeline = false,
                Action::AddTrack(track) => {
                    assert!(books.sign, "captured before the sign was set");
                    let suspect = Suspect::from(track);
                    assert!(!books.caution.shunned.contains(&suspect), "{suspect:?} is shunned");
                    if let Some(at) = books.caution.on_trial.iter().position(|s| *s == suspect) {
                        books.caution.on_trial.remove(at);
                        let early = books.tried.is_some_and(|last| self.now < last + books.caution.pause);
                        assert!(!early || books.added.is_empty(), "{suspect:?} came too soon");
                        books.tried = Some(self.now);
                    }
                    assert!(books.added.insert(track.id.clone()), "{suspect:?} added twice");
                }
                Action::DropTrack(id) => assert!(books.added.remove(id), "{id} was not added"),
                Action::Announce(News::Ended(outcome)) => books.ends.push(*outcome),
                Action::Release(how) => {
                    assert!(!books.superseded, "superseded, and released {how:?}");
                    books.releases.push(*how);
                }
                Action::Store(Object::Journal) => {
                    let missing = books.closed.difference(&books.receipts).collect::<Vec<_>>();
                    assert!(missing.is_empty(), "a journal without receipts for {missing:?}");
                }
                Action::Drain => assert!(books.pipeline, "drained what does not run"),
                Action::Arrange(_) | Action::Store(_) | Action::Announce(_) => {}
            }
            if matches!(action, Action::Join { .. } | Action::Start(_) | Action::Drain | Action::Store(_)) {
                books.open.push(action);
            }
        }
    }

    fn answer(&mut self, well: bool) {
        if self.books.open.is_empty() {
            return;
        }
        let input = match (self.books.open.remove(0), well) {
            (Action::Join { .. }, true) => joined(),
            (Action::Join { .. }, false) => Input::Meeting(Meeting::Lost(Fault::Passing, Reason::Unreachable)),
            (Action::Start(_), true) => Input::Pipeline(Pipeline::Playing),
            (Action::Drain, true) => Input::Pipeline(Pipeline::Drained),
            (Action::Start(_) | Action::Drain, false) => {
                Input::Pipeline(Pipeline::Broke(Fault::Passing, Reason::PipelineBroke))
            }
            (Action::Store(object), true) => Input::Storage(Storage::Stored(object)),
            (Action::Store(object), false) => Input::Storage(Storage::Failed(object)),
            (other, _) => unreachable!("{other:?} has no answer"),
        };
        self.tell(input);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Answer(well) => self.answer(well),
            Step::Close(video) => {
                let next = self.books.next.entry(rendition(video)).or_default();
                let number = *next;
                *next += 1;
                self.tell(Input::Pipeline(Pipeline::Closed(rendition(video), number)));
            }
            Step::Say(input) => self.tell(input),
            Step::Wait(millis) => self.now += Duration::from_millis(millis),
            Step::Sleep => {
                if let Some(deadline) = self.session.deadline() {
                    self.now = self.now.max(deadline);
                    self.tell(Input::Timeout);
                }
            }
        }
    }

    /// Most of what can go wrong goes wrong later than the first minute.
    fn go_live(&mut self) {
        self.answer(true);
        self.tell(track("a"));
        self.answer(true);
        assert!(matches!(self.session.state(), State::Live { .. }));
    }

    /// Nothing happens any more but time.
    fn let_time_pass(&mut self) {
        for _ in 0..1_000 {
            let Some(deadline) = self.session.deadline() else { return };
            self.now = self.now.max(deadline);
            self.tell(Input::Timeout);
        }
        panic!("given only time, it never ended: {:?}", self.session.state());
    }

    fn outcome(&self) -> Outcome {
        match self.session.state() {
            State::Ended(outcome) => *outcome,
            other => panic!("{other:?}"),
        }
    }
}

fn check(books: &Books, outcome: Outcome) {
    let offered = books.releases.contains(&Release::HandOver);
    let last_word = !matches!(outcome, Outcome::HandedOver | Outcome::Superseded);

    if books.superseded {
        assert!(books.releases.len() <= 1, "superseded, and released {:?}", books.releases);
    } else {
        assert_eq!(books.releases.len(), 1, "released {:?}", books.releases);
    }
    assert_eq!(books.ends.len(), usize::from(last_word), "{outcome:?} announced as {:?}", books.ends);
    assert!(books.ends.iter().all(|end| *end == outcome), "{outcome:?} announced as {:?}", books.ends);
    assert!(!books.pipeline, "a pipeline is left behind");
    assert!(!books.bot, "a bot is left behind");
    // A day without a store is the one end that leaves something in the spool, and says so.
    let stored = outcome != Outcome::Cut(Reason::StoreTimeout);
    if stored && matches!(outcome, Outcome::Complete | Outcome::Cut(_)) {
        let missing = books.closed.difference(&books.receipts).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{outcome:?} without receipts for {missing:?}");
        assert!(books.receipts.contains(&Object::Journal), "{outcome:?} without a journal");
        assert!(!books.closed.is_empty(), "{outcome:?}, but nothing was captured");
    }
    assert!(!offered || books.ends.is_empty(), "handed over, and announced {:?}", books.ends);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// (1) given only time, every session ends; (2) exactly one release, at most one if superseded; (3) one
    /// announcement of the end, none on hand-over or supersession; (4) nothing after the end; (5) no pipeline or bot is
    /// left behind; (6) complete and cut imply a receipt for every closed segment, but for the cut of a store that was
    /// away for a day; (7) who handed over never announces the end; (8) nothing is started or captured before the sign
    /// is set; (9) nobody who is shunned is added, and those on trial never two within a pause, unless nobody else
    /// is there any more.
    #[test]
    fn whatever_happens_the_promises_hold(
        spec in spec(),
        begun in prop_oneof![1 => Just(false), 3 => Just(true)],
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(spec);
        if begun {
            world.go_live();
        }
        for step in steps {
            world.step(step);
        }
        world.let_time_pass();
        let outcome = world.outcome();
        check(&world.books, outcome);
        for input in [joined(), Input::Shutdown, Input::Timeout, Input::Claim(Claim::Superseded)] {
            world.tell(input);
        }
    }

    /// A log of inputs, written down and read again, leads the same way.
    #[test]
    fn a_replay_goes_the_same_way(spec in spec(), inputs in prop::collection::vec((common(), 0..3_000_u64), 0..60)) {
        let start = Instant::now();
        let run = |spec: Spec, inputs: &[(Input, u64)]| {
            let (mut session, mut all) = Session::new(spec, start);
            let mut now = start;
            for (input, millis) in inputs {
                now += Duration::from_millis(*millis);
                all.extend(session.handle(input.clone(), now));
            }
            (all, *session.state())
        };
        let text = serde_json::to_string(&(&spec, &inputs)).unwrap();
        let (again, read): (Spec, Vec<(Input, u64)>) = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(run(spec, &inputs), run(again, &read));
    }

    /// The session asks to be woken at a time at which it has something to do: waking it never spins.
    #[test]
    fn waking_at_the_deadline_moves_on(spec in spec(), steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new(spec);
        for step in steps {
            world.step(step);
            if let Some(deadline) = world.session.deadline() {
                let mut woken = world.session.clone();
                let at = world.now.max(deadline);
                let _ = woken.handle(Input::Timeout, at);
                prop_assert!(woken.deadline() != Some(deadline), "{:?} at its own deadline", woken.state());
            }
        }
    }
}
