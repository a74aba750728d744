//! Reads a recording back, byte for byte, and names what is wrong with it. Needs no secret key, and changes nothing.
//!
//! The chain of proof: a signer whom we believe signed the newest manifest; it names the hash of the one before, and
//! the size and hash of every object, key files among them. It accounts for every segment that left an encoder; a number
//! that is neither stored nor named as missing is a finding. What lies in the recording's folders beside that is
//! named, too: as a finding, or for an hour as a note when it lies where a try would write it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use media::WallTime;
use sha2::{Digest, Sha256};

use crate::manifest::{LONGEST, Manifest, Object, SignError, Signers, Sum, verify_signature};
use crate::path::{RecordingPath, Writer};
use crate::recordings;
use crate::store::{Bucket, Store, StoreError};

/// Objects read at once.
const AT_ONCE: usize = 4;

/// An SSH signature has 300 bytes.
const LONGEST_SIGNATURE: u64 = 16 << 10;

/// Manifests that may be missing from a chain before what comes after them is taken for a stranger's.
const MISSING: u32 = 16;

/// From a try's first object to its manifest lie seconds; a try that was too late takes its objects away as it ends.
/// What is older than this has nobody who will.
const YOUNG: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The newest that could be read.
    pub manifest: Manifest,
    /// Empty when all is as it was signed. In order of bucket and key.
    pub findings: Vec<Finding>,
    /// What no manifest names and a try may just be writing: [`What::Young`] alone. No fault yet; whatever still lies
    /// there in an hour is a finding.
    pub notes: Vec<Finding>,
    /// How many objects were read, and how many bytes of them.
    pub objects: usize,
    pub bytes: u64,
    /// What was made and what became of it; none where the manifest is from before anybody counted.
    pub sum: Option<Sum>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub bucket: Bucket,
    pub key: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum What {
    Missing,
    Resized {
        expected: u64,
        found: u64,
    },
    /// The hashes, in hex.
    Altered {
        expected: String,
        found: String,
    },
    /// Holds what the manifest says of another object.
    Swapped {
        with: String,
    },
    /// In the recording's folders, and not in the manifest.
    Extra,
    /// As `Extra`, where a finalizer or a transcriber would put it, and put there within the hour.
    Young,
    /// Not signed by anybody we believe, or changed since.
    BadSignature {
        why: String,
    },
    /// A manifest that does not name the one before it by its hash.
    BrokenChain,
    /// Segments that the manifest neither stores nor names, in words.
    Unaccounted {
        why: String,
    },
    /// A manifest that cannot be read, or speaks of another recording.
    BadManifest {
        why: String,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, what, .. } = self;
        match what {
            What::Missing => write!(f, "{key} is missing"),
            What::Resized { expected, found } => write!(f, "{key} has {found} bytes, not {expected}"),
            What::Altered { .. } => write!(f, "{key} was altered"),
            What::Swapped { with } => write!(f, "{key} holds what belongs to {with}"),
            What::Extra => write!(f, "{key} is not in the manifest"),
            What::Young => write!(f, "{key} is being written, or was left by a try; look again in an hour"),
            What::BadSignature { why } => write!(f, "{key} does not prove its manifest: {why}"),
            What::BrokenChain => write!(f, "{key} does not follow from the generation before it"),
            What::Unaccounted { why } => write!(f, "{key}: {why}"),
            What::BadManifest { why } => write!(f, "{key} is no manifest of this recording: {why}"),
        }
    }
}

/// Nothing could be said at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nor does its record know of one.
    #[error("the recording has no manifest: it was not finalized")]
    NoManifest,
    #[error("no manifest of the recording can be read; the newest fails with: {0}")]
    BadManifest(String),
    #[error("could not read the recording")]
    Store(#[from] StoreError),
}

