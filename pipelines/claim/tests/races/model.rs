//! The reference: which record may follow which, as DESIGN D2 says it. Written from the promise, not from the code.

use claim::{Phase, Record, TRIES};

fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Claimed => 0,
        Phase::Recording => 1,
        Phase::Ended | Phase::Ready | Phase::Partial | Phase::Failed | Phase::Empty => 2,
    }
}

/// Whether `next` may be written in the place of `before`.
pub(crate) fn follows(before: Option<&Record>, next: &Record) -> Result<(), String> {
    let Some(before) = before else {
        let first =
            (next.epoch, next.phase, next.beat, next.idle) == (1, Phase::Claimed, 0, 1) && !next.owner.is_empty();
        return if first { Ok(()) } else { Err(format!("begins as {next:?}")) };
    };
    let mut wrong = Vec::new();
    if rank(before.phase) == 2 {
        wrong.push("follows the end");
    }
    if (next.recording, next.created, &next.room) != (before.recording, before.created, &before.room) {
        wrong.push("is another recording's");
    }
    match next.epoch.checked_sub(before.epoch) {
        Some(0) => {
            if next.owner != before.owner && !next.owner.is_empty() {
                wrong.push("changes the owner of an epoch");
            }
            if rank(next.phase) < rank(before.phase) {
                wrong.push("goes back a phase");
            }
            if next.beat < before.beat || next.beat > before.beat + 1 {
                wrong.push("counts signs of life in another way than one by one");
            }
            if next.idle != before.idle && next.idle != 0 {
                wrong.push("forgets how many stored nothing");
            }
        }
        Some(1) => {
            if next.phase != Phase::Claimed || next.owner.is_empty() || next.owner == before.owner {
                wrong.push("is no claim by another word");
            }
            if next.idle != before.idle + 1 || next.idle > TRIES {
                wrong.push("is one try too many");
            }
        }
        _ => wrong.push("goes to another epoch than the next"),
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}: {before:?}, then {next:?}", wrong.join(", "))) }
}
