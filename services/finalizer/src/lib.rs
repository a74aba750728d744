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

mod finalize;
mod fragment;
mod gaps;
mod gather;
mod movie;
mod silence;
mod track;
mod work;
mod write;

pub use finalize::{FinalizeError, Finalizer, Outcome};
pub use movie::LayoutError;
pub use work::{Config, run};
