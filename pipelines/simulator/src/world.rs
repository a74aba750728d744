//! The one loop: takes what happens next, in order of simulated time, to whom it concerns.

use claim::{Phase, TRIES};

use crate::check::Check;
use crate::event::{Client, Event, Letter, Step, Wake};
use crate::fault::Fault;
use crate::finalizer::Finalizer;
use crate::mistake::Mistake;
use crate::network::Network;
use crate::outside::Outside;
use crate::random::Random;
use crate::room::Room;
use crate::scenario::Scenario;
use crate::schedule::{MINUTE, MS, Micros, SECOND, Schedule};
use crate::store::Store;
use crate::story::Story;
use crate::worker::Worker;

/// By then, every recording has come to its end.
const HORIZON: Micros = 240 * MINUTE;

/// Longer than a lobby, and than a session puts up with a room in which nobody sends.
const DESERTED: Micros = 25 * MINUTE;

/// Calls to the store, of everybody in one minute.
const STORM: u64 = 1_500;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) out: Outside,
    workers: Vec<Worker>,
    finalizers: Vec<Finalizer>,
    scenario: Scenario,
}

impl World {
    pub(crate) fn new(scenario: Scenario, random: Random, mistake: Option<Mistake>, story: bool) -> Self {
        let outages = scenario.faults.iter().filter(|planned| planned.fault == Fault::Outage);
        let check = Check::new(outages.map(|planned| (planned.from, planned.to)).collect());
        let out = Outside {
            schedule: Schedule::new(),
            random,
            network: Network::new(scenario.spoil),
            store: Store::default(),
            rooms: scenario.rooms.iter().map(|lecture| Room::new(lecture.begins)).collect(),
            check,
            story: Story::new(story),
            mistake,
            clocks_differ: false,
            lives: vec![0; scenario.workers],
        };
        let workers = (0..scenario.workers).map(|at| Worker::new(at, scenario.slots)).collect();
        let finalizers = (0..scenario.finalizers).map(Finalizer::new).collect();
        let mut world = Self { out, workers, finalizers, scenario };
        world.plan();
        world
    }

    fn plan(&mut self) {
        let schedule = &mut self.out.schedule;
        for (at, lecture) in self.scenario.rooms.iter().enumerate() {
            for (when, what) in &lecture.happens {
                schedule.at(*when, Event::Room(at, *what));
            }
            for copy in 0..lecture.copies {
                schedule.at(lecture.begins + copy * SECOND / 2, Event::Post(Letter::Request(at)));
            }
        }
        for planned in &self.scenario.faults {
            schedule.at(planned.from, Event::Begin(planned.fault));
            schedule.at(planned.to, Event::End(planned.fault));
        }
        let recovered = self.scenario.recovered();
        schedule.at(recovered, Event::Recovered);
        let ends = self.scenario.rooms.iter().flat_map(|lecture| lecture.happens.iter().map(|(at, _)| *at)).max();
        schedule.at(ends.unwrap_or(0).max(recovered) + DESERTED, Event::Deserted);
        schedule.at(SECOND, Event::Tick);
        self.workers.iter_mut().for_each(|worker| worker.start(&mut self.out));
        self.finalizers.iter_mut().for_each(|finalizer| finalizer.start(&mut self.out));
    }

    /// Until all is over, or a promise is broken.
    pub(crate) fn run(&mut self) {
        while self.out.check.broken.is_none()
            && let Some(event) = self.out.schedule.next()
        {
            if matches!(event, Event::Tick) {
                if self.over() {
                    return self.out.judge();
                }
                self.out.after(SECOND, Event::Tick);
                continue;
            }
            self.dispatch(event);
        }
    }

    fn over(&mut self) -> bool {
        let now = self.out.now();
        if now > HORIZON {
            return true;
        }
        let busiest = self.out.network.busiest;
        if busiest > STORM {
            self.out.check.fail(now, || format!("{busiest} calls to the store in one minute"));
        }
        let ended = self.out.rooms.iter().all(|room| room.ended.is_some());
        let final_ = |at: usize| {
            let record = self.out.store.record(at);
            record.is_some_and(|record| !record.phase.open() && record.phase != Phase::Ended)
        };
        let idle = now >= self.scenario.recovered() && self.workers.iter().all(Worker::idle);
        ended && idle && (0..self.out.rooms.len()).all(final_)
    }

    fn dispatch(&mut self, event: Event) {
        let now = self.out.now();
        let concerned = match &event {
            Event::Answer(Client::Worker(at, _), ..) | Event::Worker(at, ..) => Some(*at),
            _ => None,
        };
        if let Some(until) = concerned.map(|at| self.workers[at].suspended).filter(|until| *until > now) {
            return self.out.schedule.at(until, event);
        }
        let out = &mut self.out;
        match event {
            Event::Reach(call) => out.reach(*call),
            Event::Answer(Client::Worker(at, life), call, answer) => self.workers[at].answer(life, call, answer, out),
            Event::Answer(Client::Finalizer(at, life), call, answer) => {
                self.finalizers[at].answer(life, call, answer, out);
            }
            Event::Worker(at, life, Wake::Request(recording)) if !self.workers[at].lives(life) => {
                // The broker sees that nobody has settled it.
                out.after(SECOND, Event::Post(Letter::Request(recording)));
            }
            Event::Worker(at, life, wake) => self.workers[at].wake(life, wake, out),
            Event::Finalizer(at, life, step) => self.finalizers[at].step(life, step, out),
            Event::Post(letter) => self.post(letter),
            Event::Room(at, what) => out.happens(at, what),
            Event::Enter(at, bot) => out.enter(at, bot),
            Event::Begin(fault) => self.begin(fault),
            Event::End(fault) => self.end(fault),
            Event::Recovered => self.recovered(),
            Event::Deserted => {
                if let Some(at) = out.rooms.iter().position(|room| room.ended.is_some() && !room.bots.is_empty()) {
                    out.check.fail(now, || format!("a bot is still in room {at}, which is over"));
                }
            }
            Event::Tick => {}
        }
    }

