//! What there is to show, read from the store: records, proven manifests, titles, and the objects behind a page.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Sections;
use claim::{Phase, Record};
use events::{RecordingId, TenantId};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use storage::manifest::{Object, PublishError, Signers, published};
use storage::seal::SealError;
use storage::store::{Bucket, StoreError};
use storage::{Description, Identity, Manifest, OpenKey, RecordingPath, SealedReader, Store, Writer, recordings};

use crate::Config;
use crate::cache::Cache;
use crate::trouble::Trouble;

/// Recordings opened at once for one page.
const AT_ONCE: usize = 8;

/// A title and a few hundred participants.
const LONGEST_DESCRIPTION: u64 = 4 << 20;

/// A day of talk with every word's JSON.
const LONGEST_TEXT: u64 = 64 << 20;

/// The list of records, at most so old: it is one request to the store per recording.
const LIST_FRESH: Duration = Duration::from_secs(5);

/// The store and the keys to it.
#[derive(Debug)]
pub struct Catalogue {
    store: Store,
    identity: Identity,
    signers: Signers,
    tenant: TenantId,
    pub(crate) origin_url: Option<String>,
    records: Cache<(), Arc<Vec<(RecordingPath, Record)>>>,
    titles: Cache<(RecordingId, u32), Option<String>>,
    manifests: Cache<(RecordingId, u32), Result<Arc<Manifest>, Doubt>>,
    keys: Cache<(RecordingId, Writer), OpenKey>,
}

/// Why a finished recording is not played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Its manifest is missing, altered, or signed by nobody we know.
    Unproven,
    /// The store did not answer.
    Unreachable,
}

/// A recording as a page shows it. `title` is personal data: it is shown, never logged.
#[derive(Clone)]
pub(crate) struct Card {
    pub(crate) path: RecordingPath,
    pub(crate) record: Record,
    pub(crate) title: Option<String>,
    /// None while there is none to expect.
    pub(crate) manifest: Option<Result<Arc<Manifest>, Doubt>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    id: TenantId,
}

impl Catalogue {
    pub(crate) async fn open(config: &Config, sections: &Sections) -> anyhow::Result<Self> {
        let tenant: Tenant = sections.section("tenant")?;
        let store: storage::store::Config = sections.section("store")?;
        let seal: storage::seal::Config = sections.section("seal")?;
        let Some(identity) = seal.pipeline_identity_file else {
            bail!("[seal].pipeline_identity_file is not set; without it no recording can be opened");
        };
        let Some(signers) = seal.signers_file else {
            bail!("[seal].signers_file is not set; without it no recording can be proven");
        };
        let identity = Identity::load(&identity).context("[seal].pipeline_identity_file")?;
        let signers = Signers::load(&signers).context("[seal].signers_file")?;
        let store = Store::connect(&store).await.context("[store]")?;
        Ok(Self::new(store, identity, signers, tenant.id, config))
    }

    #[must_use]
    pub fn new(store: Store, identity: Identity, signers: Signers, tenant: TenantId, config: &Config) -> Self {
        let fresh = Duration::from_secs(config.cache_seconds);
        Self {
            store,
            identity,
            signers,
            tenant,
            origin_url: config.origin_url.clone(),
            records: Cache::new(fresh.min(LIST_FRESH)),
            titles: Cache::new(fresh),
            manifests: Cache::new(fresh),
            keys: Cache::new(fresh),
        }
    }

    /// Recordings `skip..skip + count`, the newest first, and how many there are.
    pub(crate) async fn page(&self, skip: usize, count: usize) -> Result<(Vec<Card>, usize), StoreError> {
        let records = match self.records.get(&()) {
            Some(records) => records,
            None => {
                let found = recordings::list(&self.store, Some(&self.tenant)).await?;
                let mut found: Vec<_> = found.into_iter().map(|(path, record, _)| (path, record)).collect();
                found.sort_by_key(|(path, record)| (std::cmp::Reverse(record.created), path.recording));
                self.records.put((), Arc::new(found))
            }
        };
        let shown: Vec<_> = records.iter().skip(skip).take(count).cloned().collect();
        let cards = stream::iter(shown).map(|(path, record)| self.card(path, record)).buffered(AT_ONCE).collect().await;
        Ok((cards, records.len()))
    }

    /// One recording of this tenant.
    pub(crate) async fn one(&self, recording: RecordingId) -> Result<Card, Trouble> {
        let found = recordings::find(&self.store, recording).await?;
        let (path, record, _) = found.filter(|(path, _, _)| path.tenant == self.tenant).ok_or(Trouble::NoSuchPage)?;
        Ok(self.card(path, record).await)
    }

    async fn card(&self, path: RecordingPath, record: Record) -> Card {
        let title = self.title(&path, &record).await;
        let manifest = match (record.phase, record.generation) {
            (Phase::Ready | Phase::Partial, Some(generation)) => Some(self.manifest(&path, generation).await),
            (Phase::Ready | Phase::Partial, None) => Some(Err(Doubt::Unproven)),
            _ => None,
        };
        Card { path, record, title, manifest }
    }

