//! Janus' error numbers, as what they mean for a recording. One table; retries nothing.

use crate::Loss;

/// The numbers of `janus_videoroom.c` (four hundred twenties and thirties) and `apierror.h` that a recorder can meet.
pub(crate) mod code {
    pub(crate) const NO_SUCH_ROOM: u32 = 426;
    pub(crate) const MISSING_ELEMENT: u32 = 429;
    pub(crate) const INVALID_ELEMENT: u32 = 430;
    pub(crate) const UNAUTHORIZED: u32 = 433;
    pub(crate) const WRONG_SECRET: u32 = 403;
    pub(crate) const NOT_IN_PLUGIN: u32 = 405;
    pub(crate) const NO_SUCH_PLUGIN: u32 = 460;
    pub(crate) const CLOSING: u32 = 472;
}

/// Why joining failed. `pin` says whether one was sent.
pub(crate) fn loss(error: u32, pin: bool) -> Loss {
    let refused = |why: &str| Loss::Refused(why.to_owned());
    let locked = |why: &str| Loss::Locked(why.to_owned());
    match error {
        code::NO_SUCH_ROOM => refused("there is no such room; check the room's id"),
        code::MISSING_ELEMENT if !pin => locked("it asks for a PIN; name it in pins_file"),
        // A room of the other kind: numbered rooms refuse text, named ones refuse numbers.
        code::INVALID_ELEMENT => refused("there is no such room; check the room's id"),
        code::UNAUTHORIZED if pin => locked("it does not accept the PIN; check the room's line in pins_file"),
        code::UNAUTHORIZED => locked("only invited participants may join; add the recorder to the room's tokens"),
        code::WRONG_SECRET | code::NOT_IN_PLUGIN => {
            refused("the server does not accept the API secret; check api_secret_file")
        }
        code::NO_SUCH_PLUGIN => refused("the server has no VideoRoom; enable janus.plugin.videoroom"),
        code::CLOSING => Loss::Unreachable("it accepts no new sessions now; it may be about to restart".to_owned()),
        other => Loss::Refused(format!("Janus error {other}; see the server's log")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn each_refusal_says_what_to_do() {
        let table = [
            (426, false, "the room's id"), (430, true, "the room's id"), (403, false, "api_secret_file"),
            (460, false, "videoroom"),     (429, true, "429"),           (499, false, "499"),
        ];
        for (number, pin, hint) in table {
            let loss = loss(number, pin);
            assert!(matches!(&loss, Loss::Refused(why) if why.contains(hint)), "{number}: {loss}");
        }
        for (number, pin, hint) in [(429, false, "asks for a PIN"), (433, true, "the PIN"), (433, false, "invited")] {
            let loss = loss(number, pin);
            assert!(matches!(&loss, Loss::Locked(why) if why.contains(hint)), "{number}: {loss}");
        }
        assert!(matches!(loss(472, false), Loss::Unreachable(_)));
    }
}
