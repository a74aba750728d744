//! The questions: what is put, raced for, read and removed to find out what one bucket can do.

use bytes::Bytes;
use futures_util::future::join_all;

use super::super::{Bucket, Condition, Store, StoreError, patience, timed};
use super::{Capability, Verdict};

const CONDITIONS: &str = "use a store with atomic conditional writes, such as AWS S3, a recent Ceph or MinIO, versitygw \
                          from 1.8.0 on, or the one built into `lectern up`";
const SINGLE: &str = "; if a single worker will ever use it, set store.single_worker = true";
const CONSISTENT: &str =
    "use a store that gives back at once what was put last, such as AWS S3, Ceph, MinIO or versitygw";
const RIGHTS: &str = "give our key the right to do so, or use another store";
const VERSIONS: &str = "switch versions on if what is removed by mistake is to be had back";
const LOCKS: &str = "make the bucket with object lock if objects are to be held against deletion";

/// Writers that race for the same object, and how often. Some stores check a condition first and write later, which
/// shows in a race alone, and not in each. Of 50 checks of versitygw 1.7.0 (its pull request 2288) these numbers
/// refuse 49; they cost 4 MB and, on a laptop, most of a second.
const WRITERS: u8 = 16;
const ROUNDS: u8 = 12;

/// Long enough to leave time between a check and its write.
const BODY: usize = 300 * 36;

/// What the store did, good or bad.
enum Found {
    Well(String),
    Ill(String),
}

use Found::{Ill, Well};

struct Asking<'a> {
    store: &'a Store,
    bucket: Bucket,
    key: String,
    verdicts: Vec<Verdict>,
}

/// All verdicts on one bucket.
///
/// # Errors
/// When the store does not answer, or has no such bucket for us.
pub(super) async fn ask(store: &Store, bucket: Bucket) -> Result<Vec<Verdict>, StoreError> {
    let key = format!("probe/{}", uuid::Uuid::new_v4());
    let mut asking = Asking { store, bucket, key, verdicts: Vec::new() };
    let asked = asking.all().await;
    // What was put goes away whatever was found; what was found matters more than that.
    for key in [asking.key.clone(), asking.parts()] {
        let removed = store.delete(bucket, &key).await;
        if asked.is_ok()
            && let Err(why) = removed
            && why.is_passing()
        {
            return Err(why);
        }
    }
    asked.map(|()| asking.verdicts)
}

