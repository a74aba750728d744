//! Workers that claim and hold over a store, moved by steps that a property test chooses.

use std::collections::BTreeMap;

use claim::{Answer, Ask, Change, Claimed, Claimer, Heard, Holder, Phase, Record};
use events::{Basis, LayoutName, Meta, Platform, PolicyId, RecordingRequested, RoomId, SessionId, TenantId};
use media::WallTime;
use proptest::prelude::*;

use crate::store::{Store, Vice};

pub(crate) const WORKERS: usize = 4;

/// No conversation with a store that answers takes more questions.
const PATIENCE: usize = 12;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A worker that waits for nothing wants something.
    Want(usize, Wish),
    /// A call gets to the store; the numbers choose among what there is.
    Land(usize),
    Lose(usize),
    Deliver(usize),
    /// A worker waits no longer. Its call may still land.
    GiveUp(usize),
    /// A worker dies, and comes again without a memory.
    Die(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// The request comes, or comes again.
    Request,
    /// A steward takes what it sees, silent or not: the rules must do with any that errs.
    TakeOver,
    Change(Change),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        3 => Just(Wish::Request),
        3 => Just(Wish::TakeOver),
        4 => any::<bool>().prop_map(|stored| Wish::Change(Change::Beat { stored })),
        2 => Just(Wish::Change(Change::Become(Phase::Recording, None))),
        2 => Just(Wish::Change(Change::Offer)),
        1 => Just(Wish::Change(Change::Become(Phase::Ended, Some("stopped")))),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..WORKERS, wish()).prop_map(|(who, wish)| Step::Want(who, wish)),
        8 => (0..9_usize).prop_map(Step::Land),
        1 => (0..9_usize).prop_map(Step::Lose),
        8 => (0..9_usize).prop_map(Step::Deliver),
        2 => (0..WORKERS).prop_map(Step::GiveUp),
        1 => (0..WORKERS).prop_map(Step::Die),
    ];
    prop::collection::vec(step, 0..120)
}

#[derive(Debug, Default)]
enum Rules {
    #[default]
    Nothing,
    Claiming(Claimer),
    Holding(Box<Holder>),
}

#[derive(Debug, Default)]
struct Worker {
    rules: Rules,
    /// Of its last claim.
    word: String,
    /// The call it waits for.
    waits: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Store,
    workers: Vec<Worker>,
    tickets: u64,
    /// Who believed to hold an epoch, by word.
    owners: BTreeMap<u32, String>,
    moment: i64,
}

/// What came of a run, to see that the runs are worth something.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) writes: usize,
    pub(crate) epochs: u32,
}

/// Runs the steps, then lets everything that is under way come to its end.
pub(crate) fn run(vice: Vice, steps: &[Step]) -> Result<Seen, String> {
    let workers = (0..WORKERS).map(|_| Worker::default()).collect();
    let mut world = World { store: Store::new(vice), workers, tickets: 0, owners: BTreeMap::new(), moment: 0 };
    for step in steps {
        world.moment += 1;
        world.step(step)?;
    }
    world.settle()?;
    let epochs = world.store.now().map_or(0, |(record, _)| record.epoch);
    Ok(Seen { writes: world.store.history.len(), epochs })
}

fn nth(n: usize, of: usize) -> Option<usize> {
    n.checked_rem(of)
}

