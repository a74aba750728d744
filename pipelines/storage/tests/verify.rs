//! Signing and verifying: whatever is done to a stored recording, the object is named.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use media::{Rendition, WallTime};
use sha2::{Digest, Sha256};
use storage::keys::Institution;
use storage::manifest::{
    Account, FORMAT, Finding, Missing, Object, Report, Signers, SigningKey, Sum, VerifyError, What, sign, verify,
};
use storage::seal::SealError;
use storage::store::{Bucket, Condition};
use storage::{Identity, Manifest, OpenKey, Recipients, RecordingPath, SealKey, Store, Writer, recordings};
use support::{noise, path, record};

/// A finished recording of six segments, a final file and its key files, signed in one generation.
struct Finished {
    store: Store,
    path: RecordingPath,
    keys: tempfile::TempDir,
    signers: Signers,
    manifest: Manifest,
}

async fn finished(store: Store) -> Finished {
    let keys = tempfile::tempdir().unwrap();
    let made = Institution::generate(keys.path(), "archive@uni.example").unwrap();
    let recipients = vec![made.archive, made.pipeline];
    let to = Recipients::parse(&recipients).unwrap();
    let path = path("lecture");
    recordings::create(&store, &path, &record(&path, "me")).await.unwrap();
    let mut objects = Vec::new();
    let rendition = Rendition::video();
    for (writer, media) in [
        (Writer::Epoch(1), (0..6).map(|n| path.segment(1, &rendition, n)).collect::<Vec<_>>()),
        (Writer::Final(1), vec![path.composite(1)]),
    ] {
        let seal = SealKey::create(&store, &path, &writer, &to).await.unwrap();
        let key = path.key(&writer);
        let (envelope, _) = store.get(Bucket::Keys, &key, 10_000).await.unwrap();
        objects.push(object(Bucket::Keys, key, &envelope, None, &writer));
        for (n, key) in media.into_iter().enumerate() {
            let sealed = seal.seal(noise(n as u64, 3000));
            sealed.put(&store, &key).await.unwrap();
            objects.push(object(Bucket::Media, key, sealed.bytes(), Some(3000), &writer));
        }
    }
    let manifest = Manifest {
        format: FORMAT.into(),
        recording: path.recording,
        tenant: path.tenant.clone(),
        generation: 1,
        created: WallTime(1_795_372_178_000_000),
        complete: true,
        duration_ms: 19_200,
        accounts: Vec::new(),
        lost: Vec::new(),
        gaps: Vec::new(),
        objects,
        previous: None,
        software: "test".into(),
        recipients,
        language: "nb".into(),
        webinar: false,
    };
    let manifest = Manifest {
        accounts: vec![Account { epoch: 1, rendition, made: 6, stored: 6, missing: Vec::new() }],
        ..manifest
    };
    let signers = Signers::load(&keys.path().join("allowed_signers")).unwrap();
    let finished = Finished { store, path, keys, signers, manifest };
    finished.publish(&finished.manifest).await;
    finished
}

fn object(bucket: Bucket, key: String, bytes: &[u8], plain_len: Option<u64>, writer: &Writer) -> Object {
    let sha256 = hex::encode(Sha256::digest(bytes));
    Object { bucket, key, size: bytes.len() as u64, sha256, plain_len, writer: writer.to_string() }
}

impl Finished {
    async fn publish(&self, manifest: &Manifest) {
        let bytes = manifest.to_bytes();
        let key = SigningKey::load(&self.keys.path().join("signing.key")).unwrap();
        let sig = sign(&key, &bytes);
        self.put(&self.path.manifest(manifest.generation), bytes.into()).await;
        self.put(&self.path.signature(manifest.generation), sig.into()).await;
    }

    async fn put(&self, key: &str, bytes: Bytes) {
        self.store.put(Bucket::Media, key, bytes, Condition::None).await.unwrap();
    }

    async fn get(&self, key: &str) -> Bytes {
        self.store.get(Bucket::Media, key, 1 << 20).await.unwrap().0
    }

    async fn report(&self) -> Report {
        verify(&self.store, &self.path, &self.signers).await.unwrap()
    }

    async fn findings(&self) -> Vec<Finding> {
        verify(&self.store, &self.path, &self.signers).await.unwrap().findings
    }

    fn segment(&self, n: u64) -> String {
        self.path.segment(1, &Rendition::video(), n)
    }

