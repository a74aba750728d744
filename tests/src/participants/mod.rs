//! Who sits in the test rooms, and what each of them looks and sounds like.
//!
//! Every participant is one solid colour that turns white for the first tenth of each second of wall time, and beeps
//! in a pitch of its own in the same tenth. So a recording can be checked for who is in it, where, whether a second is
//! missing, and how far picture and sound lie apart, without knowing anything about who made it.
//!
//! # Design
//! Beeps lie between 9 and 14 kHz: Opus and AAC carry them at the rates in use, and speech recognition at 16 kHz
//! (Nyquist 8 kHz) never hears them, so one participant can speak and beep at once.

pub mod browser;
pub mod gst;
pub mod publisher;
pub mod signal;

pub use browser::Browser;
pub use publisher::Publisher;
pub use signal::Rgb;

/// One person of a test room.
#[derive(Debug, Clone)]
pub struct Person {
    /// As told to the room; holds a canary, see [`crate::canary`].
    pub name: String,
    pub colour: Rgb,
    /// Beeps are heard at this frequency, in Hz: a multiple of 100, for exact detection in 10 ms.
    pub pitch: u32,
}

/// The cast, in colours that no encoder and no scaling can confuse.
pub fn cast() -> [Person; 4] {
    let person = |name: &str, colour, pitch| Person { name: name.into(), colour, pitch };
    [
        person(crate::canary::NAMES[0], Rgb(190, 40, 40), 9_500),
        person(crate::canary::NAMES[1], Rgb(30, 130, 60), 11_000),
        person(crate::canary::NAMES[2], Rgb(40, 60, 190), 12_500),
        person(crate::canary::NAMES[3], Rgb(150, 90, 10), 13_700),
    ]
}
