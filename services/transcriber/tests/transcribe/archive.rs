//! A store in this process with one recording that is READY, its film sealed and its manifest signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use claim::{Phase, Record};
use events::{Basis, LayoutName, Meta, Platform, PolicyId, RecordingRequested, RoomId, SessionId, TenantId};
use media::WallTime;
use storage::embedded::Embedded;
use storage::keys::Institution;
use storage::manifest::{FORMAT, Manifest, Object, Report, Signers, SigningKey, publish, verify};
use storage::{Bucket, Identity, Recipients, RecordingPath, SealKey, Store, Writer, recordings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use transcriber::{Config, Done, ModelFile, Models, TranscribeError, Transcriber};
use transcript::TEST_MODEL_SHA256;

use crate::tools::run;

pub(crate) struct Archive {
    pub(crate) transcriber: Transcriber,
    pub(crate) path: RecordingPath,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: storage::store::Config,
    server: JoinSet<()>,
}

/// The fixture model, allowed.
pub(crate) fn test_model() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/speech-model/ggml-lecture-test.bin");
    let file = ModelFile { path, sha256: TEST_MODEL_SHA256.into() };
    Config { models: [("en".into(), file)].into(), test_model: true, ..Config::default() }
}

impl Archive {
    /// A recording in `language` whose film is the file at `film`.
    pub(crate) async fn open(folder: tempfile::TempDir, film: &Path, language: &str, config: Config) -> Self {
        let keys = folder.path().join("keys");
        let institution = Institution::generate(&keys, "archive@uni.example").unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Embedded::bind(listen, &folder.path().join("s3"), "test", "test-secret").await.unwrap();
        std::fs::write(folder.path().join("access"), "test").unwrap();
        std::fs::write(folder.path().join("secret"), "test-secret").unwrap();
        let config_of_store = storage::store::Config {
            endpoint: Some(server.endpoint()),
            access_key_file: Some(folder.path().join("access")),
            secret_key_file: Some(folder.path().join("secret")),
            create_buckets: true,
            ..storage::store::Config::default()
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(CancellationToken::new()));
        let store = Store::connect(&config_of_store).await.unwrap();
        let recipients = Recipients::parse(&[institution.archive, institution.pipeline]).unwrap();
        let signing = SigningKey::load(&keys.join("signing.key")).unwrap();

        let record = Record { phase: Phase::Ready, generation: Some(1), ..record(language) };
        let path = RecordingPath::new(record.tenant.clone(), record.created, record.recording);
        recordings::create(&store, &path, &record).await.unwrap();
        let objects = put(&store, &path, &recipients, std::fs::read(film).unwrap()).await;
        let manifest = Manifest {
            format: FORMAT.into(),
            recording: record.recording,
            tenant: record.tenant,
            generation: 1,
            created: record.created,
            complete: true,
            duration_ms: 20_000,
            accounts: Vec::new(),
            lost: Vec::new(),
            gaps: Vec::new(),
            objects,
            previous: None,
            software: "test".into(),
            recipients: recipients.public(),
            language: language.into(),
            webinar: false,
        };
        publish(&store, &path, &manifest, &signing).await.unwrap();
        let transcriber = Transcriber {
            store,
            identity: Identity::load(&keys.join("pipeline.key")).unwrap(),
            recipients,
            signing: Arc::new(signing),
            models: Arc::new(Models::new(config)),
        };
        Self { transcriber, path, folder, config: config_of_store, server: tasks }
    }

    pub(crate) async fn transcribe(&self) -> Result<Done, TranscribeError> {
        self.transcriber.transcribe(self.path.recording, &CancellationToken::new()).await
    }

    /// Where the store listens.
    pub(crate) fn endpoint(&self) -> &str {
        self.config.endpoint.as_deref().unwrap()
    }

    /// Another transcriber with the same keys and model, which finds the store at `endpoint`.
    pub(crate) async fn transcriber_at(&self, endpoint: String) -> Transcriber {
        let config = storage::store::Config { endpoint: Some(endpoint), ..self.config.clone() };
        Transcriber {
            store: Store::connect(&config).await.unwrap(),
            identity: Identity::load(&self.folder.path().join("keys/pipeline.key")).unwrap(),
            recipients: self.transcriber.recipients.clone(),
            signing: Arc::clone(&self.transcriber.signing),
            models: Arc::clone(&self.transcriber.models),
        }
    }

