//! From an ENDED record to a published generation, in the steps of `storage::manifest::publish` and
//! `finalizer::finalize`, any of which may fail, be repeated, or meet another finalizer's.
//!
//! # Design
//! A manifest without a signature may be replaced, for its writer may be dead; but a writer that is only slow may sign it
//! at any later time, also between another's look at the signature and its replacing the manifest. So the signature's
//! cell decides. Whoever is to replace a manifest reads first that cell, then the manifest, and then puts a fence into the
//! cell on condition that it has not changed: from then on nobody signs what stands there. Only then it replaces the
//! manifest that it read, and puts its signature in the place of its own fence. A step that is refused ends the try.
//! So does `storage::manifest::publish`; `Mistake::HastyPublisher` is the way without a fence.

use std::rc::Rc;

use claim::{Phase, Record};

use super::{Finalizer, Purpose};
use crate::event::Step;
use crate::final_film::{Manifest, film, there};
use crate::mistake::Mistake;
use crate::outside::Outside;
use crate::schedule::{Micros, SECOND};
use crate::store::{Answer, Condition, Key, Request, Value};

/// Between a manifest and its signature lies one put.
const SIGNING: Micros = 3 * SECOND;
const GENERATION: u32 = 1;

#[derive(Debug)]
pub(super) struct Work {
    number: u32,
    pub(super) recording: usize,
    stage: Stage,
    record: Option<(Rc<Record>, Rc<str>)>,
    manifest: Option<Rc<Manifest>>,
    /// The standing one, while its signature is looked for.
    standing: Option<(Rc<Manifest>, Rc<str>)>,
    /// On which the next signature or fence is put.
    condition: Condition,
    /// Whose signature was read last.
    signed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    State,
    Published,
    PublishedSignature,
    Gather,
    Create,
    Waited,
    Look,
    Standing,
    Fence,
    Replace,
    Sign,
    Mine,
    Settle,
    Nothing,
}

impl Finalizer {
    pub(super) fn begin(&mut self, recording: usize, out: &mut Outside) {
        self.numbers += 1;
        let number = self.numbers;
        let stage = Stage::State;
        let (record, manifest, standing, condition, signed) = (None, None, None, Condition::Absent, None);
        self.work.push(Work { number, recording, stage, record, manifest, standing, condition, signed });
        self.go(number, stage, Request::Get(Key::State(recording)), out);
    }

    /// Another's manifest stands there, and was given the time to be signed.
    pub(super) fn look_again(&mut self, number: u32, out: &mut Outside) {
        if let Some(work) = self.work.iter().find(|work| work.number == number) {
            let request = Request::Get(Key::Signature(work.recording, GENERATION));
            self.go(number, Stage::Look, request, out);
        }
    }

    fn go(&mut self, number: u32, stage: Stage, request: Request, out: &mut Outside) {
        if let Some(work) = self.work.iter_mut().find(|work| work.number == number) {
            work.stage = stage;
            self.ask(Purpose::Work(number), request, out);
        }
    }

    /// Nothing more is to be done here; `again`: it is to be tried from the beginning.
    fn drop(&mut self, number: u32, again: bool, out: &mut Outside) {
        let Some(found) = self.work.iter().position(|work| work.number == number) else { return };
        let work = self.work.swap_remove(found);
        if again {
            out.step(self.client(), 5 * SECOND, Step::Begin(work.recording));
        }
    }

