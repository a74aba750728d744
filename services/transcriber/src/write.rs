//! One transcription: from the published film to the published text. May be repeated: a recording that has text in its
//! newest generation is left alone.

use std::sync::Arc;
use std::time::SystemTime;

use claim::{Phase, Record};
use media::WallTime;
use storage::manifest::{Manifest, Object, PublishError, Published, SignError, SigningKey, publish, published};
use storage::tries::{self, Kind};
use storage::{Bucket, Identity, OpenKey, Recipients, RecordingPath, SealedReader, Store, StoreError, recordings};
use tokio_util::sync::CancellationToken;
use transcript::{Cutter, Settings, Transcript};

use crate::config::Models;
use crate::error::TranscribeError;
use crate::sound::Sound;
use crate::text;

/// An hour of speech has a quarter of a megabyte.
const LONGEST_TEXT: u64 = 64 << 20;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub generation: u32,
    /// File name and SHA-256.
    pub model: String,
    /// Those that captions show.
    pub cues: u32,
}

/// All that transcribing needs.
#[derive(Debug)]
pub struct Transcriber {
    pub store: Store,
    pub identity: Identity,
    pub recipients: Recipients,
    pub signing: Arc<SigningKey>,
    pub models: Arc<Models>,
}

/// A recording as it stands.
struct Found {
    path: RecordingPath,
    record: Record,
    etag: String,
    newest: Published,
}

impl Transcriber {
    /// Transcribes one recording, unless it has been.
    ///
    /// # Errors
    /// See [`TranscribeError`]. Nothing that was published before is touched.
    pub async fn transcribe(
        &self,
        recording: events::RecordingId,
        stop: &CancellationToken,
    ) -> Result<Done, TranscribeError> {
        let found = self.look(recording).await?;
        if let Some(done) = self.done(&found).await? {
            return Ok(done);
        }
        let manifest = &found.newest.manifest;
        let film = self.film(&found.path, manifest).await?;
        let transcript = self.hear(film, &found.record, manifest.duration_ms, stop).await?;
        let failed = match self.publish(&found, &transcript).await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        // A transcriber that was faster has swept away what this one had written by then. One of ours, or a stranger: what
        // stands there now says which.
        let found = self.look(recording).await?;
        self.done(&found).await?.ok_or(failed)
    }

    async fn look(&self, recording: events::RecordingId) -> Result<Found, TranscribeError> {
        let found = recordings::find(&self.store, recording).await?;
        let (path, record, etag) = found.ok_or(TranscribeError::Unknown(recording))?;
        match (record.phase, record.generation) {
            (Phase::Ready | Phase::Partial, Some(generation)) => {
                let newest = self.newest(&path, generation).await?;
                Ok(Found { path, record, etag, newest })
            }
            (phase, _) => Err(TranscribeError::NotReady(phase)),
        }
    }

    /// What an earlier run published, if any did.
    async fn done(&self, found: &Found) -> Result<Option<Done>, TranscribeError> {
        match self.written(&found.path, &found.newest.manifest).await? {
            Some(transcript) => Ok(Some(self.settle(found, &found.newest.manifest, &transcript).await?)),
            None => Ok(None),
        }
    }

    async fn publish(&self, found: &Found, transcript: &Transcript) -> Result<Done, TranscribeError> {
        let text = text::put(&self.store, &found.path, &self.recipients, transcript).await?;
        let manifest = text::next(&found.newest, text, &self.recipients);
        publish(&self.store, &found.path, &manifest, &self.signing).await?;
        self.settle(found, &manifest, transcript).await
    }

    /// The newest published generation: the record may lag one behind, when a writer died before it told.
    ///
    /// A generation after it that a stranger signed is an error. Nothing can be published in its place, so that all
    /// listening would be in vain.
    async fn newest(&self, path: &RecordingPath, known: u32) -> Result<Published, TranscribeError> {
        use SignError::{BadSignature, NotASignature};
        let signers = self.signing.signers();
        let mut newest = None;
        for generation in known.. {
            match published(&self.store, path, generation, &signers).await {
                Ok(Some(found)) => newest = Some(found),
                Ok(None) if newest.is_some() => break,
                // A manifest that is not signed, or not yet, is nobody's word; publishing replaces what its writer left.
                Err(PublishError::Unproven { source: NotASignature | BadSignature, .. }) if newest.is_some() => break,
                Ok(None) => return Err(StoreError::Missing { key: path.manifest(generation) }.into()),
                Err(error) => return Err(error.into()),
            }
        }
        newest.ok_or(TranscribeError::NoFilm)
    }

