//! A store in this process, the keys of an institution, and a recorder's hand: puts films where a recorder would.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use claim::{Phase, Record};
use events::{Basis, LayoutName, Meta, Platform, PolicyId, RecordingRequested, RoomId, SessionId, TenantId};
use finalizer::{Finalizer, Outcome};
use media::{MediaTime, PipelineSpec, Rendition, WallTime};
use storage::embedded::Embedded;
use storage::journal::{Attendance, Consent, Description, Entry, Gap, Journal, RenditionInfo};
use storage::keys::Institution;
use storage::manifest::{Manifest, Report, Signers, SigningKey, verify};
use storage::{
    Bucket, Condition, Identity, Recipients, RecordingPath, SealKey, Store, Writer, clock, ledger, recordings,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::film::{Cmaf, FPS, Film, Tool};

pub(crate) struct Studio {
    pub(crate) finalizer: Finalizer,
    pub(crate) path: RecordingPath,
    pub(crate) folder: tempfile::TempDir,
    /// How far the next workers' clock is ahead.
    pub(crate) fast: Duration,
    record: Record,
    recipients: Recipients,
    config: storage::store::Config,
    _server: JoinSet<()>,
}

/// The common zero of all films.
pub(crate) fn zero() -> WallTime {
    WallTime::parse("2026-11-22T10:00:00Z").unwrap()
}

pub(crate) fn frames(count: u32) -> Duration {
    Duration::from_nanos(u64::from(count) * 1_000_000_000 / u64::from(FPS))
}

impl Studio {
    /// A recording that was claimed and has nothing yet.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let institution = Institution::generate(&keys, "archive@uni.example").unwrap();
        let server = Embedded::bind("127.0.0.1:0".parse().unwrap(), &folder.path().join("s3"), "test", "test-secret")
            .await
            .unwrap();
        std::fs::write(folder.path().join("access"), "test").unwrap();
        std::fs::write(folder.path().join("secret"), "test-secret").unwrap();
        let config = storage::store::Config {
            endpoint: Some(server.endpoint()),
            access_key_file: Some(folder.path().join("access")),
            secret_key_file: Some(folder.path().join("secret")),
            create_buckets: true,
            ..storage::store::Config::default()
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(CancellationToken::new()));
        let store = Store::connect(&config).await.unwrap();
        let recipients = Recipients::parse(&[institution.archive, institution.pipeline]).unwrap();
        let finalizer = Finalizer {
            store: store.clone(),
            identity: Identity::load(&keys.join("pipeline.key")).unwrap(),
            recipients: recipients.clone(),
            signing: SigningKey::load(&keys.join("signing.key")).unwrap(),
        };
        let record = record();
        let path = RecordingPath::new(record.tenant.clone(), record.created, record.recording);
        recordings::create(&store, &path, &record).await.unwrap();
        Self { finalizer, path, folder, fast: Duration::ZERO, record, recipients, config, _server: tasks }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.finalizer.store
    }

    /// Where the store listens.
    pub(crate) fn endpoint(&self) -> &str {
        self.config.endpoint.as_deref().unwrap()
    }

    /// Another finalizer with the same keys, which finds the store at `endpoint`.
    pub(crate) async fn finalizer_at(&self, endpoint: String) -> Finalizer {
        let keys = self.folder.path().join("keys");
        Finalizer {
            store: Store::connect(&storage::store::Config {
                endpoint: Some(endpoint),
                create_buckets: false,
                ..self.config.clone()
            })
            .await
            .unwrap(),
            identity: Identity::load(&keys.join("pipeline.key")).unwrap(),
            recipients: self.recipients.clone(),
            signing: SigningKey::load(&keys.join("signing.key")).unwrap(),
        }
    }

    /// Stores a film as epoch `epoch`, journal and all. Tells the journal `gaps`.
    pub(crate) async fn record(&self, epoch: u32, film: &Film, gaps: Vec<Gap>) {
        let (seal, entries) = self.put_segments(epoch, film).await;
        self.journal(epoch, film, &seal, entries, gaps).await;
    }

    pub(crate) async fn journal(&self, epoch: u32, film: &Film, seal: &SealKey, entries: Vec<Entry>, gaps: Vec<Gap>) {
        let renditions =
            [(Rendition::video(), "avc1.42c00b"), (Rendition::audio(), "mp4a.40.2")].map(|(rendition, codec)| {
                let init_key = self.path.init(epoch, &rendition);
                RenditionInfo { rendition, codec: codec.into(), picture: None, init_key }
            });
        let began = zero().plus(frames(film.begins));
        let journal = Journal {
            recording: self.path.recording,
            epoch,
            began,
            ended: began,
            spec: PipelineSpec::default(),
            renditions: renditions.into(),
            entries,
            gaps,
            closed: BTreeMap::from([
                (Rendition::video(), film.video.segments.len() as u64),
                (Rendition::audio(), film.audio.segments.len() as u64),
            ]),
        };
        seal.seal(journal.to_bytes()).put(self.store(), &self.path.journal(epoch)).await.unwrap();
    }

    /// What a worker has stored that never came to write its journal.
    pub(crate) async fn put_segments(&self, epoch: u32, film: &Film) -> (SealKey, Vec<Entry>) {
        ledger::started(self.store(), &self.path, epoch, zero()).await.unwrap();
        let seal = SealKey::create(self.store(), &self.path, &Writer::Epoch(epoch), &self.recipients).await.unwrap();
        let began = zero().plus(frames(film.begins));
        let description = serde_json::to_vec(&description(began)).unwrap();
        seal.seal(description).put(self.store(), &self.path.description(epoch)).await.unwrap();
        let mut entries = Vec::new();
        for (rendition, track) in [(Rendition::video(), &film.video), (Rendition::audio(), &film.audio)] {
            let init = self.path.init(epoch, &rendition);
            let stamped = [&track.init[..], &clock::stamp(began.plus(self.fast))].concat();
            seal.seal(stamped).put(self.store(), &init).await.unwrap();
            for number in 0..track.segments.len() {
                entries.push(self.put_segment(&seal, epoch, &rendition, track, number, began).await);
            }
        }
        (seal, entries)
    }

    async fn put_segment(
        &self,
        seal: &SealKey,
        epoch: u32,
        rendition: &Rendition,
        track: &Cmaf,
        number: usize,
        began: WallTime,
    ) -> Entry {
        let key = self.path.segment(epoch, rendition, number as u64);
        let receipt = seal.seal(&track.segments[number]).put(self.store(), &key).await.unwrap();
        let begins = track.begins(number);
        let next = if number + 1 < track.segments.len() { track.begins(number + 1) } else { begins + 3_200_000_000 };
        Entry {
            rendition: rendition.clone(),
            number: number as u64,
            key,
            size: receipt.size,
            sha256: receipt.sha256_hex(),
            begins: MediaTime(begins),
            lasts: Duration::from_nanos(next - begins),
            wall: began.plus(Duration::from_nanos(begins)),
        }
    }

    /// The recorders are done; there were `epochs` of them.
    pub(crate) async fn end(&self, epochs: u32) {
        let (_, etag) = recordings::state(self.store(), &self.path).await.unwrap();
        let record = Record { phase: Phase::Ended, epoch: epochs, ..self.record.clone() };
        recordings::swap(self.store(), &self.path, &record, &etag).await.unwrap();
    }

    /// Takes objects away, as if they were still in a spool somewhere.
    pub(crate) async fn hold_back(&self, keys: impl IntoIterator<Item = String>) -> Vec<(String, bytes::Bytes)> {
        let mut held = Vec::new();
        for key in keys {
            let (bytes, _) = self.store().get(Bucket::Media, &key, 1 << 30).await.unwrap();
            self.store().delete(Bucket::Media, &key).await.unwrap();
            held.push((key, bytes));
        }
        held
    }

    /// The spool is emptied at last.
    pub(crate) async fn bring(&self, held: Vec<(String, bytes::Bytes)>) {
        for (key, bytes) in held {
            self.store().put(Bucket::Media, &key, bytes, Condition::Absent).await.unwrap();
        }
    }

    pub(crate) async fn finalize(&self) -> Outcome {
        self.finalizer.finalize(&self.path).await.unwrap()
    }

    pub(crate) async fn state(&self) -> Record {
        recordings::state(self.store(), &self.path).await.unwrap().0
    }

    pub(crate) async fn verify(&self) -> Report {
        let signers = Signers::load(&self.folder.path().join("keys/allowed_signers")).unwrap();
        verify(self.store(), &self.path, &signers).await.unwrap()
    }

    pub(crate) async fn manifest(&self) -> Manifest {
        self.verify().await.manifest
    }

    /// Changes one byte of a stored object.
    pub(crate) async fn flip(&self, key: &str) {
        let (bytes, _) = self.store().get(Bucket::Media, key, 1 << 30).await.unwrap();
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.store().put(Bucket::Media, key, bytes.into(), Condition::None).await.unwrap();
    }

    /// The final file, opened as an archivist would in twenty years: `age -d` twice, by the signed manifest's word.
    pub(crate) async fn open_final(&self) -> PathBuf {
        let manifest = self.manifest().await;
        let file = manifest.objects.iter().find(|o| o.key.ends_with("composite.mp4.age")).expect("a final file");
        let key = manifest.objects.iter().find(|o| o.bucket == Bucket::Keys && o.writer == file.writer).unwrap();
        let at = |name: &str| self.folder.path().join(name);
        for (object, name) in [(file, "final.mp4.age"), (key, "final.key.age")] {
            let (bytes, _) = self.store().get(object.bucket, &object.key, 1 << 30).await.unwrap();
            std::fs::write(at(name), bytes).unwrap();
        }
        let open = |with: &str, from: &str, to: &str| {
            Tool::of("age").args(["-d", "-i"]).arg(&at(with)).args(["-o"]).arg(&at(to)).arg(&at(from)).run();
        };
        open("keys/archive.key", "final.key.age", "final.key");
        open("final.key", "final.mp4.age", "final.mp4");
        assert_eq!(std::fs::metadata(at("final.mp4")).unwrap().len(), file.plain_len.unwrap());
        at("final.mp4")
    }
}

fn record() -> Record {
    let meta = Meta {
        id: "1".into(),
        platform: Platform::Janus,
        instance: "janus-1".into(),
        tenant: TenantId::new("uni").unwrap(),
        room: RoomId::new("1234").unwrap(),
        session: SessionId::new("s1").unwrap(),
        time: zero().to_string(),
    };
    let asked = RecordingRequested {
        policy: PolicyId::new("lectures").unwrap(),
        requested_by: "policy".into(),
        layout: LayoutName::Speaker,
        language: "en".into(),
        basis: Basis::PublicTask,
        retention_days: 365,
        webinar: false,
        max_seconds: 3600,
    };
    Record::first(&meta, &asked, "worker".into(), zero())
}

fn description(began: WallTime) -> Description {
    Description {
        title: Some("Physics".into()),
        participants: vec![Attendance { id: "1".into(), name: "Kari".into(), arrived: began, left: None }],
        consent: Consent {
            policy: PolicyId::new("lectures").unwrap(),
            basis: Basis::PublicTask,
            requested_by: "policy".into(),
            sign: "display name".into(),
            sign_set: began,
        },
    }
}
