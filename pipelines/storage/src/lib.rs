//! Where recordings lie: S3, the spool, sealing (age), journals, manifests. `Sealed` is the only way to put media.
//! Decides nothing about who records.

pub mod embedded;
pub mod journal;
pub mod keys;
pub mod manifest;
pub mod path;
pub mod recordings;
pub mod seal;
pub mod spool;
pub mod store;
pub mod verify;

pub use journal::{Description, Journal};
pub use manifest::Manifest;
pub use path::{RecordingPath, Writer};
pub use seal::{Identity, OpenKey, Recipients, SealKey, Sealed, SealedReader};
pub use spool::{Spool, Spooled};
pub use store::{Bucket, Condition, Receipt, Store, StoreError};
