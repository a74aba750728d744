//! Performs over the store what the rules of `claim` ask of a recording's record.

use claim::{Answer, Ask};
use storage::{RecordingPath, Store, StoreError, recordings};

/// One ask, one answer.
///
/// # Errors
/// When the store does not answer, or will not: the rules are then to be told [`Answer::Unknown`], after a pause if
/// another try may help. [`StoreError::BadRecord`] when what lies there is no record of this recording.
pub(crate) async fn ask(store: &Store, path: &RecordingPath, ask: &Ask) -> Result<Answer, StoreError> {
    let answer = match ask {
        Ask::Read => recordings::state(store, path).await.map(|(found, etag)| Answer::Found(Box::new(found), etag)),
        Ask::Create(first) => recordings::create(store, path, first).await.map(Answer::Written),
        Ask::Swap { next, etag } => recordings::swap(store, path, next, etag).await.map(Answer::Written),
    };
    match answer {
        Err(StoreError::Missing { .. }) => Ok(Answer::Missing),
        Err(StoreError::Exists { .. } | StoreError::Conflict { .. }) => Ok(Answer::Refused),
        other => other,
    }
}