/// Reads everything that the newest manifest names, and says what is not as it was signed.
///
/// # Errors
/// When no manifest can be read, or the store does not answer; a wrong object is a finding, not an error.
pub async fn verify(store: &Store, path: &RecordingPath, signers: &Signers) -> Result<Report, VerifyError> {
    let mut lying: BTreeMap<(Bucket, String), WallTime> = BTreeMap::new();
    for (bucket, prefix) in [(Bucket::Media, path.prefix()), (Bucket::Keys, path.keys_prefix())] {
        lying.extend(store.list(bucket, &prefix).await?.into_iter().map(|entry| ((bucket, entry.key), entry.modified)));
    }
    let mut findings = Findings::default();
    let manifest = chain(store, path, signers, &lying, &mut findings).await?;

    let by_hash: HashMap<&str, &Object> =
        manifest.objects.iter().map(|object| (object.sha256.as_str(), object)).collect();
    let mut reading = stream::iter(&manifest.objects)
        .map(|object| async move { look(store, object).await.map(|found| (object, found)) })
        .buffer_unordered(AT_ONCE);
    let mut bytes = 0;
    while let Some((object, found)) = reading.try_next().await? {
        lying.remove(&(object.bucket, object.key.clone()));
        let Some((size, sha256)) = found else {
            findings.add(object.bucket, &object.key, What::Missing);
            continue;
        };
        bytes += size;
        if sha256 == object.sha256 && size == object.size {
            continue;
        }
        let what = match by_hash.get(sha256.as_str()) {
            Some(other) if other.key != object.key => What::Swapped { with: other.key.clone() },
            _ if size != object.size => What::Resized { expected: object.size, found: size },
            _ => What::Altered { expected: object.sha256.clone(), found: sha256 },
        };
        findings.add(object.bucket, &object.key, what);
    }
    drop(reading);
    for (folder, why) in manifest.unaccounted() {
        let key = if folder.is_empty() { path.manifest(manifest.generation) } else { folder };
        findings.add(Bucket::Media, &key, What::Unaccounted { why });
    }

    lying.remove(&(Bucket::Media, path.state()));
    for generation in 1..=manifest.generation {
        lying.remove(&(Bucket::Media, path.manifest(generation)));
        lying.remove(&(Bucket::Media, path.signature(generation)));
    }
    let writers: HashSet<&str> = manifest.objects.iter().map(|object| object.writer.as_str()).collect();
    let now = WallTime::from_system(SystemTime::now());
    let mut notes = Findings::default();
    for ((bucket, key), modified) in lying {
        // A try whose manifest stands writes no more. A store's clock that goes wrong, either way, excuses nothing.
        let unsigned = tries(path, bucket, &key).is_some_and(|writer| !writers.contains(writer.to_string().as_str()));
        let young = now.since(modified).max(modified.since(now)) < YOUNG;
        if unsigned && young {
            notes.add(bucket, &key, What::Young);
        } else {
            findings.add(bucket, &key, What::Extra);
        }
    }
    let objects = manifest.objects.len();
    let mut findings = findings.0;
    findings.sort();
    findings.dedup();
    let sum = manifest.sum();
    Ok(Report { manifest, findings, notes: notes.0, objects, bytes, sum })
}

/// The try of a finalizer or a transcriber that writes at this key; none where no try does.
fn tries(path: &RecordingPath, bucket: Bucket, key: &str) -> Option<Writer> {
    if bucket == Bucket::Keys {
        let writer = key.strip_prefix(&path.keys_prefix())?.strip_suffix(".key.age")?.parse().ok()?;
        return Some(writer).filter(|writer| !matches!(writer, Writer::Epoch(_)));
    }
    let mut parts = key.strip_prefix(&path.prefix())?.splitn(3, '/');
    let (folder, number, name) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    match folder {
        "final" => Some(Writer::Final(number)).filter(|_| key == path.composite(number)),
        "text" => {
            let mut words = name.splitn(3, '.');
            let (_, language, extension) = (words.next()?, words.next()?, words.next()?.strip_suffix(".age")?);
            let known = ["json", "vtt", "srt", "txt"].contains(&extension);
            Some(Writer::Text(number)).filter(|_| known && key == path.transcript(number, language, extension))
        }
        _ => None,
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, bucket: Bucket, key: &str, what: What) {
        self.0.push(Finding { bucket, key: key.into(), what });
    }
}

