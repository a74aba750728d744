//! A worker. Real are its rules: `claim::{Claimer, Holder, Watch}` and `session::Session`. A model is what the recorder
//! puts around them: which call follows which answer, the spool, the media process.

mod claims;
mod hold;
mod job;
mod keep;
mod ledger;

use std::collections::VecDeque;
use std::rc::Rc;

use claim::{Record, Watch};
use session::{Input, State};

use crate::event::{Client, Event, Letter, Wake};
use crate::outside::Outside;
use crate::schedule::{MS, Micros, SECOND};
use crate::spool::Disk;
use crate::store::{Answer, Key, Request};
use claims::Claiming;
use job::Job;

#[derive(Debug)]
pub(crate) struct Worker {
    at: usize,
    life: u32,
    pub(crate) up: bool,
    /// Told to stop.
    pub(crate) stopping: bool,
    /// SIGSTOP until then.
    pub(crate) suspended: Micros,
    /// How wrong its wall clock is.
    pub(crate) clock: i64,
    /// Its pipelines do not drain.
    pub(crate) stuck: bool,
    slots: usize,
    pub(crate) disk: Disk,
    /// Takes requests and looks for silent holders: not before its spool is stored.
    serves: bool,
    orphans: VecDeque<Key>,
    watch: Watch,
    /// What the last look saw.
    seen: Vec<(usize, Rc<Record>, Rc<str>)>,
    claims: Vec<Claiming>,
    pub(crate) jobs: Vec<Job>,
    calls: Vec<(u64, Purpose)>,
    /// Of jobs and claims, over all lives.
    numbers: u32,
}

/// What a call to the store is for.
#[derive(Debug)]
enum Purpose {
    Orphan(Key),
    OrphanReadBack(Key),
    Look,
    Claim(u32),
    Adopt(usize, String),
    Hold(u32),
    Ledger(u32),
    Poll(u32),
    Put(u32, session::Object),
    ReadBack(u32, session::Object),
}