    /// The next generation, with a transcript more.
    fn next(&self) -> Manifest {
        let previous = hex::encode(Sha256::digest(self.manifest.to_bytes()));
        Manifest { generation: 2, previous: Some(previous), ..self.manifest.clone() }
    }
}

fn found(bucket: Bucket, key: String, what: What) -> Finding {
    Finding { bucket, key, what }
}

on_both_servers! {
    async fn an_untouched_recording_has_no_findings(store: storage::Store) {
        let recording = finished(store).await;
        let report = verify(&recording.store, &recording.path, &recording.signers).await.unwrap();
        assert_eq!(report.findings, []);
        assert_eq!((report.objects, report.manifest), (9, recording.manifest.clone()));
        assert_eq!(report.bytes, recording.manifest.objects.iter().map(|object| object.size).sum::<u64>());
    }

    async fn a_flipped_bit_is_named(store: storage::Store) {
        let recording = finished(store).await;
        let key = recording.segment(3);
        let mut bytes = recording.get(&key).await.to_vec();
        bytes[2000] ^= 1;
        let altered = hex::encode(Sha256::digest(&bytes));
        recording.put(&key, bytes.into()).await;
        let expected = recording.manifest.objects.iter().find(|object| object.key == key).unwrap().sha256.clone();
        let what = What::Altered { expected, found: altered };
        assert_eq!(recording.findings().await, [found(Bucket::Media, key, what)]);
    }

    async fn a_dropped_segment_and_a_dropped_key_are_named(store: storage::Store) {
        let recording = finished(store).await;
        let (segment, key) = (recording.segment(5), recording.path.key(&Writer::Final(1)));
        recording.store.delete(Bucket::Media, &segment).await.unwrap();
        recording.store.delete(Bucket::Keys, &key).await.unwrap();
        let expected = [found(Bucket::Media, segment, What::Missing), found(Bucket::Keys, key, What::Missing)];
        assert_eq!(recording.findings().await, expected);
    }

    async fn two_swapped_objects_are_both_named(store: storage::Store) {
        let recording = finished(store).await;
        let (a, b) = (recording.segment(1), recording.segment(2));
        let (of_a, of_b) = (recording.get(&a).await, recording.get(&b).await);
        recording.put(&a, of_b).await;
        recording.put(&b, of_a).await;
        let expected = [
            found(Bucket::Media, a.clone(), What::Swapped { with: b.clone() }),
            found(Bucket::Media, b, What::Swapped { with: a }),
        ];
        assert_eq!(recording.findings().await, expected);
    }

    async fn a_cut_object_and_a_foreign_one_are_named(store: storage::Store) {
        let recording = finished(store).await;
        let (cut, foreign) = (recording.segment(0), recording.segment(99));
        let bytes = recording.get(&cut).await;
        recording.put(&cut, bytes.slice(..100)).await;
        recording.put(&foreign, bytes.clone()).await;
        let what = What::Resized { expected: bytes.len() as u64, found: 100 };
        let expected = [found(Bucket::Media, cut, what), found(Bucket::Media, foreign, What::Extra)];
        assert_eq!(recording.findings().await, expected);
    }

    async fn a_second_generation_must_name_the_first(store: storage::Store) {
        let recording = finished(store).await;
        recording.publish(&recording.next()).await;
        assert_eq!(recording.findings().await, []);
        recording.publish(&Manifest { previous: Some("0".repeat(64)), ..recording.next() }).await;
        let broken = found(Bucket::Media, recording.path.manifest(2), What::BrokenChain);
        assert_eq!(recording.findings().await, [broken]);
    }

    async fn a_removed_newest_generation_is_a_finding(store: storage::Store) {
        let recording = finished(store).await;
        let (mut state, etag) = recordings::state(&recording.store, &recording.path).await.unwrap();
        state.generation = Some(2);
        recordings::swap(&recording.store, &recording.path, &state, &etag).await.unwrap();
        let gone = found(Bucket::Media, recording.path.manifest(2), What::Missing);
        assert_eq!(recording.findings().await, [gone]);
    }

    async fn an_altered_manifest_does_not_pass_for_signed(store: storage::Store) {
        let recording = finished(store).await;
        let shorter = Manifest { duration_ms: 1, ..recording.manifest.clone() };
        recording.put(&recording.path.manifest(1), shorter.to_bytes().into()).await;
        let findings = recording.findings().await;
        assert!(
            matches!(&findings[..], [Finding { key, what: What::BadSignature { .. }, .. }]
                if *key == recording.path.signature(1)),
            "{findings:?}"
        );
    }

    async fn another_signer_does_not_count(store: storage::Store) {
        let recording = finished(store).await;
        let other = tempfile::tempdir().unwrap();
        Institution::generate(other.path(), "mallory@uni.example").unwrap();
        let key = SigningKey::load(&other.path().join("signing.key")).unwrap();
        let sig = sign(&key, &recording.manifest.to_bytes());
        recording.put(&recording.path.signature(1), sig.into()).await;
        let findings = recording.findings().await;
        assert!(findings.len() == 1 && matches!(findings[0].what, What::BadSignature { .. }), "{findings:?}");
        recording.store.delete(Bucket::Media, &recording.path.signature(1)).await.unwrap();
        let gone = found(Bucket::Media, recording.path.signature(1), What::Missing);
        assert_eq!(recording.findings().await, [gone]);
    }

    async fn without_a_manifest_nothing_is_said_to_be_well(store: storage::Store) {
        let recording = finished(store).await;
        recording.put(&recording.path.manifest(1), Bytes::from_static(b"{}")).await;
        let unread = verify(&recording.store, &recording.path, &recording.signers).await;
        assert!(matches!(unread, Err(VerifyError::BadManifest(_))), "{unread:?}");
        recording.store.delete(Bucket::Media, &recording.path.manifest(1)).await.unwrap();
        let none = verify(&recording.store, &recording.path, &recording.signers).await;
        assert!(matches!(none, Err(VerifyError::NoManifest)), "{none:?}");
    }
}

