//! `lectern recordings`: what an archivist asks for at a terminal. Every answer also comes as JSON.

use std::process::ExitCode;

use anyhow::{Context, Result};
use chassis::Sections;
use claim::Record;
use events::RecordingId;
use serde_json::json;
use storage::manifest::{Manifest, Signers, published};
use storage::{Bucket, RecordingPath, Store, recordings};

use crate::args::Recordings;
use crate::open::open;
use crate::out::say;
use crate::verify;

/// # Errors
/// When the store cannot be reached, or what was asked for does not exist.
pub(crate) async fn run(command: Recordings, sections: &Sections, json: bool) -> Result<ExitCode> {
    let store = store(sections).await?;
    match command {
        Recordings::List => list(&store, json).await,
        Recordings::Show { recording } => show(&store, sections, recording, json).await,
        Recordings::Verify { recording } => verify::run(&store, &signers(sections)?, recording, json).await,
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
    let (path, record, _) = found.with_context(|| unknown(recording))?;
    Ok((path, record))
}

pub(crate) fn unknown(recording: RecordingId) -> String {
    format!("there is no recording {recording}; `lectern recordings list` shows those there are")
}

async fn list(store: &Store, json: bool) -> Result<ExitCode> {
    let mut all: Vec<_> = recordings::list(store, None).await?.into_iter().map(|(_, record, _)| record).collect();
    all.sort_by_key(|record| std::cmp::Reverse(record.created));
    if json {
        say!("{}", serde_json::to_string(&all)?);
    } else if all.is_empty() {
        say!("No recordings yet.");
    } else {
        say!("{:<36}  {:<20}  {:<9}  {:<16}  reason", "recording", "begun", "phase", "room");
        for r in &all {
            let begun = r.created.to_string();
            let begun = begun.get(..19).unwrap_or(&begun);
            let reason = r.reason.as_deref().unwrap_or("");
            say!("{:<36}  {begun:<20}  {:<9}  {:<16}  {reason}", r.recording.to_string(), phase(r), r.room.to_string());
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
        say!("{}", json!({ "record": record, "objects": objects, "gaps": gaps, "accounts": accounts }));
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", serde_json::to_string_pretty(&record)?);
    for object in &objects {
        say!("{:>12}  {}", object.size, object.key);
    }
    match &proven {
        None if record.generation.is_some() => {
            say!("\nWhat is missing is not told: the manifest does not prove itself; see `lectern recordings verify`.");
        }
        None => {}
        Some(manifest) if manifest.gaps.is_empty() => say!("\nNothing is missing."),
        Some(manifest) => {
            say!("\nMissing:");
            for gap in &manifest.gaps {
                let lasts = gap.to.0.saturating_sub(gap.from.0) / 1_000_000;
                say!("{} - {}  {:>9.1} s  {}", clock(gap.from), clock(gap.to), lasts as f64 / 1000.0, gap.why);
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
