//! Makes one file of what recorders stored: merges their stretches, writes a sealed MP4 and the signed manifest, and
//! announces the recording as ready. Holds the secret that opens recordings; knows no meeting and no GStreamer.
//!
//! # Design
//! Two passes, and no plaintext on disk. The first reads every segment for the tables of its samples and forgets its
//! media; then the head of the file (`ftyp`, `moov`) is known to the byte. The second streams the media through the
//! sealer into a multipart upload. Each segment is fetched twice, which costs a few seconds for an hour on a local
//! network and keeps memory at a few segments; the other ways are a temporary file (plaintext, or sealed twice) or an
//! MP4 with its index at the end, which cannot be played while it is fetched.
//!
//! The final file is what was recorded, sample for sample: nothing is decoded. Stretches are placed by wall time, cut
//! where the next worker's segment begins with a key frame. A hole is bridged by letting the last picture stand and by
//! frames of silence, so that picture and sound stay together and positions in the file are times since it began.
//!
//! Whatever is wrong with an object, a recording is not failed for it: the manifest names the gap, and the recording is
//! PARTIAL. Which try is the one that counts is decided by conditional writes alone ([`storage::manifest::publish`]).
//!
//! A worker that was killed left no journal, and that is nothing unusual: the listing says what it stored, and the stamp
//! on its init sections when ([`storage::clock`]). From its last stored frame to the next worker's first there is one gap
//! with one name. The manifest accounts for each segment by its number ([`storage::manifest::Account`]), and the film's
//! chapters and the portal's page show what is missing.
//!
//! An epoch that began and left nothing at all is missed by the ledger ([`storage::ledger`]): where its time was is a gap
//! with its name, and where nothing else is left the recording has failed. Only an epoch of which its recorder has said
//! that it captured nothing is taken for empty.
//!
//! What is stored after the manifest was signed, from a spool that was emptied late, becomes the next generation, if it
//! adds to the one that stands and takes nothing away. Until its transcript is made anew, that one has none. A recording
//! that had failed or seemed empty becomes ready then.
//!
//! The steward is the last resort, and sees within the hour: recordings that nobody called for, that nobody holds, and
//! those of which the ledger alone remembers that they began ([`storage::ledger`]). It trusts no other machine's clock.

mod account;
mod arrange;
mod chapters;
mod finalize;
mod fragment;
mod gaps;
mod gather;
mod late;
mod movie;
mod silence;
mod steward;
mod track;
mod work;
mod write;

pub use finalize::{FinalizeError, Finalizer, Outcome};
pub use movie::LayoutError;
pub use steward::{Alarm, Seen, Steward};
pub use work::{Config, run};
