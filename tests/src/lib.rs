//! What the end-to-end tests and the demo share: real servers, participants with a known signal, and checks that
//! decode what was recorded. Nothing here knows how Lectern works inside; it meets it through files, pages, events and
//! the command line.

pub mod analysis;
pub mod canary;
pub mod faults;
pub mod measure;
pub mod news;
pub mod participants;
pub mod portal;
pub mod process;
pub mod recorded;
pub mod room;
pub mod servers;
pub mod speech;
pub mod stage;
pub mod stock;
pub mod viewer;

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context, ensure};

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a script of `samples/media`.
///
/// # Errors
/// When it fails; with what it said.
pub fn media_script(name: &str, args: &[&OsStr]) -> anyhow::Result<()> {
    let script = root().join("samples/media").join(name);
    let out = std::process::Command::new(&script).args(args).output().with_context(|| format!("run {script:?}"))?;
    ensure!(out.status.success(), "{script:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
