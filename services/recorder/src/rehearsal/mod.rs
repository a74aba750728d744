//! Whole recordings without a room: the store, the spool, sealing, the session and its loop are the real ones; the tests
//! play the media process, speaking its protocol over pipes.

mod claims;
mod crashes;
pub(crate) mod house;
mod ladder;
mod orphans;
mod recordings;
mod spooled;
mod takeovers;
mod webinars;
mod workers;