    /// The broker gives a letter to one of those that are there for it: at least once, but for the news that the
    /// finalizer's steward finds out by itself.
    fn post(&mut self, letter: Letter) {
        let out = &mut self.out;
        let late = out.random.between(5 * MS, 200 * MS);
        match letter {
            Letter::Request(recording) => {
                let there: Vec<_> = self.workers.iter().filter(|worker| worker.up && !worker.stopping).collect();
                match there.get(out.random.index(there.len())) {
                    Some(worker) => out.wake(worker.client(), late, Wake::Request(recording)),
                    None => out.after(SECOND, Event::Post(letter)),
                }
            }
            Letter::Stored(recording) => {
                let there: Vec<_> = self.finalizers.iter().filter(|finalizer| finalizer.up).collect();
                for _ in 0..[0, 1, 1, 1, 2, 2][out.random.index(6)] {
                    let late = out.random.between(5 * MS, 400 * MS);
                    if let Some(finalizer) = there.get(out.random.index(there.len())) {
                        out.step(finalizer.client(), late, Step::Begin(recording));
                    }
                }
            }
        }
    }

    fn begin(&mut self, fault: Fault) {
        let now = self.out.now();
        self.out.story.tell(now, || format!("fault      {fault:?}"));
        let out = &mut self.out;
        match fault {
            Fault::Crash { worker, node } => self.workers[worker].crash(node, out),
            Fault::Child { worker } => self.workers[worker].child_dies(out),
            Fault::Term { worker } => self.workers[worker].stop(out),
            Fault::Suspend { worker } => {
                let same = |planned: &&crate::fault::Planned| planned.fault == fault && planned.to > now;
                let until = self.scenario.faults.iter().filter(same).map(|planned| planned.to).max();
                self.workers[worker].suspended = until.unwrap_or(now);
            }
            Fault::Partition { worker } => out.network.apart.push(worker),
            Fault::Outage => out.network.outages += 1,
            Fault::Slow => out.network.slow += 1,
            Fault::Loss { percent } => out.network.losses.push(percent),
            Fault::Lie => out.network.lies += 1,
            Fault::Clock { worker, by } => {
                self.workers[worker].clock += by * 1_000_000;
                out.clocks_differ = true;
            }
            Fault::DiskFull { worker } => self.workers[worker].disk.full = true,
            Fault::Stuck { worker } => self.workers[worker].stuck = true,
            Fault::Meeting => out.meeting_away(true),
            Fault::Finalizer { at } => self.finalizers[at].crash(out),
        }
    }

    fn end(&mut self, fault: Fault) {
        let now = self.out.now();
        self.out.story.tell(now, || format!("over       {fault:?}"));
        let out = &mut self.out;
        let forget = |from: &mut Vec<_>, what| {
            if let Some(found) = from.iter().position(|other| *other == what) {
                from.swap_remove(found);
            }
        };
        match fault {
            Fault::Crash { worker, .. } => self.workers[worker].start(out),
            Fault::Term { worker } => {
                if self.workers[worker].stopping {
                    self.workers[worker].crash(false, out);
                }
                self.workers[worker].start(out);
            }
            Fault::Partition { worker } => {
                if let Some(found) = out.network.apart.iter().position(|other| *other == worker) {
                    out.network.apart.swap_remove(found);
                }
            }
            Fault::Outage => out.network.outages -= 1,
            Fault::Slow => out.network.slow -= 1,
            Fault::Loss { percent } => forget(&mut out.network.losses, percent),
            Fault::Lie => out.network.lies -= 1,
            Fault::DiskFull { worker } => self.workers[worker].disk.full = false,
            Fault::Stuck { worker } => self.workers[worker].stuck = false,
            Fault::Meeting => out.meeting_away(false),
            Fault::Finalizer { at } => self.finalizers[at].start(out),
            Fault::Child { .. } | Fault::Suspend { .. } | Fault::Clock { .. } => {}
        }
    }

    /// Whatever goes on is recorded again, and by one.
    fn recovered(&mut self) {
        let now = self.out.now();
        for (at, room) in self.out.rooms.iter().enumerate() {
            if !room.goes_on() || room.begun + 20 * SECOND > now {
                continue;
            }
            // Nobody may try any more, or nobody could: a meeting server that is away for all attempts to join.
            let spent = |record: &claim::Record| record.phase.open() && record.idle >= TRIES;
            let away = |record: &claim::Record| record.reason.as_deref() == Some("unreachable");
            if self.out.store.record(at).is_some_and(|record| spent(record) || away(record)) {
                continue;
            }
            let jobs = self.workers.iter().flat_map(|worker| &worker.jobs);
            let live = jobs.filter(|job| job.recording == at && job.is_live()).count();
            let able = self.workers.iter().any(Worker::could_record);
            if live > 1 || (live == 0 && able) {
                let record = self.out.store.record(at).map(|record| (record.phase, record.epoch, record.owner.clone()));
                self.out.check.fail(now, || format!("{live} workers record {at}, which goes on: {record:?}"));
                return;
            }
        }
    }
}