async fn look(store: &Store, object: &Object) -> Result<Option<(u64, String)>, StoreError> {
    match store.fingerprint(object.bucket, &object.key).await {
        Ok(found) => Ok(Some((found.size, found.sha256_hex()))),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Checks every generation's manifest and gives the newest that can be read.
async fn chain(
    store: &Store,
    path: &RecordingPath,
    signers: &Signers,
    lying: &BTreeMap<(Bucket, String), WallTime>,
    findings: &mut Findings,
) -> Result<Manifest, VerifyError> {
    let media = |key: String| (Bucket::Media, key);
    let listed = lying.keys().filter(|(bucket, _)| *bucket == Bucket::Media);
    let listed: Vec<u32> = listed.filter_map(|(_, key)| path.generation_of(key)).collect();
    // Taking away the newest manifest would roll the recording back; its record remembers.
    let published = match recordings::state(store, path).await {
        Ok((record, _)) => record.generation.unwrap_or(0),
        Err(StoreError::Missing { .. } | StoreError::BadRecord { .. }) => 0,
        Err(other) => return Err(other.into()),
    };

    // A number far from all others is not of the chain: it is named as extra.
    let most = u32::try_from(listed.len()).unwrap_or(u32::MAX).saturating_add(MISSING);
    let published = published.min(most);
    let newest = listed.into_iter().filter(|generation| *generation <= most).max();
    let newest = newest.max((published > 0).then_some(published)).ok_or(VerifyError::NoManifest)?;

    let mut manifests: BTreeMap<u32, Manifest> = BTreeMap::new();
    let (mut before, mut refused) = (None, "it is missing".to_owned());
    for generation in 1..=newest {
        let (key, sig) = (path.manifest(generation), path.signature(generation));
        if !lying.contains_key(&media(key.clone())) {
            findings.add(Bucket::Media, &key, What::Missing);
            before = None;
            continue;
        }
        let (bytes, _) = store.get(Bucket::Media, &key, LONGEST).await?;
        match signature(store, signers, &sig, &bytes).await? {
            None => findings.add(Bucket::Media, &sig, What::Missing),
            Some(Err(why)) => findings.add(Bucket::Media, &sig, What::BadSignature { why: why.to_string() }),
            Some(Ok(())) => {}
        }
        match read(path, generation, &bytes) {
            Ok(manifest) => {
                // A generation whose forerunner is missing is no further finding.
                if (generation == 1 || before.is_some()) && manifest.previous != before {
                    findings.add(Bucket::Media, &key, What::BrokenChain);
                }
                manifests.insert(generation, manifest);
            }
            Err(why) => {
                refused.clone_from(&why);
                findings.add(Bucket::Media, &key, What::BadManifest { why });
            }
        }
        before = Some(hex::encode(Sha256::digest(&bytes)));
    }
    manifests.pop_last().map(|(_, manifest)| manifest).ok_or(VerifyError::BadManifest(refused))
}

async fn signature(
    store: &Store,
    signers: &Signers,
    key: &str,
    manifest: &[u8],
) -> Result<Option<Result<(), SignError>>, StoreError> {
    match store.get(Bucket::Media, key, LONGEST_SIGNATURE).await {
        Ok((text, _)) => {
            let text = String::from_utf8_lossy(&text);
            Ok(Some(verify_signature(signers, manifest, &text)))
        }
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(StoreError::TooLong { .. }) => Ok(Some(Err(SignError::NotASignature))),
        Err(other) => Err(other),
    }
}

fn read(path: &RecordingPath, generation: u32, bytes: &[u8]) -> Result<Manifest, String> {
    let manifest = Manifest::parse(bytes).map_err(|why| why.to_string())?;
    if manifest.is_of(path, generation) { Ok(manifest) } else { Err("it is another's".into()) }
}