/// Makes a stored object two hours old, in the folder that the server keeps it in.
fn age(server: &support::Server, key: &str) {
    let file = server.dir.path().join("s3/lectern-media").join(key);
    let then = SystemTime::now() - Duration::from_secs(2 * 3600);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_try_is_writing_is_noted_and_what_it_left_is_found_in_the_end() {
    for server in [support::embedded().await, support::versitygw().await] {
        let recording = finished(server.store().await).await;
        let (path, bytes) = (&recording.path, recording.get(&recording.segment(0)).await);
        let tries = [path.composite(2), path.transcript(1, "nb-NO", "json")];
        for key in &tries {
            recording.put(key, bytes.clone()).await;
        }
        let writer = path.key(&Writer::Text(1));
        recording.store.put(Bucket::Keys, &writer, bytes.clone(), Condition::None).await.unwrap();
        let report = verify(&recording.store, path, &recording.signers).await.unwrap();
        let young = |bucket, key: &String| found(bucket, key.clone(), What::Young);
        let [film, text] = tries.each_ref().map(|key| young(Bucket::Media, key));
        assert_eq!(report.findings, []);
        assert_eq!(report.notes, [film, text.clone(), young(Bucket::Keys, &writer)]);

        age(&server, &tries[0]);
        let report = verify(&recording.store, path, &recording.signers).await.unwrap();
        assert_eq!(report.findings, [found(Bucket::Media, tries[0].clone(), What::Extra)]);
        assert_eq!(report.notes, [text, young(Bucket::Keys, &writer)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_where_no_try_writes_is_found_at_once() {
    let server = support::embedded().await;
    let recording = finished(server.store().await).await;
    let (path, bytes) = (&recording.path, recording.get(&recording.segment(0)).await);
    let media = [
        // Beside the film that stands: its try has ended.
        path.composite(1).replace("composite", "other"),
        path.composite(2).replace("composite", "other"),
        path.composite(2).replace("0002", "2"),
        path.composite(2).replace("0002", "0002/0002"),
        path.transcript(1, "nb", "exe"),
        path.transcript(1, "nb", "json").replace("transcript", "script"),
        path.segment(2, &Rendition::video(), 0),
    ];
    let keys = [path.key(&Writer::Epoch(2)), path.key(&Writer::Text(1)).replace("t01", "t1")];
    for key in &media {
        recording.put(key, bytes.clone()).await;
    }
    for key in &keys {
        recording.store.put(Bucket::Keys, key, bytes.clone(), Condition::None).await.unwrap();
    }
    let report = verify(&recording.store, path, &recording.signers).await.unwrap();
    assert_eq!(report.notes, []);
    let planted = media.map(|key| (Bucket::Media, key)).into_iter().chain(keys.map(|key| (Bucket::Keys, key)));
    let mut expected: Vec<_> = planted.map(|(bucket, key)| found(bucket, key, What::Extra)).collect();
    expected.sort();
    assert_eq!(report.findings, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_ssh_keygen_accepts_the_manifest_and_refuses_a_flipped_byte() {
    let server = support::embedded().await;
    let recording = finished(server.store().await).await;
    let sig = recording.keys.path().join("manifest.sig");
    std::fs::write(&sig, recording.get(&recording.path.signature(1)).await).unwrap();
    let manifest = recording.get(&recording.path.manifest(1)).await.to_vec();
    let signers = recording.keys.path().join("allowed_signers");
    assert!(ssh_keygen_verifies(&signers, &sig, &manifest));
    for at in [0, manifest.len() / 2, manifest.len() - 1] {
        let mut flipped = manifest.clone();
        flipped[at] ^= 1;
        assert!(!ssh_keygen_verifies(&signers, &sig, &flipped), "byte {at}");
    }
}

fn ssh_keygen_verifies(signers: &Path, sig: &Path, manifest: &[u8]) -> bool {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", "rec-manifest-v1", "-I", "archive@uni.example", "-f"])
        .arg(signers)
        .arg("-s")
        .arg(sig)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), manifest).unwrap();
    child.wait().unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stock_ssh_keygen_signed_is_accepted_here() {
    let server = support::embedded().await;
    let recording = finished(server.store().await).await;
    let file = recording.keys.path().join("m");
    std::fs::write(&file, recording.manifest.to_bytes()).unwrap();
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "rec-manifest-v1", "-f"])
        .arg(recording.keys.path().join("signing.key"))
        .arg(&file)
        .status();
    assert!(signed.unwrap().success());
    let sig = std::fs::read(recording.keys.path().join("m.sig")).unwrap();
    recording.put(&recording.path.signature(1), sig.into()).await;
    assert_eq!(recording.findings().await, []);
}

/// A git signature by our own key is none for a manifest.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_was_made_for_something_else_does_not_count() {
    let server = support::embedded().await;
    let recording = finished(server.store().await).await;
    let file = recording.keys.path().join("m");
    std::fs::write(&file, recording.manifest.to_bytes()).unwrap();
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "git", "-f"])
        .arg(recording.keys.path().join("signing.key"))
        .arg(&file)
        .status();
    assert!(signed.unwrap().success());
    let sig = std::fs::read(recording.keys.path().join("m.sig")).unwrap();
    recording.put(&recording.path.signature(1), sig.into()).await;
    let findings = recording.findings().await;
    assert!(findings.len() == 1 && matches!(findings[0].what, What::BadSignature { .. }), "{findings:?}");
}

/// Another recording's segment and key, each whole and sealed to the same institution, under our names.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_from_another_recording_is_found_and_does_not_open() {
    let server = support::embedded().await;
    let recording = finished(server.store().await).await;
    let other = support::path("another");
    let to = Recipients::parse(&recording.manifest.recipients).unwrap();
    let seal = SealKey::create(&recording.store, &other, &Writer::Epoch(1), &to).await.unwrap();
    let identity = Identity::load(&recording.keys.path().join("pipeline.key")).unwrap();
    let ours = OpenKey::fetch(&recording.store, &recording.path, &Writer::Epoch(1), &identity).await.unwrap();
    let theirs = seal.seal(noise(1, 3000));
    recording.put(&recording.segment(2), theirs.bytes().clone()).await;
    // age adds a little of any length, so they may be as long as ours or not.
    let changed = |key: &str, bytes: &[u8]| {
        let listed = recording.manifest.objects.iter().find(|object| object.key == key).unwrap();
        match bytes.len() as u64 {
            size if size == listed.size => {
                What::Altered { expected: listed.sha256.clone(), found: hex::encode(Sha256::digest(bytes)) }
            }
            size => What::Resized { expected: listed.size, found: size },
        }
    };
    let segment = found(Bucket::Media, recording.segment(2), changed(&recording.segment(2), theirs.bytes()));
    assert_eq!(recording.findings().await, std::slice::from_ref(&segment));
    let opened = ours.open(&recording.get(&recording.segment(2)).await, 10_000);
    assert!(matches!(opened, Err(SealError::WrongIdentity { .. })), "{opened:?}");

    let (key, _) = recording.store.get(Bucket::Keys, &other.key(&Writer::Epoch(1)), 10_000).await.unwrap();
    let name = recording.path.key(&Writer::Epoch(1));
    recording.store.put(Bucket::Keys, &name, key.clone(), Condition::None).await.unwrap();
    let copied = found(Bucket::Keys, name.clone(), changed(&name, &key));
    assert_eq!(recording.findings().await, [segment, copied]);
    // Both together would open, which is why the manifest vouches for the key.
    let object = recording.manifest.objects.iter().find(|object| object.key == recording.segment(2)).unwrap();
    let listed = OpenKey::listed(&recording.store, &recording.path, &recording.manifest, object, &identity).await;
    assert!(matches!(listed, Err(SealError::Tampered { .. })), "{listed:?}");
}

