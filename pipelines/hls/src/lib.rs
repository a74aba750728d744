//! Playlists as values: push what a compositor made, ask for the text of a playlist or the bytes it names. Pure: no
//! clock, no I/O, no thread. Who may push, how answers travel and how long a webinar is kept is the origin's part.
//!
//! One [`Webinar`] is one live presentation of CMAF renditions, picture and sound apart, as rfc8216bis (protocol
//! draft 22) describes it. It goes on when another worker takes over: the media sequence number (MSN) and the
//! discontinuity sequence number count on over epochs, URIs are never used twice, and what never arrived is a GAP.
//!
//! # Design
//! - **One timeline for all renditions.** Segment n of an epoch has the same MSN, date and discontinuity number in
//!   every rendition, so a player can change rendition anywhere and reports between renditions need no search.
//! - **A late segment is worth more than a hole.** When a worker stalls, playlists stand still and players wait; a GAP
//!   is listed only when something later has arrived. Blocking reloads cannot stand still, so a playlist clock comes
//!   with low latency.
//! - **Room for low latency.** Parts are pushed and kept one by one; a segment is the parts it was made of. Listing
//!   them, hints and blocking reloads add to [`Webinar::playlist`]; nothing here would change.
//! - **Own writer for media playlists** (DESIGN D10): m3u8-rs keeps durations as `f32`, leaves out a discontinuity
//!   sequence of 0, and knows no GAP. It does write the multivariant playlist. Two foreign parsers read both in tests.

mod media_playlist;
mod multivariant;
mod stream;
mod webinar;
mod window;

pub use webinar::{PushError, Rules, State, Webinar};