impl Asking<'_> {
    fn parts(&self) -> String {
        format!("{}.parts", self.key)
    }

    async fn all(&mut self) -> Result<(), StoreError> {
        let created = self.race(&Condition::Absent, "create").await.map_err(|why| self.advise(why))?;
        self.note(Capability::CreateOnce, created.map(|(found, _)| found))?;
        let first = self.put("first").await.map_err(|why| self.advise(why))?;

        let replaced = self.replace(first.clone()).await;
        self.note(Capability::ReplaceOnce, replaced)?;
        let stale = self.stale(first).await;
        self.note(Capability::RefuseStale, stale)?;
        let read = self.read_back().await;
        self.note(Capability::ReadBack, read)?;
        let range = self.range().await;
        self.note(Capability::Range, range)?;
        let listed = self.listed().await;
        self.note(
            Capability::List,
            listed.map(|there| match there {
                true => Well("lists an object right after it was put".into()),
                false => Ill("does not list an object right after it was put".into()),
            }),
        )?;
        if self.bucket == Bucket::Media {
            let parts = self.in_parts().await;
            self.note(Capability::Multipart, parts)?;
        }
        let deleted = self.delete().await;
        self.note(Capability::Delete, deleted)?;
        let (versions, lock) = (self.versions().await, self.lock().await);
        self.note(Capability::Versions, Ok(versions))?;
        self.note(Capability::Lock, Ok(lock))
    }

    /// A refusal is a verdict, too; a store that does not answer has none.
    fn note(&mut self, capability: Capability, found: Result<Found, StoreError>) -> Result<(), StoreError> {
        let (ok, says, refused) = match found {
            Ok(Well(says)) => (true, says, false),
            Ok(Ill(says)) => (false, says, false),
            Err(why) if why.is_passing() => return Err(why),
            Err(StoreError::Refused { code, .. }) => (false, format!("refuses to ({code})"), true),
            Err(why) => (false, format!("fails: {why}"), true),
        };
        let single = self.store.inner.single_worker;
        let required = match capability {
            // Conditions are sent in any case: one that is refused is no use to anybody.
            conditional if conditional.is_condition() => refused || !single,
            Capability::Versions | Capability::Lock => false,
            _ => true,
        };
        let what_to_do = match capability {
            _ if ok => String::new(),
            conditional if conditional.is_condition() && refused => CONDITIONS.into(),
            conditional if conditional.is_condition() => format!("{CONDITIONS}{}", if single { "" } else { SINGLE }),
            Capability::ReadBack | Capability::Range | Capability::List => CONSISTENT.into(),
            Capability::Versions => VERSIONS.into(),
            Capability::Lock => LOCKS.into(),
            _ => RIGHTS.into(),
        };
        let (bucket, name) = (self.bucket, self.store.name(self.bucket).to_owned());
        self.verdicts.push(Verdict { bucket, name, capability, ok, required, says, what_to_do });
        Ok(())
    }

    async fn put(&self, text: &'static str) -> Result<String, StoreError> {
        let body = Bytes::from_static(text.as_bytes());
        Ok(self.store.put(self.bucket, &self.key, body, Condition::None).await?.etag)
    }

    /// Several writers at once, of which one may win. The outer error ends the probe, the inner is a verdict. With the
    /// verdict, the winner's ETag.
    async fn race(&self, condition: &Condition, what: &str) -> Result<Result<(Found, String), StoreError>, StoreError> {
        // Different bytes each, so that no two versions can share an ETag that is made of content.
        let tries = (0..WRITERS).map(|_| {
            let body = Bytes::from(uuid::Uuid::new_v4().to_string().repeat(BODY / 36));
            self.store.put(self.bucket, &self.key, body, condition.clone())
        });
        let mut won = Vec::new();
        for outcome in join_all(tries).await {
            match outcome {
                Ok(receipt) => won.push(receipt.etag),
                Err(StoreError::Exists { .. } | StoreError::Conflict { .. }) => {}
                Err(StoreError::Refused { doing, code, source }) if is_unknown(&code) => {
                    return Ok(Err(StoreError::Refused { doing, code, source }));
                }
                Err(other) => return Err(other),
            }
        }
        let found = match won.as_slice() {
            [etag] if etag.is_empty() => Ill("gives no ETag".into()),
            [_] => Well(format!("lets one of {WRITERS} writers {what} an object")),
            _ => Ill(format!("let {} of {WRITERS} writers {what} the same object", won.len())),
        };
        Ok(Ok((found, won.pop().unwrap_or_default())))
    }

    async fn replace(&self, mut current: String) -> Result<Found, StoreError> {
        let mut found = Ill("gives no ETag".into());
        for _ in 0..ROUNDS {
            if current.is_empty() {
                break;
            }
            (found, current) = self.race(&Condition::Match(current), "replace one version of").await??;
            if matches!(found, Ill(_)) {
                break;
            }
        }
        Ok(found)
    }

    async fn stale(&self, first: String) -> Result<Found, StoreError> {
        if first.is_empty() {
            return Ok(Ill("gives no ETag".into()));
        }
        self.put("second").await?;
        let stale = self.store.put(self.bucket, &self.key, Bytes::from_static(b"stale"), Condition::Match(first));
        match stale.await {
            Err(StoreError::Conflict { .. }) => {
                Ok(Well("refuses to overwrite what is newer than If-Match names".into()))
            }
            Ok(_) => Ok(Ill("overwrites an object although If-Match names an older one".into())),
            Err(other) => Err(other),
        }
    }

    async fn read_back(&self) -> Result<Found, StoreError> {
        let etag = self.put("third version").await?;
        match self.store.get(self.bucket, &self.key, 64).await? {
            (found, _) if found != "third version" => Ok(Ill("gives back something else than was put".into())),
            (_, told) if told != etag => Ok(Ill("tells another ETag when reading than when writing".into())),
            _ => Ok(Well("gives back what was put last".into())),
        }
    }

    async fn range(&self) -> Result<Found, StoreError> {
        let found = self.store.get_range(self.bucket, &self.key, 1..4).await?;
        let well = found == "hir";
        Ok(if well {
            Well("gives the bytes that a range asks for".into())
        } else {
            Ill("gives other bytes than a range asks for".into())
        })
    }

    async fn listed(&self) -> Result<bool, StoreError> {
        Ok(self.store.list(self.bucket, &self.key).await?.iter().any(|entry| entry.key == self.key))
    }

    /// One part, for the last may be short.
    async fn in_parts(&self) -> Result<Found, StoreError> {
        let mut upload = self.store.upload(self.bucket, &self.parts()).await?;
        upload.write(Bytes::from_static(b"a part")).await?;
        upload.send_rest().await?;
        // It is read back there, and another object is an error.
        upload.finish().await?;
        Ok(Well("puts together what comes in parts".into()))
    }

    async fn delete(&self) -> Result<Found, StoreError> {
        self.store.delete(self.bucket, &self.key).await?;
        match self.store.get(self.bucket, &self.key, 64).await {
            Err(StoreError::Missing { .. }) if !self.listed().await? => Ok(Well("forgets what is deleted".into())),
            Err(StoreError::Missing { .. }) | Ok(_) => Ok(Ill("still has what was just deleted".into())),
            Err(other) => Err(other),
        }
    }

    async fn versions(&self) -> Found {
        let asked = self.store.inner.client.get_bucket_versioning().bucket(self.store.name(self.bucket)).send();
        match timed(patience(0), || "ask for versions".into(), "", asked).await {
            Ok(told) if told.status.as_ref().is_some_and(|status| status.as_str() == "Enabled") => {
                Well("keeps earlier versions".into())
            }
            Ok(_) => Ill("keeps no earlier versions".into()),
            Err(_) => Ill("does not tell whether it keeps earlier versions".into()),
        }
    }

    async fn lock(&self) -> Found {
        let bucket = self.store.name(self.bucket);
        let asked = self.store.inner.client.get_object_lock_configuration().bucket(bucket).send();
        match timed(patience(0), || "ask for locks".into(), "", asked).await {
            Ok(told) if told.object_lock_configuration.is_some() => Well("can lock objects".into()),
            Ok(_) | Err(_) => Ill("cannot lock objects, or does not tell".into()),
        }
    }

    /// Says what to do about the commonest refusals.
    fn advise(&self, why: StoreError) -> StoreError {
        let StoreError::Refused { code, .. } = &why else { return why };
        let name = self.store.name(self.bucket);
        match code.as_str() {
            "NoSuchBucket" => StoreError::Unfit(format!(
                "the bucket {name} does not exist; create it, or set store.create_buckets = true"
            )),
            "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "403" => StoreError::Unfit(format!(
                "the store refuses our keys for bucket {name} ({code}); check store.access_key_file and \
                 store.secret_key_file, and that the key may read, write, list and delete there"
            )),
            _ => why,
        }
    }
}

/// The store does not know what was asked of it.
fn is_unknown(code: &str) -> bool {
    matches!(code, "NotImplemented" | "501" | "InvalidArgument" | "InvalidRequest")
}
