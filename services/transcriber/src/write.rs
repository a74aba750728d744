//! One transcription: from the published film to the published text. May be repeated: a recording that has text in its
//! newest generation is left alone.

use std::sync::Arc;
use std::time::SystemTime;

use claim::{Phase, Record};
use media::WallTime;
use storage::manifest::{Manifest, Object, PublishError, Published, SigningKey, publish, published};
use storage::seal::SealError;
use storage::{
    Bucket, Identity, OpenKey, Recipients, RecordingPath, SealKey, SealedReader, Store, StoreError, Writer, recordings,
};
use tokio_util::sync::CancellationToken;
use transcript::{Cutter, HearError, Model, Settings, Transcript};

use crate::config::{Config, NoModel};
use crate::sound::{Sound, SoundError};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub generation: u32,
    /// File name and SHA-256.
    pub model: String,
    pub cues: u32,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscribeError {
    #[error("there is no recording {0}")]
    Unknown(events::RecordingId),
    #[error("the recording is {0:?}, not ready")]
    NotReady(Phase),
    #[error("the recording's manifest lists no film")]
    NoFilm,
    #[error(transparent)]
    NoModel(#[from] NoModel),
    #[error("could not reach the recording")]
    Store(#[from] StoreError),
    #[error("could not open or seal the recording")]
    Seal(#[from] SealError),
    #[error("could not publish the transcript")]
    Publish(#[from] PublishError),
    #[error("could not read the film's sound")]
    Sound(#[from] SoundError),
    #[error("speech recognition failed")]
    Hear(#[from] HearError),
    #[error("stopped before the end; it begins again with the next start")]
    Stopped,
}

impl TranscribeError {
    /// Whether the same call may go well later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(why) => why.is_passing() || matches!(why, StoreError::Conflict { .. }),
            Self::Seal(why) => why.is_passing(),
            Self::Publish(why) => why.is_passing() || matches!(why, PublishError::Taken { .. }),
            Self::Stopped => true,
            Self::Unknown(_) | Self::NotReady(_) | Self::NoFilm | Self::NoModel(_) | Self::Sound(_) | Self::Hear(_) => {
                false
            }
        }
    }

    /// A short word for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown-recording",
            Self::NotReady(_) => "not-ready",
            Self::NoFilm => "no-film",
            Self::NoModel(why) => why.reason(),
            Self::Store(_) => "store",
            Self::Seal(_) => "seal",
            Self::Publish(_) => "publish",
            Self::Sound(_) => "sound",
            Self::Hear(_) => "recogniser",
            Self::Stopped => "stopped",
        }
    }
}

/// All that transcribing needs.
#[derive(Debug)]
pub struct Transcriber {
    pub store: Store,
    pub identity: Identity,
    pub recipients: Recipients,
    pub signing: Arc<SigningKey>,
    pub config: Config,
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
        let found = recordings::find(&self.store, recording).await?;
        let (path, record, etag) = found.ok_or(TranscribeError::Unknown(recording))?;
        let newest = match (record.phase, record.generation) {
            (Phase::Ready | Phase::Partial, Some(generation)) => self.newest(&path, generation).await?,
            (phase, _) => return Err(TranscribeError::NotReady(phase)),
        };
        if let Some(done) = self.done(&path, &newest).await? {
            self.settle(&path, record, &etag, done.generation).await?;
            return Ok(done);
        }

        let film = newest.manifest.objects.iter().find(|object| is_film(object)).ok_or(TranscribeError::NoFilm)?;
        let writer = film.writer.parse().map_err(|_| TranscribeError::NoFilm)?;
        let open = OpenKey::fetch(&self.store, &path, &writer, &self.identity).await?;
        let film = SealedReader::open_sized(&self.store, &film.key, film.size, &open).await?;
        let transcript = self.hear(film, &record, newest.manifest.duration_ms, stop).await?;

        let generation = newest.manifest.generation + 1;
        let text = self.put(&path, &transcript).await?;
        let manifest = next(newest, generation, text, &self.recipients);
        publish(&self.store, &path, &manifest, &self.signing).await?;
        self.settle(&path, record, &etag, generation).await?;
        let cues = transcript.cues.iter().filter(|cue| cue.is_shown()).count();
        Ok(Done { generation, model: transcript.model, cues: u32::try_from(cues).unwrap_or(u32::MAX) })
    }

    /// The newest published generation: the record may lag one behind, when a writer died before it told.
    async fn newest(&self, path: &RecordingPath, known: u32) -> Result<Published, TranscribeError> {
        let signers = self.signing.signers();
        let mut newest = None;
        for generation in known.. {
            match published(&self.store, path, generation, &signers).await {
                Ok(Some(found)) => newest = Some(found),
                // A manifest that is not signed (yet) is nobody's word.
                Ok(None) | Err(PublishError::Unproven { .. }) if newest.is_some() => break,
                Ok(None) => return Err(StoreError::Missing { key: path.manifest(generation) }.into()),
                Err(error) => return Err(error.into()),
            }
        }
        newest.ok_or(TranscribeError::NoFilm)
    }

    /// What an earlier run published.
    async fn done(&self, path: &RecordingPath, newest: &Published) -> Result<Option<Done>, TranscribeError> {
        let json = |object: &&Object| object.key.contains("/text/") && object.key.ends_with(".json.age");
        let Some(object) = newest.manifest.objects.iter().find(json) else { return Ok(None) };
        let Ok(writer) = object.writer.parse() else { return Ok(None) };
        let open = OpenKey::fetch(&self.store, path, &writer, &self.identity).await?;
        let (sealed, _) = self.store.get(Bucket::Media, &object.key, LONGEST_TEXT).await?;
        let Ok(transcript) = Transcript::parse(&open.open(&sealed, LONGEST_TEXT)?) else { return Ok(None) };
        let cues = transcript.cues.iter().filter(|cue| cue.is_shown()).count();
        Ok(Some(Done {
            generation: newest.manifest.generation,
            model: transcript.model,
            cues: u32::try_from(cues).unwrap_or(u32::MAX),
        }))
    }

    /// Decodes and recognises on a thread of its own.
    async fn hear(
        &self,
        film: SealedReader,
        record: &Record,
        duration_ms: u64,
        stop: &CancellationToken,
    ) -> Result<Transcript, TranscribeError> {
        let (config, language, recording) = (self.config.clone(), record.language.clone(), record.recording);
        let stop = stop.clone();
        let hearing = tokio::task::spawn_blocking(move || {
            let model: Model = config.load(&language)?;
            let settings = Settings { threads: config.threads, ..Settings::default() };
            let mut ears = model.ears(&language, &settings)?;
            let mut cutter = Cutter::new(settings.longest);
            let mut sound = Sound::open(film)?;
            let mut cues = Vec::new();
            let mut told = 0;
            while let Some(block) = sound.next_block()? {
                for piece in cutter.push(&block) {
                    if stop.is_cancelled() {
                        return Err(TranscribeError::Stopped);
                    }
                    let percent = piece.begins.0 / 10_000 / duration_ms.max(1);
                    if percent >= told + 10 {
                        told = percent - percent % 10;
                        tracing::info!(%recording, percent = told, "transcribing");
                    }
                    cues.extend(ears.hear(&piece)?);
                }
            }
            for piece in cutter.finish() {
                cues.extend(ears.hear(&piece)?);
            }
            Ok(Transcript::new(&language, &model, cues))
        });
        hearing.await.unwrap_or(Err(TranscribeError::Stopped))
    }

    /// Seals the text in its four forms under a key of its own.
    async fn put(&self, path: &RecordingPath, transcript: &Transcript) -> Result<Vec<Object>, TranscribeError> {
        let attempt = self.next_attempt(path).await?;
        let writer = Writer::Text(attempt);
        let seal = SealKey::create(&self.store, path, &writer, &self.recipients).await?;
        let forms = [
            ("json", transcript.json()),
            ("vtt", transcript.vtt()),
            ("srt", transcript.srt()),
            ("txt", transcript.txt()),
        ];
        let mut objects = Vec::new();
        for (extension, text) in forms {
            let key = path.transcript(attempt, &transcript.language, extension);
            let sealed = seal.seal(text.into_bytes());
            let plain_len = sealed.plain_len();
            let receipt = sealed.put(&self.store, &key).await?;
            objects.push(Object {
                bucket: Bucket::Media,
                key,
                size: receipt.size,
                sha256: receipt.sha256_hex(),
                plain_len: Some(plain_len),
                writer: writer.to_string(),
            });
        }
        let key = path.key(&writer);
        let (envelope, _) = self.store.get(Bucket::Keys, &key, LONGEST_KEY).await?;
        objects.push(key_object(key, &envelope, &writer));
        Ok(objects)
    }

    /// Each try has a key and a folder of its own, so that it never meets what another try left.
    async fn next_attempt(&self, path: &RecordingPath) -> Result<u32, TranscribeError> {
        let keys = self.store.list(Bucket::Keys, &path.keys_prefix()).await?;
        let used = (1..).take_while(|n| keys.iter().any(|entry| entry.key == path.key(&Writer::Text(*n)))).count();
        Ok(u32::try_from(used).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// The record follows what is published.
    async fn settle(
        &self,
        path: &RecordingPath,
        mut record: Record,
        etag: &str,
        generation: u32,
    ) -> Result<(), TranscribeError> {
        if record.generation >= Some(generation) {
            return Ok(());
        }
        record.generation = Some(generation);
        record.changed = WallTime::from_system(SystemTime::now());
        recordings::swap(&self.store, path, &record, etag).await?;
        Ok(())
    }
}

/// An hour of speech has a quarter of a megabyte.
const LONGEST_TEXT: u64 = 64 << 20;
const LONGEST_KEY: u64 = 64 << 10;

fn is_film(object: &Object) -> bool {
    object.key.contains("/final/") && object.key.ends_with("/composite.mp4.age")
}

fn key_object(key: String, envelope: &[u8], writer: &Writer) -> Object {
    use sha2::{Digest, Sha256};
    Object {
        bucket: Bucket::Keys,
        key,
        size: envelope.len() as u64,
        sha256: hex::encode(Sha256::digest(envelope)),
        plain_len: None,
        writer: writer.to_string(),
    }
}

/// The next generation: what there was, and the text.
fn next(newest: Published, generation: u32, text: Vec<Object>, recipients: &Recipients) -> Manifest {
    let mut manifest = newest.manifest;
    manifest.objects.extend(text);
    manifest.objects.sort_by(|a, b| (a.bucket, &a.key).cmp(&(b.bucket, &b.key)));
    manifest.generation = generation;
    manifest.created = WallTime::from_system(SystemTime::now());
    manifest.previous = Some(newest.sha256);
    manifest.software = concat!("lectern transcriber ", env!("CARGO_PKG_VERSION")).into();
    manifest.recipients = recipients.public();
    manifest
}
