//! Where recordings lie: S3, the spool, sealing (age), journals, manifests. [`Sealed`] is the only way to put media.
//! Decides nothing about who records, and when to try again.
//!
//! The way of a segment: [`SealKey::seal`] makes it ciphertext, [`Spool::add`] makes that durable, [`Spool::upload`]
//! puts it, reads it back and gives a [`Receipt`], and the [`Journal`] keeps what the receipt says. The finalizer
//! writes the long file through [`SealKey::writer`] into [`store::Upload::into_writer`] on a blocking thread, then the
//! [`Manifest`] and its signature. [`manifest::verify`] reads all of it back without a secret; [`SealedReader`] plays
//! it with one.
//!
//! # Design
//! S3 is the only durable state (DESIGN D6), so its promises are proven before they are relied on: [`Store::check`]
//! races writers against each other, every receipt stands for bytes that were read back, and integrity is our own
//! SHA-256, never an ETag. What is under a key ending in `.age` is an age file, or it is not put.
//!
//! What a store, a disk or a stranger may come with, and the test that shows what happens then, stand row by row in
//! `tests/tests/bad_input_rows.rs` of the end-to-end package, rows 39 to 51.
//!
//! A closed client over one protocol, and no trait: AWS, Ceph, MinIO, versitygw and the [`embedded`] store are told
//! apart by configuration alone, and tests run the same suite over two of them.

pub mod clock;
pub mod embedded;
pub mod journal;
pub mod keys;
pub mod ledger;
pub mod manifest;
pub mod path;
pub mod recordings;
pub mod seal;
pub mod spool;
pub mod store;
pub mod tries;
pub mod verify;

pub use journal::{Description, Journal};
pub use manifest::Manifest;
pub use path::{RecordingPath, Writer};
pub use seal::{Identity, OpenKey, Recipients, SealKey, Sealed, SealedReader};
pub use spool::{Spool, Spooled};
pub use store::{Bucket, Condition, Receipt, Store, StoreError};