    pub(super) fn on(&mut self, number: u32, answer: Answer, out: &mut Outside) {
        let Some(work) = self.work.iter_mut().find(|work| work.number == number) else { return };
        let recording = work.recording;
        let manifest_key = Key::Manifest(recording, GENERATION);
        let signature_key = Key::Signature(recording, GENERATION);
        if matches!(answer, Answer::Unknown) {
            return self.drop(number, true, out);
        }
        match (work.stage, answer) {
            (Stage::State, Answer::Found(Value::State(record), etag)) => {
                if record.phase != Phase::Ended {
                    // Not yet: whoever ends it tells us again, or the steward finds it. Or it is ready.
                    return self.drop(number, false, out);
                }
                work.record = Some((record, etag));
                self.go(number, Stage::Published, Request::Get(manifest_key), out);
            }
            (Stage::Published, Answer::Found(Value::Manifest(found), etag)) => {
                work.standing = Some((found, etag));
                self.go(number, Stage::PublishedSignature, Request::Get(signature_key), out);
            }
            (Stage::PublishedSignature, Answer::Found(Value::Signature(of), _))
                if work.standing.as_ref().is_some_and(|(found, _)| found.id == of) =>
            {
                work.manifest = work.standing.take().map(|(found, _)| found);
                self.settle(number, out);
            }
            (Stage::Published | Stage::PublishedSignature, _) => {
                self.go(number, Stage::Gather, Request::Gather(recording), out);
            }
            (Stage::Gather, Answer::Gathered(found)) => {
                let Some((record, etag)) = work.record.clone() else { return };
                let trustful = out.makes(Mistake::TrustfulFinalizer);
                out.check.gathered(recording, &there(&found));
                let manifest = film(out.check.author(), &record, &found, trustful);
                if manifest.pieces.is_empty() {
                    let lost = !manifest.complete();
                    let (phase, why) = if lost { (Phase::Failed, "unreadable") } else { (Phase::Empty, "empty") };
                    let Ok(next) = record.becomes(phase, Some(why), out.schedule.wall(0)) else { return };
                    let request =
                        Request::Put(Key::State(recording), Value::State(next.into()), Condition::Match(etag));
                    return self.go(number, Stage::Nothing, request, out);
                }
                let value = Value::Manifest(manifest.into());
                if let Value::Manifest(manifest) = &value {
                    work.manifest = Some(manifest.clone());
                }
                let careless = out.makes(Mistake::CarelessPublisher);
                let condition = if careless { Condition::None } else { Condition::Absent };
                self.go(number, Stage::Create, Request::Put(manifest_key, value, condition), out);
            }
            (Stage::Create | Stage::Replace, Answer::Written(_)) => {
                let Some(manifest) = &work.manifest else { return };
                let request = Request::Put(signature_key, Value::Signature(manifest.id), work.condition.clone());
                self.go(number, Stage::Sign, request, out);
            }
            (Stage::Create, Answer::Refused) => {
                work.stage = Stage::Waited;
                out.step(self.client(), SIGNING, Step::On(number));
            }
            (Stage::Look, answer) => {
                (work.signed, work.condition) = match answer {
                    Answer::Found(Value::Signature(of), etag) => (Some(of), Condition::Match(etag)),
                    Answer::Found(_, etag) => (None, Condition::Match(etag)),
                    _ => (None, Condition::Absent),
                };
                self.go(number, Stage::Standing, Request::Get(manifest_key), out);
            }
            (Stage::Standing, Answer::Found(Value::Manifest(found), etag)) => {
                let Some(manifest) = work.manifest.clone() else { return };
                if work.signed == Some(found.id) {
                    return self.drop(number, true, out);
                }
                work.standing = Some((found, etag));
                if out.makes(Mistake::HastyPublisher) {
                    return self.replace(number, out);
                }
                let request = Request::Put(signature_key, Value::Fence(manifest.id), work.condition.clone());
                self.go(number, Stage::Fence, request, out);
            }
            (Stage::Fence, Answer::Written(etag)) => {
                work.condition = Condition::Match(etag);
                self.replace(number, out);
            }
            (Stage::Sign, Answer::Written(_)) => self.go(number, Stage::Mine, Request::Get(manifest_key), out),
            (Stage::Mine, Answer::Found(Value::Manifest(found), _))
                if work.manifest.as_ref().is_some_and(|mine| mine.id == found.id) =>
            {
                self.settle(number, out);
            }
            (Stage::Settle | Stage::Nothing, Answer::Written(_)) => self.drop(number, false, out),
            // Somebody was faster, or the record has moved: seen from the beginning.
            _ => self.drop(number, true, out),
        }
    }

    /// Puts our manifest in the place of one that was not signed.
    fn replace(&mut self, number: u32, out: &mut Outside) {
        let Some(work) = self.work.iter_mut().find(|work| work.number == number) else { return };
        let (Some((_, etag)), Some(manifest)) = (work.standing.take(), work.manifest.clone()) else { return };
        let key = Key::Manifest(work.recording, GENERATION);
        let request = Request::Put(key, Value::Manifest(manifest), Condition::Match(etag));
        self.go(number, Stage::Replace, request, out);
    }

    /// The record follows what is published.
    fn settle(&mut self, number: u32, out: &mut Outside) {
        let Some(work) = self.work.iter_mut().find(|work| work.number == number) else { return };
        let (Some(manifest), Some((record, etag))) = (work.manifest.clone(), work.record.clone()) else { return };
        let phase = if manifest.complete() { Phase::Ready } else { Phase::Partial };
        let reason = (!manifest.complete()).then_some("gap");
        let Ok(mut next) = record.becomes(phase, reason, out.schedule.wall(0)) else { return };
        next.generation = Some(GENERATION);
        let recording = work.recording;
        let request = Request::Put(Key::State(recording), Value::State(next.into()), Condition::Match(etag));
        self.go(number, Stage::Settle, request, out);
    }
}
