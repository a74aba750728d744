//! A store with recordings as recorder and finalizer leave them.

use claim::{Phase, Record};
use events::{LayoutName, PolicyId, RecordingId, RoomId, SessionId, TenantId};
use media::WallTime;
use sha2::{Digest, Sha256};
use storage::manifest::{FORMAT, Manifest, Object, SigningKey, publish};
use storage::{Bucket, Condition, Recipients, RecordingPath, SealKey, Store, Writer, recordings};

use crate::machine::Machine;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: WallTime = WallTime(1_795_348_800_000_000);

pub(crate) struct Archive {
    pub(crate) store: Store,
    recipients: Recipients,
    signing: SigningKey,
}

impl Archive {
    /// The store of `machine`, whose S3 runs.
    pub(crate) async fn of(machine: &Machine) -> Self {
        let config = storage::store::Config {
            endpoint: Some(format!("http://{}", machine.s3)),
            access_key_file: Some(machine.at("keys/s3-access-key")),
            secret_key_file: Some(machine.at("keys/s3-secret-key")),
            create_buckets: true,
            ..storage::store::Config::default()
        };
        let recipients = std::fs::read_to_string(machine.at("keys/recipients.txt")).unwrap();
        let recipients: Vec<_> =
            recipients.lines().filter(|line| line.starts_with("age1")).map(str::to_owned).collect();
        Self {
            store: Store::connect(&config).await.unwrap(),
            recipients: Recipients::parse(&recipients).unwrap(),
            signing: SigningKey::load(&machine.at("keys/signing.key")).unwrap(),
        }
    }

    /// A recording of `session`, begun `minutes` after noon; with a film it is ready.
    pub(crate) async fn keep(&self, session: &str, minutes: i64, film: Option<&[u8]>) -> RecordingPath {
        let tenant = TenantId::new("example").unwrap();
        let (session, policy) = (SessionId::new(session).unwrap(), PolicyId::new("lectures").unwrap());
        let recording = RecordingId::derive(&tenant, &session, &policy);
        let created = WallTime(NOON.0 + minutes * 60_000_000);
        let path = RecordingPath::new(tenant.clone(), created, recording);
        let record = Record {
            recording,
            tenant: tenant.clone(),
            platform: events::Platform::Janus,
            instance: "campus".into(),
            room: RoomId::new("1234").unwrap(),
            session,
            policy,
            layout: LayoutName::Speaker,
            language: "nb".into(),
            retention_days: 365,
            webinar: false,
            basis: events::Basis::PublicTask,
            max_seconds: 0,
            phase: if film.is_some() { Phase::Ready } else { Phase::Recording },
            epoch: 1,
            owner: "worker".into(),
            beat: 0,
            idle: 0,
            created,
            changed: created,
            generation: film.map(|_| 1),
            reason: None,
        };
        recordings::create(&self.store, &path, &record).await.unwrap();
        if let Some(film) = film {
            let objects = self.seal(&path, film).await;
            let manifest = Manifest {
                format: FORMAT.into(),
                recording,
                tenant,
                generation: 1,
                created,
                complete: true,
                duration_ms: 1000,
                accounts: Vec::new(),
                lost: Vec::new(),
                gaps: Vec::new(),
                objects,
                previous: None,
                software: "test".into(),
                recipients: self.recipients.public(),
                language: "nb".into(),
                webinar: false,
            };
            publish(&self.store, &path, &manifest, &self.signing).await.unwrap();
        }
        path
    }

    /// The sealed film and its key, as the manifest names them.
    async fn seal(&self, path: &RecordingPath, film: &[u8]) -> Vec<Object> {
        let writer = Writer::Final(1);
        let sealed = SealKey::create(&self.store, path, &writer, &self.recipients).await.unwrap().seal(film);
        sealed.put(&self.store, &path.composite(1)).await.unwrap();
        let (key, _) = self.store.get(Bucket::Keys, &path.key(&writer), 1 << 16).await.unwrap();
        let film = (Bucket::Media, path.composite(1), sealed.size(), sealed.sha256(), Some(sealed.plain_len()));
        let key = (Bucket::Keys, path.key(&writer), key.len() as u64, Sha256::digest(&key).into(), None);
        let object = |(bucket, key, size, sha256, plain_len): (_, _, _, [u8; 32], _)| Object {
            bucket,
            key,
            size,
            sha256: hex::encode(sha256),
            plain_len,
            writer: writer.to_string(),
        };
        vec![object(film), object(key)]
    }

    /// Changes one byte of an object behind everybody's back.
    pub(crate) async fn alter(&self, key: &str) {
        let (bytes, _) = self.store.get(Bucket::Media, key, 1 << 30).await.unwrap();
        let mut bytes = bytes.to_vec();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        self.store.put(Bucket::Media, key, bytes.into(), Condition::None).await.unwrap();
    }

    /// Puts another film of the same length under the film's name and another key that opens it, sealed to the same
    /// recipients: what anybody can do who may write to the store.
    pub(crate) async fn forge(&self, path: &RecordingPath, film: &[u8]) {
        let (film_key, key) = (path.composite(1), path.key(&Writer::Final(1)));
        self.store.delete(Bucket::Keys, &key).await.unwrap();
        let size = self.store.head(Bucket::Media, &film_key).await.unwrap().size;
        let seal = SealKey::create(&self.store, path, &Writer::Final(1), &self.recipients).await.unwrap();
        // A header's length is age's whim.
        let forged = (0..1000).map(|_| seal.seal(film)).find(|sealed| sealed.size() == size).unwrap();
        self.store.put(Bucket::Media, &film_key, forged.bytes().to_vec().into(), Condition::None).await.unwrap();
    }

    /// Everything that proves and opens `from` is also put where `to` has it.
    pub(crate) async fn copy(&self, from: &RecordingPath, to: &RecordingPath) {
        let writer = Writer::Final(1);
        for (bucket, from, to) in [
            (Bucket::Media, from.manifest(1), to.manifest(1)),
            (Bucket::Media, from.signature(1), to.signature(1)),
            (Bucket::Keys, from.key(&writer), to.key(&writer)),
        ] {
            let (bytes, _) = self.store.get(bucket, &from, 1 << 20).await.unwrap();
            self.store.put(bucket, &to, bytes, Condition::None).await.unwrap();
        }
    }

    pub(crate) async fn remove(&self, key: &str) {
        self.store.delete(Bucket::Media, key).await.unwrap();
    }

    pub(crate) async fn write(&self, key: &str, bytes: &'static [u8]) {
        self.store.put(Bucket::Media, key, bytes.into(), Condition::None).await.unwrap();
    }
}
