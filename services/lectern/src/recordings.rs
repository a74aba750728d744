//! `lectern recordings`: what an archivist asks for at a terminal. Every answer also comes as JSON.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chassis::Sections;
use claim::Record;
use events::RecordingId;
use serde_json::json;
use storage::ledger::{self, Entry};
use storage::manifest::{Finding, Manifest, Report, Signers, Sum, VerifyError, What, published, verify};
use storage::{Bucket, RecordingPath, Store, StoreError, recordings};

use crate::args::Recordings;
use crate::open::open;

/// # Errors
/// When the store cannot be reached, or what was asked for does not exist.
pub(crate) async fn run(command: Recordings, sections: &Sections, json: bool) -> Result<ExitCode> {
    let store = store(sections).await?;
    match command {
        Recordings::List => list(&store, json).await,
        Recordings::Show { recording } => show(&store, sections, recording, json).await,
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

async fn show(store: &Store, sections: &Sections, recording: RecordingId, json: bool) -> Result<ExitCode> {
    let (path, record) = find(store, recording).await?;
    let objects = store.list(Bucket::Media, &path.prefix()).await?;
    // What is missing, as the signed manifest has it; without one, or without a word of whom to believe, nothing is said.
    let proven = proven(store, sections, &path, &record).await?;
    if json {
        let objects: Vec<_> = objects.iter().map(|o| json!({ "key": o.key, "size": o.size })).collect();
        let gaps = proven.as_ref().map(|manifest| &manifest.gaps);
        let accounts = proven.as_ref().map(|manifest| &manifest.accounts);
        println!("{}", json!({ "record": record, "objects": objects, "gaps": gaps, "accounts": accounts }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", serde_json::to_string_pretty(&record)?);
    for object in &objects {
        println!("{:>12}  {}", object.size, object.key);
    }
    match &proven {
        None if record.generation.is_some() => {
            println!(
                "\nWhat is missing is not told: the manifest does not prove itself; see `lectern recordings verify`."
            );
        }
        None => {}
        Some(manifest) if manifest.gaps.is_empty() => println!("\nNothing is missing."),
        Some(manifest) => {
            println!("\nMissing:");
            for gap in &manifest.gaps {
                let lasts = gap.to.0.saturating_sub(gap.from.0) / 1_000_000;
                println!("{} - {}  {:>9.1} s  {}", clock(gap.from), clock(gap.to), lasts as f64 / 1000.0, gap.why);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn proven(store: &Store, sections: &Sections, path: &RecordingPath, record: &Record) -> Result<Option<Manifest>> {
    let (Some(generation), Ok(signers)) = (record.generation, signers(sections)) else { return Ok(None) };
    match published(store, path, generation, &signers).await {
        Ok(found) => Ok(found.map(|found| found.manifest)),
        Err(why) if why.is_passing() => Err(why).context("cannot read the manifest"),
        Err(_) => Ok(None),
    }
}

/// `00:01:02.300`.
fn clock(at: media::MediaTime) -> String {
    let millis = at.0 / 1_000_000;
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", millis % 1000)
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
    let missed = missed(store, only).await?;
    for path in paths {
        let owed: Vec<_> = missed.iter().filter(|entry| entry.path == path).map(said_of).collect();
        sound &= owed.is_empty();
        let mut report = match judge(store, &path, &signers).await? {
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
                let sum = report.sum;
                say(json, || {
                    println!("{}  {verdict}: {} objects, {} bytes", path.recording, report.objects, report.bytes);
                    sum.into_iter().for_each(|sum| println!("    {}", account(sum, &report)));
                    report.findings.iter().chain(&report.notes).for_each(|one| println!("    {one}"));
                });
                json!({ "recording": path.recording, "objects": report.objects, "bytes": report.bytes,
                    "generation": report.manifest.generation, "findings": told(&report.findings),
                    "notes": told(&report.notes), "sum": sum })
            }
            Judged::Lost { key, what } => {
                sound = false;
                say(json, || println!("{}  NOT SOUND\n    {what}", path.recording));
                json!({ "recording": path.recording, "findings": [{ "key": key, "what": what }] })
            }
        };
        if !owed.is_empty() {
            say(json, || owed.iter().for_each(|what| println!("    {what}")));
            report["ledger"] = json!(owed);
        }
        reports.push(report);
    }
    // Those of which nothing is left but that they began.
    let known: Vec<&str> = reports.iter().filter_map(|report| report["recording"].as_str()).collect();
    let gone: Vec<_> =
        missed.iter().filter(|entry| !known.contains(&entry.path.recording.to_string().as_str())).collect();
    let gone = gone.into_iter().map(|entry| {
        sound = false;
        let what = said_of(entry);
        say(json, || println!("{}  NOT SOUND\n    {what}", entry.path.recording));
        json!({ "recording": entry.path.recording, "findings": [], "ledger": [what] })
    });
    let gone: Vec<_> = gone.collect();
    reports.extend(gone);
    if json {
        println!("{}", serde_json::Value::Array(reports));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
