//! A store, an institution's keys, and recordings as finalizer and transcriber leave them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use claim::{Phase, Record};
use events::{Basis, LayoutName, PolicyId, RecordingId, RoomId, SessionId, TenantId};
use media::{MediaTime, WallTime};
use portal::{Catalogue, Config, Token, app};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use sha2::{Digest, Sha256};
use storage::embedded::Embedded;
use storage::journal::{Attendance, Consent, Description, Gap};
use storage::keys::Institution;
use storage::manifest::{FORMAT, Manifest, Object, Signers, SigningKey, publish};
use storage::store::Bucket;
use storage::{Identity, Receipt, Recipients, RecordingPath, SealKey, Store, Writer, recordings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use transcript::{Cue, Transcript};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: WallTime = WallTime(1_795_348_800_000_000);

pub(crate) struct Campus {
    pub(crate) url: String,
    pub(crate) store: Store,
    pub(crate) endpoint: String,
    http: reqwest::Client,
    recipients: Recipients,
    signing: SigningKey,
    pub(crate) folder: tempfile::TempDir,
    _serving: JoinSet<()>,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("uni").unwrap()
}

/// What a recording consists of.
pub(crate) struct Lecture {
    pub(crate) session: &'static str,
    pub(crate) title: Option<&'static str>,
    pub(crate) phase: Phase,
    pub(crate) webinar: bool,
    pub(crate) reason: Option<&'static str>,
    pub(crate) movie: Vec<u8>,
    pub(crate) cues: Vec<(f64, f64, &'static str)>,
    pub(crate) gaps: Vec<Gap>,
}

impl Default for Lecture {
    fn default() -> Self {
        Self {
            session: "lecture",
            title: Some("Linear algebra, week 3"),
            phase: Phase::Ready,
            webinar: false,
            reason: None,
            movie: b"not a movie".to_vec(),
            cues: vec![(0.0, 2.0, "Welcome."), (2.5, 5.0, "Today: vectors.")],
            gaps: Vec::new(),
        }
    }
}

impl Campus {
    pub(crate) async fn open() -> Self {
        Self::open_with(Config {
            origin_url: Some("http://127.0.0.1:7080".into()),
            cache_seconds: 0,
            ..Config::default()
        })
        .await
    }

    pub(crate) async fn open_with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let institution = Institution::generate(&keys, "test").unwrap();
        let s3 = Embedded::bind("127.0.0.1:0".parse().unwrap(), &folder.path().join("s3"), "access", "secret").await;
        let s3 = s3.unwrap();
        for (name, word) in [("access", "access"), ("secret", "secret")] {
            std::fs::write(keys.join(name), word).unwrap();
        }
        let endpoint = s3.endpoint();
        let store = storage::store::Config {
            endpoint: Some(endpoint.clone()),
            access_key_file: Some(keys.join("access")),
            secret_key_file: Some(keys.join("secret")),
            create_buckets: true,
            ..storage::store::Config::default()
        };
        let mut serving = JoinSet::new();
        serving.spawn(s3.run(CancellationToken::new()));
        let store = Store::connect(&store).await.unwrap();

        let identity = Identity::load(&keys.join("pipeline.key")).unwrap();
        let signers = Signers::load(&keys.join("allowed_signers")).unwrap();
        let catalogue = Arc::new(Catalogue::new(store.clone(), identity, signers, tenant(), &config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = app(catalogue, Token::new(TOKEN).unwrap());
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            store,
            endpoint,
            http: reqwest::Client::builder().redirect(Policy::none()).build().unwrap(),
            recipients: Recipients::parse(&[institution.archive, institution.pipeline]).unwrap(),
            signing: SigningKey::load(&keys.join("signing.key")).unwrap(),
            folder,
            _serving: serving,
        }
    }

    /// A request without a token.
    pub(crate) fn stranger(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        self.stranger(path).header("cookie", format!("other=1; lectern-portal={TOKEN}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(path).send().await.unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    pub(crate) fn head(&self, path: &str) -> RequestBuilder {
        self.http.head(format!("{}{path}", self.url)).header("cookie", format!("lectern-portal={TOKEN}"))
    }

    /// Puts all of it into the store, sealed and signed as it would be.
    pub(crate) async fn keep(&self, lecture: &Lecture) -> RecordingPath {
        let session = SessionId::new(lecture.session).unwrap();
        let policy = PolicyId::new("all").unwrap();
        let recording = RecordingId::derive(&tenant(), &session, &policy);
        let path = RecordingPath::new(tenant(), NOON, recording);
        let done = matches!(lecture.phase, Phase::Ready | Phase::Partial);
        let record = Record {
            recording,
            tenant: tenant(),
            platform: events::Platform::Janus,
            instance: "campus".into(),
            room: RoomId::new("1234").unwrap(),
            session,
            policy: policy.clone(),
            layout: LayoutName::Speaker,
            language: "nb".into(),
            retention_days: 365,
            webinar: lecture.webinar,
            basis: events::Basis::PublicTask,
            max_seconds: 0,
            phase: lecture.phase,
            epoch: 2,
            owner: "worker".into(),
            beat: 0,
            idle: 0,
            created: NOON,
            changed: NOON,
            generation: done.then_some(1),
            reason: lecture.reason.map(str::to_owned),
        };
        recordings::create(&self.store, &path, &record).await.unwrap();

        let mut objects = Vec::new();
        let key = SealKey::create(&self.store, &path, &Writer::Epoch(1), &self.recipients).await.unwrap();
        if let Some(title) = lecture.title {
            let description = Description {
                title: Some(title.into()),
                participants: vec![Attendance { id: "7".into(), name: "Ola".into(), arrived: NOON, left: None }],
                consent: Consent {
                    policy,
                    basis: Basis::PublicTask,
                    requested_by: "policy".into(),
                    sign: "text".into(),
                    sign_set: NOON,
                },
            };
            let json = serde_json::to_vec(&description).unwrap();
            objects.push(self.seal(&key, &Writer::Epoch(1), path.description(1), json).await);
        }
        if done {
            let writer = Writer::Final(1);
            let key = SealKey::create(&self.store, &path, &writer, &self.recipients).await.unwrap();
            objects.push(self.seal(&key, &writer, path.composite(1), lecture.movie.clone()).await);
            objects.push(self.key(&path, &writer).await);
            objects.extend(self.texts(&path, lecture).await);
            let manifest = Manifest {
                format: FORMAT.into(),
                recording,
                tenant: tenant(),
                generation: 1,
                created: NOON,
                complete: lecture.phase == Phase::Ready,
                duration_ms: 2_700_000,
                accounts: Vec::new(),
                lost: Vec::new(),
                gaps: lecture.gaps.clone(),
                objects,
                previous: None,
                software: "test".into(),
                recipients: self.recipients.public(),
                language: "nb".into(),
                webinar: lecture.webinar,
            };
            publish(&self.store, &path, &manifest, &self.signing).await.unwrap();
        }
        path
    }

    async fn texts(&self, path: &RecordingPath, lecture: &Lecture) -> Vec<Object> {
        let cues = lecture.cues.iter().map(|(from, to, text)| Cue {
            begins: MediaTime(Duration::from_secs_f64(*from).as_nanos() as u64),
            lasts: Duration::from_secs_f64(to - from),
            text: (*text).to_owned(),
            confidence: 0.9,
            flags: Vec::new(),
        });
        let transcript = Transcript {
            format: Transcript::FORMAT.into(),
            language: "nb".into(),
            machine_made: true,
            model: "test".into(),
            cues: cues.collect(),
        };
        if transcript.cues.is_empty() {
            return Vec::new();
        }
        let writer = Writer::Text(1);
        let key = SealKey::create(&self.store, path, &writer, &self.recipients).await.unwrap();
        let texts = [
            ("json", serde_json::to_string(&transcript).unwrap()),
            ("vtt", transcript.vtt()),
            ("srt", transcript.srt()),
            ("txt", transcript.txt()),
        ];
        let mut objects = vec![self.key(path, &writer).await];
        for (kind, text) in texts {
            objects.push(self.seal(&key, &writer, path.transcript(1, "nb", kind), text.into_bytes()).await);
        }
        objects
    }

    async fn seal(&self, with: &SealKey, writer: &Writer, key: String, plain: Vec<u8>) -> Object {
        let sealed = with.seal(plain);
        let Receipt { size, sha256, .. } = sealed.put(&self.store, &key).await.unwrap();
        let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Object {
            bucket: Bucket::Media,
            key,
            size,
            sha256,
            plain_len: Some(sealed.plain_len()),
            writer: writer.to_string(),
        }
    }

    /// A writer's key as a manifest lists it.
    async fn key(&self, path: &RecordingPath, writer: &Writer) -> Object {
        let key = path.key(writer);
        let (bytes, _) = self.store.get(Bucket::Keys, &key, 1 << 16).await.unwrap();
        let (size, sha256) = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
        Object { bucket: Bucket::Keys, key, size, sha256, plain_len: None, writer: writer.to_string() }
    }

    /// Puts another film of the same length in the film's place, and another key that opens it, sealed to the same
    /// recipients: what anybody can do who may write to the store.
    pub(crate) async fn forge(&self, path: &RecordingPath, film: &[u8]) {
        let (film_key, writer) = (path.composite(1), Writer::Final(1));
        let size = self.store.head(Bucket::Media, &film_key).await.unwrap().size;
        self.store.delete(Bucket::Keys, &path.key(&writer)).await.unwrap();
        let seal = SealKey::create(&self.store, path, &writer, &self.recipients).await.unwrap();
        // A header's length is age's whim.
        let forged = (0..1000).map(|_| seal.seal(film)).find(|sealed| sealed.size() == size).unwrap();
        let bytes = forged.bytes().to_vec().into();
        self.store.put(Bucket::Media, &film_key, bytes, storage::Condition::None).await.unwrap();
    }

    /// Changes one byte of an object behind everybody's back.
    pub(crate) async fn alter(&self, key: &str) {
        let (bytes, _) = self.store.get(Bucket::Media, key, u64::MAX >> 1).await.unwrap();
        let mut bytes = bytes.to_vec();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        self.store.put(Bucket::Media, key, Bytes::from(bytes), storage::Condition::None).await.unwrap();
    }
}

/// `seconds` of a test picture and a tone, as MP4.
pub(crate) fn movie(folder: &Path, seconds: &str) -> Vec<u8> {
    let file = folder.join("movie.mp4");
    let done = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30", "-f", "lavfi"])
        .args(["-i", "sine=frequency=440:sample_rate=48000", "-t", seconds, "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", "-y"])
        .arg(&file)
        .status()
        .expect("ffmpeg is installed");
    assert!(done.success());
    std::fs::read(file).unwrap()
}