#[test]
fn a_manifest_that_reaches_outside_or_contradicts_itself_is_refused() {
    let path = path("lecture");
    let key = path.composite(1);
    let base = Manifest {
        format: FORMAT.into(),
        recording: path.recording,
        tenant: path.tenant.clone(),
        generation: 1,
        created: WallTime(0),
        complete: true,
        duration_ms: 1,
        accounts: Vec::new(),
        lost: Vec::new(),
        gaps: Vec::new(),
        objects: vec![object(Bucket::Media, key.clone(), b"x", None, &Writer::Final(1))],
        previous: None,
        software: "test".into(),
        recipients: Vec::new(),
        language: "nb".into(),
        webinar: false,
    };
    let text = String::from_utf8(base.to_bytes()).unwrap();
    assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), base);
    let odd = [
        text.replace(FORMAT, "lectern-manifest-9"),
        text.replace("\"generation\": 1", "\"generation\": 0"),
        text.replace("\"generation\": 1", "\"generation\": 1, \"generation\": 1"),
        text.replace("\"size\": 1", "\"size\": -1"),
        text.replace("\"webinar\"", "\"extra\": 1, \"webinar\""),
        text.replace("final/0001", "../../other"),
        text.replace(&key, &key.replace("uni", "other")),
        text.replace(&format!("2026/{}", path.recording), "2026/x"),
        text.replace("\"sha256\": \"", "\"sha256\": \"zz"),
        text.replace("\"previous\": null", "\"previous\": \"abc\""),
    ];
    for (n, odd) in odd.iter().enumerate() {
        assert_ne!(*odd, text, "case {n} changes nothing");
        assert!(Manifest::parse(odd.as_bytes()).is_err(), "case {n}");
    }
    let twice = Manifest { objects: [base.objects.clone(), base.objects.clone()].concat(), ..base };
    assert!(Manifest::parse(&twice.to_bytes()).is_err());
}

