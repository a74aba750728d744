//! Every error that can meet a recording, as whose fault it is: the one page of retry policy (DESIGN D17).
//!
//! [`Fault::Passing`] is tried again by the session, with a pause that grows; [`Fault::Room`] ends this recording and
//! harms no other; [`Fault::Worker`] sends the recording to another worker.

use meeting::Loss;
use session::{Fault, Reason};
use storage::StoreError;

/// Out of the room.
pub(crate) fn lost(loss: &Loss) -> (Fault, Reason) {
    match loss {
        Loss::Unreachable(_) => (Fault::Passing, Reason::Unreachable),
        Loss::Refused(_) => (Fault::Room, Reason::Refused),
        Loss::Locked(_) => (Fault::Room, Reason::Locked),
        Loss::Encrypted => (Fault::Room, Reason::Encrypted),
        Loss::Broken(_) => (Fault::Worker, Reason::WorkerBroken),
    }
}

/// The pipeline said that it cannot go on. `worker`: nor could it in another room.
pub(crate) fn broke(worker: bool) -> (Fault, Reason) {
    if worker { (Fault::Worker, Reason::WorkerBroken) } else { (Fault::Passing, Reason::PipelineBroke) }
}

/// The media process ended unasked. What it decoded came from strangers, so this is not the worker's illness.
pub(crate) const DIED: (Fault, Reason) = (Fault::Passing, Reason::MediaDied);

/// The media process could not be started, which no room can change.
pub(crate) const NOT_STARTED: (Fault, Reason) = (Fault::Worker, Reason::WorkerBroken);

/// A failed put is tried again in any case, for nothing may be lost; this says whether that can help before a person
/// has done something.
pub(crate) fn needs_a_person(error: &StoreError) -> bool {
    !error.is_passing() && !matches!(error, StoreError::Corrupt { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_lose_a_room_has_its_own_word() {
        let why = || "as it says".to_owned();
        for (loss, fault, word) in [
            (Loss::Unreachable(why()), Fault::Passing, "unreachable"),
            (Loss::Refused(why()), Fault::Room, "refused"),
            (Loss::Locked(why()), Fault::Room, "locked"),
            (Loss::Encrypted, Fault::Room, "encrypted"),
            (Loss::Broken(why()), Fault::Worker, "worker-broken"),
        ] {
            let (whose, reason) = lost(&loss);
            assert_eq!((whose, reason.word()), (fault, word), "{loss}");
        }
    }
}
