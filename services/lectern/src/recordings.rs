//! `lectern recordings`: what an archivist asks for at a terminal. Every answer also comes as JSON.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chassis::Sections;
use claim::Record;
use events::RecordingId;
use serde_json::json;
use storage::manifest::{Finding, Report, Signers, VerifyError, verify};
use storage::{Bucket, RecordingPath, Store, StoreError, recordings};

use crate::args::Recordings;
use crate::open::open;

/// # Errors
/// When the store cannot be reached, or what was asked for does not exist.
pub(crate) async fn run(command: Recordings, sections: &Sections, json: bool) -> Result<ExitCode> {
    let store = store(sections).await?;
    match command {
        Recordings::List => list(&store, json).await,
        Recordings::Show { recording } => show(&store, recording, json).await,
        Recordings::Verify { recording } => check(&store, sections, recording, json).await,
        Recordings::Open { recording, identity, out } => {
            let seal: storage::seal::Config = sections.section("seal")?;
            let identity = identity
                .or(seal.pipeline_identity_file)
                .context("no identity: give --identity FILE or set [seal].pipeline_identity_file")?;
            open(&store, &signers(sections)?, recording, &identity, &out, json).await
        }
    }
}

fn signers(sections: &Sections) -> Result<Signers> {
    let seal: storage::seal::Config = sections.section("seal")?;
    let file = seal.signers_file.context("no signers: set [seal].signers_file to an allowed_signers file")?;
    Ok(Signers::load(&file)?)
}

/// The store of `[store]`.
pub(crate) async fn store(sections: &Sections) -> Result<Store> {
    Ok(Store::connect(&sections.section("store")?).await?)
}

pub(crate) async fn find(store: &Store, recording: RecordingId) -> Result<(RecordingPath, Record)> {
    let found = recordings::find(store, recording).await?;
    let (path, record, _) = found.with_context(|| {
        format!("there is no recording {recording}; `lectern recordings list` shows those there are")
    })?;
    Ok((path, record))
}

async fn list(store: &Store, json: bool) -> Result<ExitCode> {
    let mut all: Vec<_> = recordings::list(store, None).await?.into_iter().map(|(_, record, _)| record).collect();
    all.sort_by_key(|record| std::cmp::Reverse(record.created));
    if json {
        println!("{}", serde_json::to_string(&all)?);
    } else if all.is_empty() {
        println!("No recordings yet.");
    } else {
        println!("{:<36}  {:<20}  {:<9}  {:<16}  reason", "recording", "begun", "phase", "room");
        for r in &all {
            let begun = r.created.to_string();
            let begun = begun.get(..19).unwrap_or(&begun);
            let reason = r.reason.as_deref().unwrap_or("");
            println!(
                "{:<36}  {begun:<20}  {:<9}  {:<16}  {reason}",
                r.recording.to_string(),
                phase(r),
                r.room.to_string()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn phase(record: &Record) -> String {
    // The one spelling of a phase is the one in state.json.
    serde_json::to_value(record.phase).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

async fn show(store: &Store, recording: RecordingId, json: bool) -> Result<ExitCode> {
    let (path, record) = find(store, recording).await?;
    let objects = store.list(Bucket::Media, &path.prefix()).await?;
    if json {
        let objects: Vec<_> = objects.iter().map(|o| json!({ "key": o.key, "size": o.size })).collect();
        println!("{}", json!({ "record": record, "objects": objects }));
    } else {
        println!("{}", serde_json::to_string_pretty(&record)?);
        for object in &objects {
            println!("{:>12}  {}", object.size, object.key);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads one recording back, or all: also those whose record cannot be read, since a record that is gone hides nothing.
async fn check(store: &Store, sections: &Sections, only: Option<RecordingId>, json: bool) -> Result<ExitCode> {
    let signers = signers(sections)?;
    let paths = match only {
        Some(recording) => vec![find(store, recording).await?.0],
        None => recordings::paths(store, None).await?,
    };
    let mut sound = true;
    let mut reports = Vec::new();
    for path in paths {
        let report = match judge(store, &path, &signers).await? {
            Judged::Pending if only.is_some() => bail!(
                "recording {0} has no manifest to verify it by; `lectern recordings show {0}` tells how it stands",
                path.recording
            ),
            // Without a name, a recording still in the making is no failure of the archive.
            Judged::Pending => {
                say(json, || println!("{}  not finalized yet", path.recording));
                json!({ "recording": path.recording, "findings": [], "pending": true })
            }
            Judged::Read(report) => {
                let verdict = if report.findings.is_empty() { "sound" } else { "NOT SOUND" };
                let told = |all: &[Finding]| -> Vec<_> {
                    all.iter().map(|f| json!({ "key": f.key, "what": f.to_string() })).collect()
                };
                sound &= report.findings.is_empty();
                say(json, || {
                    println!("{}  {verdict}: {} objects, {} bytes", path.recording, report.objects, report.bytes);
                    report.findings.iter().chain(&report.notes).for_each(|one| println!("    {one}"));
                });
                json!({ "recording": path.recording, "objects": report.objects, "bytes": report.bytes,
                    "generation": report.manifest.generation, "findings": told(&report.findings),
                    "notes": told(&report.notes) })
            }
            Judged::Lost { key, what } => {
                sound = false;
                say(json, || println!("{}  NOT SOUND\n    {what}", path.recording));
                json!({ "recording": path.recording, "findings": [{ "key": key, "what": what }] })
            }
        };
        reports.push(report);
    }
    if json {
        println!("{}", serde_json::Value::Array(reports));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(json: bool, aloud: impl FnOnce()) {
    if !json {
        aloud();
    }
}

enum Judged {
    Read(Box<Report>),
    Pending,
    /// There is nothing left to read it by.
    Lost {
        key: String,
        what: String,
    },
}

/// # Errors
/// When the store does not answer: then nothing is said about this recording, nor about those after it.
async fn judge(store: &Store, path: &RecordingPath, signers: &Signers) -> Result<Judged> {
    let lost = |key: String, what: String| Ok(Judged::Lost { key, what });
    match verify(store, path, signers).await {
        Ok(report) => Ok(Judged::Read(Box::new(report))),
        Err(VerifyError::NoManifest) => match recordings::state(store, path).await {
            Ok(_) => Ok(Judged::Pending),
            Err(StoreError::Missing { key }) => {
                let what = format!("{key} is missing, and there is no manifest; restore both from a backup");
                lost(key, what)
            }
            Err(why @ StoreError::BadRecord { .. }) => lost(path.state(), why.to_string()),
            Err(other) => Err(other).with_context(|| format!("cannot verify {}", path.recording)),
        },
        Err(why @ VerifyError::BadManifest(_)) => {
            let what = format!("{why}; restore the manifests of {} from a backup", path.prefix());
            lost(path.manifest(1), what)
        }
        // Such as a manifest too long to be one.
        Err(VerifyError::Store(why @ StoreError::TooLong { .. })) => lost(path.prefix(), why.to_string()),
        Err(other) => Err(other).with_context(|| format!("cannot verify {}", path.recording)),
    }
}