/// Whatever a finalizer forgot: each number is stored or named, or it is a finding.
#[tokio::test]
async fn a_segment_that_is_neither_stored_nor_named_is_found() {
    let server = support::embedded().await;
    let store = server.store().await;
    let recording = finished(store).await;
    let sum = |missing| Some(Sum { epochs: 1, segments: 6 + missing, missing });
    let report = recording.report().await;
    assert_eq!((report.findings, report.sum), (Vec::new(), sum(0)));

    let account = |made: u64, missing: Vec<Missing>| Manifest {
        accounts: vec![Account { made, missing, ..recording.manifest.accounts[0].clone() }],
        ..recording.next()
    };
    recording.publish(&account(8, Vec::new())).await;
    let report = recording.report().await;
    let folder = recording.path.segment(1, &Rendition::video(), 0).replace("00000000.m4s.age", "");
    let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    let why = "segments of video in epoch 1, of which 8 were made: 6 to 7 are neither stored nor named as missing";
    assert_eq!(found, [format!("{folder}: {why}")]);

    let named = Missing { first: 6, last: 7, why: "was made and never stored".into() };
    let again = recording_of(account(8, vec![named]), &report.manifest);
    recording.publish(&again).await;
    let report = recording.report().await;
    assert_eq!((report.findings, report.sum), (Vec::new(), sum(2)));

    let without = Manifest { accounts: Vec::new(), ..recording_of(recording.next(), &report.manifest) };
    recording.publish(&without).await;
    let report = recording.report().await;
    assert_eq!((report.findings, report.sum), (Vec::new(), None), "as manifests were before anybody counted");
}

/// The same as a generation after `before`.
fn recording_of(manifest: Manifest, before: &Manifest) -> Manifest {
    let previous = Some(hex::encode(Sha256::digest(before.to_bytes())));
    Manifest { generation: before.generation + 1, previous, ..manifest }
}