impl Worker {
    pub(crate) fn new(at: usize, slots: usize) -> Self {
        Self {
            at,
            life: 0,
            up: false,
            stopping: false,
            suspended: 0,
            clock: 0,
            stuck: false,
            slots,
            disk: Disk::default(),
            serves: false,
            orphans: VecDeque::new(),
            watch: Watch::default(),
            seen: Vec::new(),
            claims: Vec::new(),
            jobs: Vec::new(),
            calls: Vec::new(),
            numbers: 0,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::Worker(self.at, self.life)
    }

    fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// The process begins: what an earlier one left in the spool goes first.
    pub(crate) fn start(&mut self, out: &mut Outside) {
        if self.up {
            return;
        }
        self.life += 1;
        out.lives[self.at] = self.life;
        (self.up, self.stopping, self.serves) = (true, false, false);
        self.watch = Watch::default();
        self.seen.clear();
        self.orphans = self.disk.files.keys().copied().collect();
        out.wake(self.client(), 300 * MS, Wake::Boot);
    }

    /// kill -9. The node and what lies on its disk go as well, if `node`.
    pub(crate) fn crash(&mut self, node: bool, out: &mut Outside) {
        let now = out.now();
        out.story.tell(now, || format!("worker {}   dies{}", self.at, if node { " with its node" } else { "" }));
        for claim in self.claims.drain(..).filter(|claim| claim.asked) {
            // Its message was not settled: it comes again.
            out.after(SECOND, Event::Post(Letter::Request(claim.recording)));
        }
        for job in self.jobs.drain(..) {
            out.check.unfinished(job.recording, job.epoch, job.open(now), now);
            out.check.died(&job.unspooled(), self.suspended > now, now);
        }
        if node {
            out.check.node_lost(self.disk.files.values());
            self.disk = Disk { full: self.disk.full, ..Disk::default() };
        }
        self.calls.clear();
        (self.up, self.stopping, self.serves, self.suspended) = (false, false, false, 0);
        out.vanish(self.at);
    }

    /// SIGTERM.
    pub(crate) fn stop(&mut self, out: &mut Outside) {
        if !self.up || self.stopping {
            return;
        }
        let now = out.now();
        out.story.tell(now, || format!("worker {}   is told to stop", self.at));
        self.stopping = true;
        for number in self.job_numbers() {
            self.tell(number, Input::Shutdown, out);
        }
        self.dismiss(out);
    }

    pub(crate) fn child_dies(&mut self, out: &mut Outside) {
        for number in self.job_numbers() {
            self.media_died(number, out);
        }
    }

    fn job_numbers(&self) -> Vec<u32> {
        self.jobs.iter().map(|job| job.number).collect()
    }

    pub(crate) fn wake(&mut self, life: u32, wake: Wake, out: &mut Outside) {
        if !self.up || life != self.life {
            return;
        }
        match wake {
            Wake::Boot | Wake::Orphans => self.next_orphan(out),
            Wake::Request(recording) => self.request(recording, out),
            Wake::News(recording, news) => {
                let theirs = self.jobs.iter().filter(|job| job.recording == recording).map(|job| job.number);
                for number in theirs.collect::<Vec<_>>() {
                    self.tell(number, Input::Room(news), out);
                }
            }
            Wake::Look => self.look(out),
            Wake::Claim(number) => self.claim_again(number, out),
            Wake::Adopt(recording, word) => self.adopt(recording, word, out),
            Wake::Beat(job) => self.beat(job, out),
            Wake::Hold(job) => self.hold_again(job, out),
            Wake::Ledger(job) => self.tell_ledger(job, out),
            Wake::Poll(job) => self.poll(job, out),
            Wake::Deadline(job, at) => {
                if self.jobs.iter().any(|j| j.number == job && j.armed == Some(at)) {
                    self.tell(job, Input::Timeout, out);
                }
            }
            Wake::Heard(job, join, input) => {
                if self.jobs.iter().any(|j| j.number == job && j.joins == join) {
                    self.tell(job, input, out);
                }
            }
            Wake::Playing(job) => self.playing(job, out),
            Wake::Full(job, segment) => self.full(job, segment, out),
            Wake::Drained(job) => self.drained(job, out),
            Wake::Written(job, object) => self.written(job, object, out),
        }
        self.dismiss(out);
    }

    pub(crate) fn answer(&mut self, life: u32, call: u64, answer: Answer, out: &mut Outside) {
        if !self.up || life != self.life {
            return;
        }
        // Given up already: nobody waits for it any more.
        let Some(found) = self.calls.iter().position(|(number, _)| *number == call) else { return };
        let (_, purpose) = self.calls.swap_remove(found);
        match purpose {
            Purpose::Orphan(key) => self.orphan_put(key, &answer, out),
            Purpose::OrphanReadBack(key) => self.orphan_read(key, &answer, out),
            Purpose::Look => self.looked(answer, out),
            Purpose::Claim(number) => self.claim_heard(number, answer, out),
            Purpose::Adopt(recording, word) => self.adopted(recording, word, answer, out),
            Purpose::Hold(job) => self.hold_heard(job, answer, out),
            Purpose::Ledger(job) => self.ledger_heard(job, &answer, out),
            Purpose::Poll(job) => self.polled(job, &answer, out),
            Purpose::Put(job, object) => self.put(job, object, &answer, out),
            Purpose::ReadBack(job, object) => self.read_back(job, object, &answer, out),
        }
        self.dismiss(out);
    }

    fn ask(&mut self, purpose: Purpose, request: Request, out: &mut Outside) {
        let number = out.call(self.client(), request);
        self.calls.push((number, purpose));
    }

    /// Forgets jobs that are done. A worker that was told to stop and has none left ends.
    fn dismiss(&mut self, out: &mut Outside) {
        let done = |job: &Job| matches!(job.session.state(), State::Ended(_)) && job.settled();
        if self.jobs.iter().any(done) {
            for job in self.jobs.iter().filter(|job| done(job)) {
                self.disk.notes.retain(|(_, word)| *word != job.word);
            }
            self.jobs.retain(|job| !done(job));
        }
        if self.stopping && self.jobs.is_empty() && self.claims.is_empty() {
            let now = out.now();
            out.story.tell(now, || format!("worker {}   ends", self.at));
            (self.up, self.serves) = (false, false);
            self.calls.clear();
        }
    }

    fn free(&self) -> bool {
        let busy = self.jobs.iter().filter(|job| job.records()).count() + self.claims.len();
        self.serves && !self.stopping && busy < self.slots
    }

    pub(crate) fn lives(&self, life: u32) -> bool {
        self.up && self.life == life
    }

    /// It has nothing left to do, and nothing left to store.
    pub(crate) fn idle(&self) -> bool {
        self.up && self.jobs.is_empty() && self.claims.is_empty() && self.orphans.is_empty()
    }

    /// Whether it could take one more recording.
    pub(crate) fn could_record(&self) -> bool {
        self.up && self.free()
    }
}
