//! Playlists as values: push what a compositor made, ask for the text of a playlist or the bytes it names. Pure: no
//! clock, no I/O, no thread. Who may push, how answers travel and how long a webinar is kept is the origin's part.
//!
//! One [`Webinar`] is one live presentation of CMAF renditions, picture and sound apart, as rfc8216bis (protocol
//! draft 22) describes it. It goes on when another worker takes over: the media sequence number (MSN) and the
//! discontinuity sequence number count on over epochs, URIs are never used twice, and what never arrived is a GAP.
//! With both workers at work for some seconds nothing is missing, and less than a part is seen twice.
//!
//! # Design
//! - **One timeline for all renditions.** Segment n of an epoch has the same MSN, date and discontinuity number in
//!   every rendition, so a player can change rendition anywhere and reports between renditions need no search.
//! - **A higher epoch is staged** until what it has pushed can take over: the lower one is fenced only then. The seam is
//!   at a part, so dates of the two overlap by less than a second (rfc8216bis 6.2.1), and it is the same in all
//!   renditions. Nobody waits for a lower epoch longer than for two segments of the higher one.
//! - **An end is one epoch's own.** The webinar ends when all that could go on with it have said so; or when a higher one
//!   has, and the live one is silent.
//! - **A late segment is worth more than a hole**, up to two segments and a second: then the playlist clock
//!   ([`Webinar::silent`]) lists GAPs as time goes by. It is not a clock: the caller says for how long nothing was heard,
//!   so that the clocks of recorders and of the origin need not agree.
//! - **GAPs, not only a discontinuity**: with them the list grows as wall time does, so that players neither stop asking
//!   nor fall behind by the length of the hole, and PROGRAM-DATE-TIME is true on every line.
//! - **Room for low latency.** Parts are pushed and kept one by one; a segment is the parts it was made of. Listing
//!   them, hints and blocking reloads add to [`Webinar::playlist`]; nothing here would change.
//! - **Own writer for media playlists** (DESIGN D10): m3u8-rs keeps durations as `f32`, leaves out a discontinuity
//!   sequence of 0, and knows no GAP. It does write the multivariant playlist. Two foreign parsers read both in tests.

mod media_playlist;
mod multivariant;
mod staged;
mod stream;
mod timeline;
mod webinar;
mod window;

pub use webinar::{PushError, Rules, State, Webinar};
