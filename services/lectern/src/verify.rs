//! `lectern recordings verify`: reads recordings back and names what is wrong, those among them whose record is gone.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use events::RecordingId;
use serde_json::{Value, json};
use storage::ledger::{self, Entry};
use storage::manifest::{Report, Signers, Sum, VerifyError, What, verify};
use storage::{Bucket, RecordingPath, Store, StoreError, recordings};

use crate::out::say;
use crate::recordings::unknown;

/// Reads one recording back, or all: also those whose record cannot be read, since a record that is gone hides nothing.
///
/// # Errors
/// When the store does not answer, there is no such recording, or `only` has no manifest yet.
pub(crate) async fn run(store: &Store, signers: &Signers, only: Option<RecordingId>, json: bool) -> Result<ExitCode> {
    let missed = missed(store, only).await?;
    let paths = match only {
        Some(recording) => folders(store, recording).await?,
        None => recordings::paths(store, None).await?,
    };
    if let Some(recording) = only
        && paths.is_empty()
        && missed.is_empty()
    {
        bail!(unknown(recording));
    }
    let mut sound = true;
    let mut reports = Vec::new();
    for path in &paths {
        let owed: Vec<_> = missed.iter().filter(|entry| entry.path == *path).map(said_of).collect();
        let judged = judge(store, path, signers).await?;
        if only.is_some() && owed.is_empty() && matches!(judged, Judged::Pending) {
            bail!(
                "recording {0} has no manifest to verify it by; `lectern recordings show {0}` tells how it stands",
                path.recording
            );
        }
        sound &= owed.is_empty() && judged.is_sound();
        if !json {
            judged.tell(path.recording);
            owed.iter().for_each(|what| say!("    {what}"));
        }
        let mut report = judged.report(path.recording);
        if !owed.is_empty() {
            report["ledger"] = json!(owed);
        }
        reports.push(report);
    }
    // Those of which nothing is left but that they began.
    for entry in missed.iter().filter(|entry| !paths.contains(&entry.path)) {
        sound = false;
        let what = said_of(entry);
        if !json {
            say!("{}  NOT SOUND\n    {what}", entry.path.recording);
        }
        reports.push(json!({ "recording": entry.path.recording, "findings": [], "ledger": [what] }));
    }
    if json {
        say!("{}", Value::Array(reports));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where `recording` lies. Without a record, everything is looked through for it, also the ledger: whoever emptied a
/// recording's folder has not emptied that.
async fn folders(store: &Store, recording: RecordingId) -> Result<Vec<RecordingPath>> {
    match recordings::find(store, recording).await {
        Ok(Some((path, ..))) => return Ok(vec![path]),
        Ok(None) | Err(StoreError::BadRecord { .. }) => {}
        Err(other) => return Err(other).with_context(|| format!("cannot look for {recording}")),
    }
    let lying = recordings::paths(store, None).await?;
    let begun = store.list(Bucket::Keys, "ledger/v1/").await?;
    let begun = begun.iter().filter_map(|entry| RecordingPath::of_key(entry.key.strip_prefix("ledger/")?));
    let mut all: Vec<RecordingPath> = Vec::new();
    for path in lying.into_iter().chain(begun).filter(|path| path.recording == recording) {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    Ok(all)
}

/// What the ledger saw begin, which is not stored, and which nobody is at work on.
async fn missed(store: &Store, only: Option<RecordingId>) -> Result<Vec<Entry>> {
    let mut missed = Vec::new();
    for entry in ledger::open(store, None).await? {
        if only.is_some_and(|only| only != entry.path.recording) {
            continue;
        }
        let at_work = match recordings::state(store, &entry.path).await {
            // The finalizer's turn, too.
            Ok((record, _)) => record.phase.open() || record.phase == claim::Phase::Ended,
            Err(StoreError::Missing { .. } | StoreError::BadRecord { .. }) => false,
            Err(other) => return Err(other).context("cannot tell what the ledger misses"),
        };
        if !at_work {
            missed.push(entry);
        }
    }
    Ok(missed)
}

fn said_of(entry: &Entry) -> String {
    let begun = entry.at.map_or_else(|| "at an unknown time".to_owned(), |at| format!("at {at}"));
    format!(
        "epoch {} was begun {begun} and was never stored; restore {} from a backup, or see why it failed",
        entry.epoch,
        entry.path.prefix()
    )
}

/// `812 segments in 3 epochs: all stored or named`.
fn account(sum: Sum, report: &Report) -> String {
    let odd = report.findings.iter().filter(|one| matches!(one.what, What::Unaccounted { .. })).count();
    let Sum { epochs, segments, missing } = sum;
    let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let all = format!("{} in {}", plural(segments, "segment"), plural(epochs as u64, "epoch"));
    match (odd, missing) {
        (0, 0) => format!("{all}: all stored"),
        (0, _) => format!("{all}: all stored or named, {missing} as missing"),
        _ => format!("{all}: NOT ALL accounted for"),
    }
}

enum Judged {
    Read {
        report: Box<Report>,
        /// What is wrong with the record, beside what is in the report.
        record: Option<Wrong>,
    },
    Pending,
    /// There is nothing left to read it by.
    Lost(Wrong),
}

struct Wrong {
    key: String,
    what: String,
}

impl Wrong {
    fn json(&self) -> Value {
        json!({ "key": self.key, "what": self.what })
    }
}

impl Judged {
    fn is_sound(&self) -> bool {
        match self {
            Self::Read { report, record } => report.findings.is_empty() && record.is_none(),
            // A recording still in the making is no failure of the archive.
            Self::Pending => true,
            Self::Lost(_) => false,
        }
    }

    fn tell(&self, recording: RecordingId) {
        match self {
            Self::Read { report, record } => {
                let verdict = if self.is_sound() { "sound" } else { "NOT SOUND" };
                say!("{recording}  {verdict}: {} objects, {} bytes", report.objects, report.bytes);
                report.sum.into_iter().for_each(|sum| say!("    {}", account(sum, report)));
                record.iter().for_each(|wrong| say!("    {}", wrong.what));
                report.findings.iter().chain(&report.notes).for_each(|one| say!("    {one}"));
            }
            Self::Pending => say!("{recording}  not finalized yet"),
            Self::Lost(wrong) => say!("{recording}  NOT SOUND\n    {}", wrong.what),
        }
    }

    fn report(&self, recording: RecordingId) -> Value {
        match self {
            Self::Read { report, record } => {
                let named = |all: &[storage::manifest::Finding]| -> Vec<Value> {
                    all.iter().map(|f| json!({ "key": f.key, "what": f.to_string() })).collect()
                };
                let findings: Vec<Value> = record.iter().map(Wrong::json).chain(named(&report.findings)).collect();
                json!({ "recording": recording, "objects": report.objects, "bytes": report.bytes,
                    "generation": report.manifest.generation, "findings": findings,
                    "notes": named(&report.notes), "sum": report.sum })
            }
            Self::Pending => json!({ "recording": recording, "findings": [], "pending": true }),
            Self::Lost(wrong) => json!({ "recording": recording, "findings": [wrong.json()] }),
        }
    }
}

/// # Errors
/// When the store does not answer: then nothing is said about this recording, nor about those after it.
async fn judge(store: &Store, path: &RecordingPath, signers: &Signers) -> Result<Judged> {
    let lost = |key: String, what: String| Ok(Judged::Lost(Wrong { key, what }));
    let record = match recordings::state(store, path).await {
        Ok(_) => None,
        Err(StoreError::Missing { key }) => {
            let what = format!("{key} is missing, so no list shows the recording; restore it from a backup");
            Some(Wrong { key, what })
        }
        Err(why @ StoreError::BadRecord { .. }) => Some(Wrong { key: path.state(), what: why.to_string() }),
        Err(other) => return Err(other).with_context(|| format!("cannot verify {}", path.recording)),
    };
    match (verify(store, path, signers).await, record) {
        (Ok(report), record) => Ok(Judged::Read { report: Box::new(report), record }),
        (Err(VerifyError::NoManifest), None) => Ok(Judged::Pending),
        (Err(VerifyError::NoManifest), Some(Wrong { key, what })) => {
            lost(key, format!("{what}; and there is no manifest to verify it by"))
        }
        (Err(why @ VerifyError::BadManifest(_)), _) => {
            let what = format!("{why}; restore the manifests of {} from a backup", path.prefix());
            lost(path.manifest(1), what)
        }
        // Such as a manifest too long to be one.
        (Err(VerifyError::Store(why @ StoreError::TooLong { .. })), _) => lost(path.prefix(), why.to_string()),
        (Err(other), _) => Err(other).with_context(|| format!("cannot verify {}", path.recording)),
    }
}
