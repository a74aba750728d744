//! Proves that a store can carry recordings: both buckets there, conditions honoured, bytes given back as they were put.
//! Asks at the start, every hour, and for an operator (`lectern store probe`).
//!
//! A store that answers 200 to a condition that does not hold is worse than one that refuses it: two recorders would
//! each believe to hold the same recording (DESIGN D2). Where a single worker uses the store, nobody is there to race
//! with, and [`super::Config::single_worker`] makes a warning of it.

mod ask;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Bucket, Store, StoreError};

/// How often a recorder asks again: an upgrade of the store must not go unnoticed for a lecture.
pub const HOURLY: Duration = Duration::from_secs(3600);

/// How much oftener a store is asked that was found unfit, so that what a person mends is soon used again.
const OFTENER: u32 = 12;

/// One thing that a store can do or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// `If-None-Match: *`, with several writers at once.
    CreateOnce,
    /// `If-Match`, with several writers at once.
    ReplaceOnce,
    /// `If-Match` with an ETag of an earlier version.
    RefuseStale,
    /// What was put last is what is read next.
    ReadBack,
    Range,
    List,
    /// Parts put together. Without a condition: nothing that is written in parts has two writers.
    Multipart,
    Delete,
    /// Earlier versions are kept. Nothing of ours needs it.
    Versions,
    /// Objects can be held. Nothing of ours needs it.
    Lock,
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::CreateOnce => "create only what is absent",
            Self::ReplaceOnce => "replace only what was read",
            Self::RefuseStale => "refuse an outdated ETag",
            Self::ReadBack => "read what was just put",
            Self::Range => "read a range",
            Self::List => "list what was just put",
            Self::Multipart => "put in parts",
            Self::Delete => "delete",
            Self::Versions => "keep versions",
            Self::Lock => "lock objects",
        })
    }
}

/// What was found out about one capability of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub bucket: Bucket,
    /// The bucket's name at the store.
    pub name: String,
    pub capability: Capability,
    pub ok: bool,
    /// Whether recordings cannot do without.
    pub required: bool,
    /// What the store did, as what follows "the store".
    pub says: String,
    /// Empty where all is well.
    pub what_to_do: String,
}

/// All verdicts: bucket by bucket, in the order of asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// Whether recordings may rely on this store.
    #[must_use]
    pub fn fit(&self) -> bool {
        self.lacking().next().is_none()
    }

    fn lacking(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| verdict.required && !verdict.ok)
    }

    /// # Errors
    /// [`StoreError::Unfit`] with the first thing that is lacking.
    pub(super) fn judge(&self) -> Result<(), StoreError> {
        for verdict in self.verdicts.iter().filter(|v| !v.ok && !v.required && v.capability.is_condition()) {
            tracing::warn!("{verdict}; borne, for store.single_worker is set");
        }
        self.lacking().next().map_or(Ok(()), |verdict| Err(StoreError::Unfit(verdict.to_string())))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the store of bucket {} {}", self.name, self.says)?;
        if self.what_to_do.is_empty() { Ok(()) } else { write!(f, "; {}", self.what_to_do) }
    }
}

impl Capability {
    fn is_condition(self) -> bool {
        matches!(self, Self::CreateOnce | Self::ReplaceOnce | Self::RefuseStale)
    }
}

pub(super) async fn probe(store: &Store) -> Result<Report, StoreError> {
    let mut verdicts = Vec::new();
    for bucket in [Bucket::Media, Bucket::Keys] {
        verdicts.extend(ask::ask(store, bucket).await?);
    }
    Ok(Report { verdicts })
}

/// Probes a store `every` so often, [`HOURLY`] for a recorder, until `stop`, and more often while it is unfit. A verdict
/// that changes for the worse is an alarm in the log, one for the better is a piece of news; `fit` is what there is to
/// act on. A store that does not answer is as fit as it was. Meant for one that passed its check at the start. A probe
/// that is cut short by `stop` may leave an object below `probe/`.
pub async fn watch(store: Store, every: Duration, fit: watch::Sender<bool>, stop: CancellationToken) {
    let mut known = Known::default();
    let rounds = async {
        loop {
            let pause = if *fit.borrow() { every } else { every / OFTENER };
            tokio::time::sleep(pause).await;
            let found = match store.probe().await {
                Ok(report) => {
                    known.changed(&report).into_iter().for_each(tell);
                    report.fit()
                }
                Err(why @ StoreError::Unfit(_)) => {
                    tracing::error!(%why, "the store cannot be used any more");
                    false
                }
                Err(why) => {
                    tracing::warn!(error = &why as &dyn std::error::Error, "the store could not be probed");
                    continue;
                }
            };
            fit.send_if_modified(|fit| std::mem::replace(fit, found) != found);
        }
    };
    stop.run_until_cancelled(rounds).await;
}

fn tell(verdict: &Verdict) {
    match (verdict.ok, verdict.required) {
        (true, _) => tracing::info!("{verdict} (now)"),
        (false, true) => tracing::error!("{verdict}; recordings are at risk until then"),
        (false, false) => tracing::warn!("{verdict}"),
    }
}

/// The verdicts of the last time.
#[derive(Debug, Default)]
struct Known(BTreeMap<(Bucket, Capability), bool>);

impl Known {
    /// What is otherwise than it was. At first, what is required is taken to be there, and the rest as it is found.
    fn changed<'a>(&mut self, report: &'a Report) -> Vec<&'a Verdict> {
        let verdicts = report.verdicts.iter();
        let changed = verdicts.filter(|verdict| {
            let before = self.0.insert((verdict.bucket, verdict.capability), verdict.ok);
            before.unwrap_or(verdict.required || verdict.ok) != verdict.ok
        });
        changed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(capability: Capability, ok: bool, required: bool) -> Verdict {
        let (name, says, what_to_do) = ("media".into(), "does something".into(), "do something".into());
        Verdict { bucket: Bucket::Media, name, capability, ok, required, says, what_to_do }
    }

    #[test]
    fn a_verdict_is_told_when_it_changes_and_not_again() {
        let mut known = Known::default();
        let mut told = |ok, versions| {
            let verdicts =
                vec![verdict(Capability::CreateOnce, ok, true), verdict(Capability::Versions, versions, false)];
            let report = Report { verdicts };
            known.changed(&report).into_iter().map(|v| (v.capability, v.ok)).collect::<Vec<_>>()
        };
        use Capability::{CreateOnce, Versions};
        // Without versions from the start, which is no news.
        assert_eq!(told(false, false), [(CreateOnce, false)]);
        assert_eq!(told(false, false), []);
        assert_eq!(told(true, true), [(CreateOnce, true), (Versions, true)]);
        assert_eq!(told(true, false), [(Versions, false)]);
    }

    #[test]
    fn what_is_required_alone_makes_a_store_unfit() {
        let report = |required| Report { verdicts: vec![verdict(Capability::ReplaceOnce, false, required)] };
        assert!(!report(true).fit() && report(false).fit());
        assert!(report(false).judge().is_ok());
        let refused = report(true).judge().unwrap_err().to_string();
        assert_eq!(refused, "the store of bucket media does something; do something");
    }
}
