//! `lectern init` and `lectern keys new`: everything one machine needs to start, made once and never overwritten.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rand::RngCore;
use storage::keys::Institution;

use crate::out::say;

/// The documented sample, which is also what `lectern init` writes.
pub(crate) const CONFIG: &str = include_str!("../../../samples/lectern.toml");
const POLICY: &str = include_str!("../../../samples/policy.toml");

/// Fills `folder` with a configuration, keys, credentials and tokens.
///
/// # Errors
/// When `folder` holds a configuration already or cannot be written.
pub(crate) fn init(folder: &Path, json: bool) -> Result<ExitCode> {
    let config = folder.join("lectern.toml");
    if config.exists() {
        bail!("{} exists already and is never overwritten: choose another folder", config.display());
    }
    private_folder(folder)?;
    let keys = folder.join("keys");
    private_folder(&keys)?;
    let institution = Institution::generate(&keys, "lectern")?;
    for name in ["s3-access-key", "s3-secret-key", "ingest-token"] {
        write(&keys.join(name), random_word().as_bytes())?;
    }
    write(&folder.join("policy.toml"), POLICY.as_bytes())?;
    let text = CONFIG
        .replace("age1archive-recipient", &institution.archive)
        .replace("age1pipeline-recipient", &institution.pipeline);
    write(&config, text.as_bytes())?;

    if json {
        let made = serde_json::json!({ "config": config, "archive": institution.archive,
            "pipeline": institution.pipeline, "signer": institution.signer });
        say!("{made}");
    } else {
        say!("Wrote {}", config.display());
        offline_note(&keys);
        say!("Next: name your servers in it, then `lectern --config {} check-config`.", config.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the institution's keys alone.
///
/// # Errors
/// When `folder` holds keys already or cannot be written.
pub(crate) fn keys(folder: &Path, json: bool) -> Result<ExitCode> {
    private_folder(folder)?;
    let institution = Institution::generate(folder, "lectern")?;
    if json {
        let made = serde_json::json!({ "archive": institution.archive, "pipeline": institution.pipeline,
            "signer": institution.signer });
        say!("{made}");
    } else {
        say!("archive recipient   {}", institution.archive);
        say!("pipeline recipient  {}", institution.pipeline);
        say!("manifest signer     {}", institution.signer);
        offline_note(folder);
        say!("Put both recipients into [seal].recipients of the configuration.");
    }
    Ok(ExitCode::SUCCESS)
}

fn offline_note(keys: &Path) {
    say!(
        "Now move {} to a safe place away from this machine: with it every recording opens, without both keys none does.",
        keys.join("archive.key").display()
    );
}

fn private_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// A new file that its owner alone can read.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let doing = || format!("cannot write {}; choose a new folder", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(doing)?;
    file.write_all(content).and_then(|()| file.sync_all()).with_context(doing)
}

/// 160 random bits in hex.
fn random_word() -> String {
    let mut bits = [0; 20];
    rand::rng().fill_bytes(&mut bits);
    hex::encode(bits)
}