    /// The text that the manifest lists.
    async fn written(&self, path: &RecordingPath, manifest: &Manifest) -> Result<Option<Transcript>, TranscribeError> {
        let json = |object: &&Object| object.key.contains("/text/") && object.key.ends_with(".json.age");
        let Some(object) = manifest.objects.iter().find(json) else { return Ok(None) };
        let open = OpenKey::listed(&self.store, path, manifest, object, &self.identity).await?;
        let (sealed, _) = self.store.get(Bucket::Media, &object.key, LONGEST_TEXT).await?;
        Ok(Transcript::parse(&open.open(&sealed, LONGEST_TEXT)?).ok())
    }

    async fn film(&self, path: &RecordingPath, manifest: &Manifest) -> Result<SealedReader, TranscribeError> {
        let is_film = |object: &&Object| object.key.contains("/final/") && object.key.ends_with("/composite.mp4.age");
        let film = manifest.objects.iter().find(is_film).ok_or(TranscribeError::NoFilm)?;
        let open = OpenKey::listed(&self.store, path, manifest, film, &self.identity).await?;
        Ok(SealedReader::open_sized(&self.store, &film.key, film.size, &open).await?)
    }

    /// Decodes and recognises on a thread of its own.
    async fn hear(
        &self,
        film: SealedReader,
        record: &Record,
        duration_ms: u64,
        stop: &CancellationToken,
    ) -> Result<Transcript, TranscribeError> {
        let (models, record, stop) = (Arc::clone(&self.models), record.clone(), stop.child_token());
        // The thread ends with its caller, even one that loses interest.
        let _ends = stop.clone().drop_guard();
        let listening = tokio::task::spawn_blocking(move || listen(&models, film, &record, duration_ms, &stop));
        listening.await.unwrap_or_else(|gone| {
            Err(if gone.is_panic() { TranscribeError::Panicked } else { TranscribeError::Stopped })
        })
    }

    /// The record follows what is published.
    async fn settle(
        &self,
        found: &Found,
        manifest: &Manifest,
        transcript: &Transcript,
    ) -> Result<Done, TranscribeError> {
        let generation = manifest.generation;
        if found.record.generation < Some(generation) {
            let changed = WallTime::from_system(SystemTime::now());
            let record = Record { generation: Some(generation), changed, ..found.record.clone() };
            recordings::swap(&self.store, &found.path, &record, &found.etag).await?;
        }
        tries::sweep(&self.store, &found.path, Kind::Text, manifest).await;
        let cues = transcript.cues.iter().filter(|cue| cue.is_shown()).count();
        Ok(Done { generation, model: transcript.model.clone(), cues: u32::try_from(cues).unwrap_or(u32::MAX) })
    }
}

/// From film to text. Blocks for as long as the model computes; `stop` is looked at between pieces of sound.
fn listen(
    models: &Models,
    film: SealedReader,
    record: &Record,
    duration_ms: u64,
    stop: &CancellationToken,
) -> Result<Transcript, TranscribeError> {
    let model = models.get(&record.language)?;
    let settings = Settings { threads: models.config().threads, ..Settings::default() };
    let mut ears = model.ears(&record.language, &settings)?;
    let mut cutter = Cutter::new(settings.longest);
    let mut sound = Sound::open(film)?;
    let (mut cues, mut told) = (Vec::new(), 0);
    while let Some(block) = sound.next_block()? {
        for piece in cutter.push(&block) {
            cues.extend(ears.hear(&piece)?);
            // Nanoseconds of milliseconds, in hundredths.
            let percent = piece.begins.0 / 10_000 / duration_ms.max(1);
            if percent >= told + 10 {
                told = percent - percent % 10;
                tracing::info!(recording = %record.recording, percent = told, "transcribing");
            }
        }
        if stop.is_cancelled() {
            return Err(TranscribeError::Stopped);
        }
    }
    for piece in cutter.finish() {
        cues.extend(ears.hear(&piece)?);
    }
    Ok(Transcript::new(&record.language, &model, cues))
}