    /// Somebody publishes a next generation, signed by a key that is not ours.
    pub(crate) async fn intrude(&self) -> Manifest {
        let mut manifest = self.verify().await.manifest;
        (manifest.generation, manifest.software) = (manifest.generation + 1, "somebody else".into());
        let (pem, _) = SigningKey::generate();
        let file = self.folder.path().join("stranger.key");
        std::fs::write(&file, pem.as_bytes()).unwrap();
        let stranger = SigningKey::load(&file).unwrap();
        publish(&self.transcriber.store, &self.path, &manifest, &stranger).await.unwrap();
        manifest
    }

    /// What transcribers have there: texts, and keys of texts.
    pub(crate) async fn texts(&self) -> (usize, usize) {
        let store = &self.transcriber.store;
        let texts = store.list(Bucket::Media, &format!("{}text/", self.path.prefix())).await.unwrap();
        let keys = store.list(Bucket::Keys, &format!("{}t", self.path.keys_prefix())).await.unwrap();
        (texts.len(), keys.len())
    }

    /// The store goes away.
    pub(crate) async fn shut(&mut self) {
        self.server.shutdown().await;
    }

    pub(crate) async fn state(&self) -> Record {
        recordings::state(&self.transcriber.store, &self.path).await.unwrap().0
    }

    pub(crate) async fn verify(&self) -> Report {
        let signers = Signers::load(&self.folder.path().join("keys/allowed_signers")).unwrap();
        verify(&self.transcriber.store, &self.path, &signers).await.unwrap()
    }

    /// One form of the text, by the signed manifest's word, opened as an archivist would: `age -d` twice.
    pub(crate) async fn text(&self, extension: &str) -> String {
        let manifest = self.verify().await.manifest;
        let end = format!(".{extension}.age");
        let sealed = manifest.objects.iter().find(|o| o.key.contains("/text/") && o.key.ends_with(&end)).expect("text");
        let key = manifest.objects.iter().find(|o| o.bucket == Bucket::Keys && o.writer == sealed.writer).unwrap();
        let at = |name: &str| -> PathBuf { self.folder.path().join(name) };
        for (object, name) in [(sealed, "text.age"), (key, "text.key.age")] {
            let (bytes, _) = self.transcriber.store.get(object.bucket, &object.key, 1 << 24).await.unwrap();
            std::fs::write(at(name), bytes).unwrap();
        }
        let name = |name: &str| at(name).to_str().unwrap().to_owned();
        run("age", &["-d", "-i", &name("keys/archive.key"), "-o", &name("text.key"), &name("text.key.age")]);
        String::from_utf8(run("age", &["-d", "-i", &name("text.key"), &name("text.age")])).unwrap()
    }
}

async fn put(store: &Store, path: &RecordingPath, recipients: &Recipients, film: Vec<u8>) -> Vec<Object> {
    let writer = Writer::Final(1);
    let seal = SealKey::create(store, path, &writer, recipients).await.unwrap();
    let sealed = seal.seal(film);
    let receipt = sealed.put(store, &path.composite(1)).await.unwrap();
    let (envelope, _) = store.get(Bucket::Keys, &path.key(&writer), 1 << 16).await.unwrap();
    // The same bytes again, for their receipt.
    let key = store.put_verified(Bucket::Keys, &path.key(&writer), envelope).await.unwrap();
    let object = |bucket, key, receipt: &storage::Receipt, plain_len| Object {
        bucket,
        key,
        size: receipt.size,
        sha256: receipt.sha256_hex(),
        plain_len,
        writer: writer.to_string(),
    };
    vec![
        object(Bucket::Media, path.composite(1), &receipt, Some(sealed.plain_len())),
        object(Bucket::Keys, path.key(&writer), &key, None),
    ]
}

fn record(language: &str) -> Record {
    let now = WallTime::parse("2026-11-22T10:00:00Z").unwrap();
    let meta = Meta {
        id: "1".into(),
        platform: Platform::Janus,
        instance: "janus-1".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new("s1").unwrap(),
        time: now.to_string(),
    };
    let asked = RecordingRequested {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: language.into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 3600,
    };
    Record::first(&meta, &asked, "worker".into(), now)
}