    async fn manifest(&self, path: &RecordingPath, generation: u32) -> Result<Arc<Manifest>, Doubt> {
        let key = (path.recording, generation);
        if let Some(known) = self.manifests.get(&key) {
            return known;
        }
        let read = match published(&self.store, path, generation, &self.signers).await {
            Ok(Some(found))
                if found.manifest.recording == path.recording && found.manifest.generation == generation =>
            {
                Ok(Arc::new(found.manifest))
            }
            Ok(_) => Err(Doubt::Unproven),
            Err(PublishError::Store(why)) => {
                tracing::warn!(recording = %path.recording, %why, "cannot read a manifest");
                return Err(Doubt::Unreachable);
            }
            Err(why) => {
                tracing::error!(recording = %path.recording, generation, %why, "a manifest does not prove itself");
                Err(Doubt::Unproven)
            }
        };
        self.manifests.put(key, read)
    }

    /// The title from the newest epoch that has one.
    async fn title(&self, path: &RecordingPath, record: &Record) -> Option<String> {
        let key = (path.recording, record.epoch);
        if let Some(known) = self.titles.get(&key) {
            return known;
        }
        let described = match self.store.folders(Bucket::Media, &format!("{}meta/", path.prefix())).await {
            Ok(folders) => folders,
            Err(why) => {
                tracing::warn!(recording = %path.recording, %why, "cannot look for descriptions");
                return None;
            }
        };
        // Of thousands of epochs few may have left one.
        let mut epochs: Vec<u32> = described.iter().filter_map(|epoch| epoch.parse().ok()).collect();
        epochs.sort_unstable();
        for epoch in epochs.into_iter().rev().filter(|epoch| *epoch <= record.epoch) {
            match self.description(path, epoch).await {
                Ok(Some(Description { title: Some(title), .. })) if !title.trim().is_empty() => {
                    return self.titles.put(key, Some(title));
                }
                Ok(_) => {}
                Err(why) => {
                    tracing::warn!(recording = %path.recording, epoch, %why, "cannot read a description");
                    return None;
                }
            }
        }
        self.titles.put(key, None)
    }

    async fn description(&self, path: &RecordingPath, epoch: u32) -> Result<Option<Description>, SealError> {
        let key = path.description(epoch);
        let sealed = match self.store.get(Bucket::Media, &key, LONGEST_DESCRIPTION).await {
            Ok((sealed, _)) => sealed,
            Err(StoreError::Missing { .. }) => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let open = OpenKey::fetch(&self.store, path, &Writer::Epoch(epoch), &self.identity).await?;
        let plain = open.open(&sealed, LONGEST_DESCRIPTION)?;
        Ok(serde_json::from_slice(&plain).ok())
    }

    /// A reader of what the manifest names, of the size that it names.
    pub(crate) async fn reader(&self, card: &Card, object: &Object) -> Result<SealedReader, SealError> {
        let open = self.opener(card, object).await?;
        SealedReader::open_sized(&self.store, &object.key, object.size, &open).await
    }

    /// A text object, whole.
    pub(crate) async fn text(&self, card: &Card, object: &Object) -> Result<Vec<u8>, SealError> {
        let open = self.opener(card, object).await?;
        let (sealed, _) = self.store.get(Bucket::Media, &object.key, LONGEST_TEXT).await?;
        open.open(&sealed, LONGEST_TEXT)
    }

    /// The key that the manifest vouches for. A film and a text have writers of their own, so what is known of theirs
    /// was vouched for.
    async fn opener(&self, card: &Card, object: &Object) -> Result<OpenKey, SealError> {
        let unnamed = || SealError::Malformed { what: object.key.clone(), why: "no manifest names it" };
        let writer: Writer = object.writer.parse().map_err(|_| unnamed())?;
        let key = (card.path.recording, writer);
        if let Some(known) = self.keys.get(&key) {
            return Ok(known);
        }
        let manifest = card.manifest().ok_or_else(unnamed)?;
        let open = OpenKey::listed(&self.store, &card.path, manifest, object, &self.identity).await?;
        Ok(self.keys.put(key, open))
    }
}

impl Card {
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()?.as_ref().ok().map(Arc::as_ref)
    }

    /// The newest composite.
    pub(crate) fn movie(&self) -> Option<&Object> {
        self.newest("final/", "/composite.mp4.age")
    }

    /// The newest transcript as `json`, `vtt`, `srt` or `txt`.
    pub(crate) fn transcript(&self, extension: &str) -> Option<&Object> {
        self.newest("text/", &format!(".{extension}.age"))
    }

    /// Generations are numbered with leading zeros, so the newest key is the greatest.
    fn newest(&self, folder: &str, end: &str) -> Option<&Object> {
        let start = self.path.prefix() + folder;
        let objects = self.manifest()?.objects.iter().filter(|object| object.bucket == Bucket::Media);
        objects
            .filter(|object| object.key.starts_with(&start) && object.key.ends_with(end))
            .max_by_key(|object| &object.key)
    }
}
