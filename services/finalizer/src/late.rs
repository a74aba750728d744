//! What was stored after the manifest was signed, or after there was nothing to sign: a spool that was emptied late, by a
//! worker that came back. Publishes the next generation, which has it, or the first.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use claim::{Phase, Record};
use storage::manifest::{Manifest, PublishError, Published, SignError, published};
use storage::{Bucket, RecordingPath, StoreError, Writer, recordings};

use crate::arrange::texts;
use crate::finalize::{FinalizeError, Finalizer, Outcome};
use crate::gather::{Gathered, gather};

impl Finalizer {
    /// Publishes the next generation of a recording that is ready, if more of it can be used by now; the first, if it was
    /// empty or failed and now there is something to make a film of. None when not.
    ///
    /// # Errors
    /// See [`FinalizeError`]. What stands is left as it is.
    pub async fn renew(&self, path: &RecordingPath) -> Result<Option<Outcome>, FinalizeError> {
        let (record, etag) = recordings::state(&self.store, path).await?;
        let generation = match (record.phase, record.generation) {
            (Phase::Ready | Phase::Partial, Some(generation)) => generation,
            (Phase::Failed | Phase::Empty, _) => return self.revive(path, &record, &etag).await,
            _ => return Ok(None),
        };
        let live = self.live(path).await?;
        let standing = self.newest(path, generation).await?;
        let named: HashSet<&str> = standing.manifest.objects.iter().map(|object| object.key.as_str()).collect();
        if live.iter().all(|key| named.contains(key.as_str())) {
            return Ok(None);
        }
        let gathered = gather(&self.store, path, &record, &self.identity).await?;
        if !adds(path, &gathered, &standing.manifest) {
            return Ok(None);
        }
        tracing::info!(recording = %path.recording, "more was stored since it was made ready; making it anew");
        let Some(manifest) = self.make(path, &record, &gathered, Some(&standing)).await? else { return Ok(None) };
        let outcome = self.settle(path, &record, &etag, &manifest).await?;
        self.forget(&standing.manifest, &manifest).await;
        Ok(Some(outcome))
    }

    async fn revive(
        &self,
        path: &RecordingPath,
        record: &Record,
        etag: &str,
    ) -> Result<Option<Outcome>, FinalizeError> {
        if self.live(path).await?.is_empty() {
            return Ok(None);
        }
        let outcome = self.first(path, record, etag).await?.ok();
        if outcome.is_some() {
            tracing::info!(recording = %path.recording, "something of it was stored since it was given up; it is a film now");
        }
        Ok(outcome)
    }

    /// Removes the text of a film that another has taken the place of. What cannot be removed now, the transcriber
    /// removes when it has heard the new one.
    async fn forget(&self, before: &Manifest, after: &Manifest) {
        for text in texts(before).iter().filter(|text| !after.objects.contains(text)) {
            if let Err(error) = self.store.delete(text.bucket, &text.key).await {
                tracing::warn!(key = text.key, %error, "could not remove the text of an earlier film");
            }
        }
    }

    /// A number for what recorders have stored of it: the same as long as that is the same.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn print(&self, path: &RecordingPath, record: &Record) -> Result<u64, StoreError> {
        let mut print = DefaultHasher::new();
        (record.generation, self.live(path).await?).hash(&mut print);
        Ok(print.finish())
    }

    async fn live(&self, path: &RecordingPath) -> Result<Vec<String>, StoreError> {
        let listed = self.store.list(Bucket::Media, &format!("{}live/", path.prefix())).await?;
        Ok(listed.into_iter().map(|entry| entry.key).collect())
    }

    /// The newest published generation: a record lags one behind when a writer died before it told.
    pub(crate) async fn newest(&self, path: &RecordingPath, known: u32) -> Result<Published, FinalizeError> {
        use SignError::{BadSignature, NotASignature};
        let signers = self.signing.signers();
        let missing = || StoreError::Missing { key: path.manifest(known) };
        let mut newest = published(&self.store, path, known, &signers).await?.ok_or_else(missing)?;
        for generation in known.saturating_add(1).. {
            match published(&self.store, path, generation, &signers).await {
                Ok(Some(found)) => newest = found,
                // What is not signed is nobody's word.
                Ok(None) | Err(PublishError::Unproven { source: NotASignature | BadSignature, .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(newest)
    }
}

/// Whether what is gathered now holds more than `standing`, and nothing less: what has been lost since is no reason to
/// make a film without it.
fn adds(path: &RecordingPath, gathered: &Gathered, standing: &Manifest) -> bool {
    let now: HashSet<(Bucket, &str)> =
        gathered.objects.iter().map(|object| (object.bucket, object.key.as_str())).collect();
    let recorded = |writer: &str| matches!(writer.parse(), Ok(Writer::Epoch(_)));
    let before: HashSet<(Bucket, &str)> = standing
        .objects
        .iter()
        .filter(|object| recorded(&object.writer))
        .map(|object| (object.bucket, object.key.as_str()))
        .collect();
    if let Some((_, key)) = before.difference(&now).next() {
        tracing::warn!(recording = %path.recording, key, "more was stored since, but this is gone or altered; left as it is");
        return false;
    }
    now.len() > before.len()
}
