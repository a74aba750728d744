//! Where recordings lie: S3, the spool, sealing (age), journals, manifests. `Sealed` is the only way to put media.
//! Decides nothing about who records.

pub mod path;
