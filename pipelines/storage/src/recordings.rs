//! The catalogue as the bucket has it: every recording's `state.json`.

use claim::Record;
use events::{RecordingId, TenantId};

use crate::path::RecordingPath;
use crate::store::{Store, StoreError};

/// All recordings, or a tenant's.
pub async fn list(
    _store: &Store,
    _tenant: Option<&TenantId>,
) -> Result<Vec<(RecordingPath, Record, String)>, StoreError> {
    todo!()
}

pub async fn find(
    _store: &Store,
    _recording: RecordingId,
) -> Result<Option<(RecordingPath, Record, String)>, StoreError> {
    todo!()
}

/// The record and its etag.
pub async fn state(_store: &Store, _path: &RecordingPath) -> Result<(Record, String), StoreError> {
    todo!()
}

/// The new etag; `Conflict` when another was faster.
pub async fn swap(_store: &Store, _path: &RecordingPath, _record: &Record, _etag: &str) -> Result<String, StoreError> {
    todo!()
}

/// The etag; `Exists` when another was faster.
pub async fn create(_store: &Store, _path: &RecordingPath, _record: &Record) -> Result<String, StoreError> {
    todo!()
}