impl World {
    /// Clocks of workers differ, and nothing may come of it.
    fn clock(&self, who: usize) -> WallTime {
        let wrong = [0, 3_600_000_000, -30_000_000, 1][who];
        WallTime(1_795_767_300_000_000 + self.moment * 500_000 + wrong)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Want(who, wish) => self.want(*who, wish)?,
            Step::Land(n) => {
                if let Some(n) = nth(*n, self.store.asked.len()) {
                    self.store.land(n)?;
                }
            }
            Step::Lose(n) => {
                if let Some(n) = nth(*n, self.store.asked.len()) {
                    self.store.asked.remove(n);
                }
            }
            Step::Deliver(n) => {
                if let Some(n) = nth(*n, self.store.answered.len()) {
                    self.deliver(n)?;
                }
            }
            Step::GiveUp(who) => {
                if self.workers[*who].waits.is_some() {
                    self.hear(*who, Answer::Unknown)?;
                }
            }
            Step::Die(who) => self.workers[*who] = Worker::default(),
        }
        Ok(())
    }

    fn want(&mut self, who: usize, wish: &Wish) -> Result<(), String> {
        if self.workers[who].waits.is_some() {
            return Ok(());
        }
        let (now, word) = (self.clock(who), format!("worker {who}, {}", self.moment));
        let seen = self.store.now().map(|(record, etag)| (record.clone(), etag));
        match (wish, &mut self.workers[who].rules, seen) {
            (Wish::Request, Rules::Nothing, _) => {
                self.workers[who].word.clone_from(&word);
                let (claimer, ask) = Claimer::request(first(word, now));
                self.workers[who].rules = Rules::Claiming(claimer);
                self.ask(who, ask);
            }
            // Also of its own: a worker whose media process died goes on so.
            (Wish::TakeOver, Rules::Nothing | Rules::Holding(_), Some((record, etag))) => {
                if let Ok((claimer, ask)) = Claimer::take_over(&record, etag, word.clone(), now) {
                    self.workers[who].word = word;
                    self.workers[who].rules = Rules::Claiming(claimer);
                    self.ask(who, ask);
                }
            }
            (Wish::Change(change), Rules::Holding(holder), _) => {
                let heard = holder.begin(change.clone(), now);
                self.heard(who, heard)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn ask(&mut self, who: usize, ask: Ask) {
        self.tickets += 1;
        self.workers[who].waits = Some(self.tickets);
        self.store.asked.push((who, self.tickets, ask));
    }

    fn deliver(&mut self, n: usize) -> Result<(), String> {
        let (who, ticket, answer) = self.store.answered.remove(n);
        // An answer that was given up, or meant for an earlier life, is not heard.
        if self.workers[who].waits == Some(ticket) { self.hear(who, answer) } else { Ok(()) }
    }

    fn hear(&mut self, who: usize, answer: Answer) -> Result<(), String> {
        let now = self.clock(who);
        self.workers[who].waits = None;
        match &mut self.workers[who].rules {
            Rules::Nothing => Ok(()),
            Rules::Claiming(claimer) => match claimer.hear(answer, now) {
                Claimed::Ask(ask) => {
                    self.ask(who, ask);
                    Ok(())
                }
                Claimed::Not(_) => {
                    self.workers[who].rules = Rules::Nothing;
                    let word = &self.workers[who].word;
                    match self.store.now() {
                        Some((record, _)) if record.owner == *word => Err(format!("{word} gives up what is its own")),
                        _ => Ok(()),
                    }
                }
                Claimed::Ours(record, etag) => self.ours(who, *record, etag),
            },
            Rules::Holding(holder) => {
                let heard = holder.hear(answer, now);
                self.heard(who, heard)
            }
        }
    }

    fn ours(&mut self, who: usize, record: Record, etag: String) -> Result<(), String> {
        self.stood(&record)?;
        let owner = self.owners.entry(record.epoch).or_insert_with(|| record.owner.clone());
        if *owner != record.owner {
            return Err(format!("epoch {} is held by {owner} and by {}", record.epoch, record.owner));
        }
        self.workers[who].rules = Rules::Holding(Box::new(Holder::new(record, etag)));
        Ok(())
    }

    fn heard(&mut self, who: usize, heard: Heard) -> Result<(), String> {
        let Rules::Holding(holder) = &self.workers[who].rules else { return Ok(()) };
        let mine = holder.record().clone();
        match heard {
            Heard::Ask(ask) => self.ask(who, ask),
            Heard::Done => return self.stood(&mine),
            Heard::Not(_) => {}
            Heard::Superseded(by) => {
                self.workers[who].rules = Rules::Nothing;
                self.stood(&by)?;
                if by.epoch <= mine.epoch {
                    return Err(format!("epoch {} is said to be superseded by epoch {}", mine.epoch, by.epoch));
                }
            }
            Heard::Gone => return Err("nobody has removed the record".into()),
        }
        Ok(())
    }

    /// What a worker believes to stand there has stood there.
    fn stood(&self, record: &Record) -> Result<(), String> {
        if self.store.history.contains(record) { Ok(()) } else { Err(format!("never stood there: {record:?}")) }
    }

    /// Nothing is lost any more: every conversation ends, and soon.
    fn settle(&mut self) -> Result<(), String> {
        for who in 0..WORKERS {
            if self.workers[who].waits.is_some() {
                self.hear(who, Answer::Unknown)?;
            }
        }
        for _ in 0..PATIENCE * WORKERS {
            self.moment += 1;
            if !self.store.asked.is_empty() {
                self.store.land(0)?;
            }
            if !self.store.answered.is_empty() {
                self.deliver(0)?;
            }
        }
        match self.workers.iter().position(|worker| worker.waits.is_some()) {
            Some(who) => Err(format!("worker {who} still asks: {:?}", self.workers[who])),
            None => Ok(()),
        }
    }
}

pub(crate) fn first(owner: String, now: WallTime) -> Record {
    let meta = Meta {
        id: "e1".into(),
        platform: Platform::Janus,
        instance: "main".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new("run-1").unwrap(),
        time: "2026-11-27T08:15:00Z".into(),
    };
    let asked = RecordingRequested {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "nb".into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 7200,
    };
    Record::first(&meta, &asked, owner, now)
}
