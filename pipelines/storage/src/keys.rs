//! An institution's first keys, as files that stock age and OpenSSH read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use zeroize::Zeroizing;

use crate::manifest::{NAMESPACE, SigningKey};

/// Keys were not written. Those that were before stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    #[error("{0} exists already, and keys are never overwritten; choose an empty folder")]
    Exists(PathBuf),
    #[error("could not write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{0:?} cannot name a signer; use letters, digits and any of . _ @ -, such as archive@uni.example")]
    Name(String),
}

/// What `generate` wrote, without the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Institution {
    /// `age1…` of `archive.key`, which is to be taken offline.
    pub archive: String,
    /// `age1…` of `pipeline.key`.
    pub pipeline: String,
    /// `ssh-ed25519 …` of `signing.key`.
    pub signer: String,
    /// What was written, in the order in which people will want to read it.
    pub files: Vec<PathBuf>,
}

impl Institution {
    /// Writes `archive.key`, `pipeline.key`, `signing.key`, `allowed_signers` and `recipients.txt` into `dir`, each
    /// readable by its owner alone. `name` is how the signer is called, such as `archive@uni.example`.
    ///
    /// # Errors
    /// [`KeysError::Exists`] if any of the files is there, before any is written.
    pub fn generate(dir: &Path, name: &str) -> Result<Self, KeysError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if name.is_empty() || !name.chars().all(fits) {
            return Err(KeysError::Name(name.chars().filter(|c| !c.is_control()).take(64).collect()));
        }
        let (archive, archive_file) = identity(
            "The archive key: opens every recording. Take this file offline now: print it, or move it to a medium in a\n\
             # safe, and delete it here. It is wanted again when pipeline.key is lost, and for the yearly drill.",
        );
        let (pipeline, pipeline_file) = identity(
            "The pipeline key: opens every recording. For the finalizer, the transcriber and the portal alone; recorders\n\
             # do not need it.",
        );
        let (signing_file, signer) = SigningKey::generate();
        let signers = format!("{name} namespaces=\"{NAMESPACE}\" {signer}\n");
        let recipients = format!("# seal.recipients: whom every recording's key is sealed to\n{archive}\n{pipeline}\n");
        let contents: [(&str, &str); 5] = [
            ("archive.key", &archive_file),
            ("pipeline.key", &pipeline_file),
            ("signing.key", &signing_file),
            ("allowed_signers", &signers),
            ("recipients.txt", &recipients),
        ];

        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| KeysError::Write { path: dir.into(), source })?;
        let files: Vec<PathBuf> = contents.iter().map(|(name, _)| dir.join(name)).collect();
        if let Some(there) = files.iter().find(|path| path.symlink_metadata().is_ok()) {
            return Err(KeysError::Exists(there.clone()));
        }
        for (path, (_, content)) in files.iter().zip(contents) {
            write_new(path, content.as_bytes()).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => KeysError::Exists(path.clone()),
                _ => KeysError::Write { path: path.clone(), source },
            })?;
        }
        Ok(Self { archive, pipeline, signer, files })
    }
}

/// A new identity: its public half, and its file as `age-keygen` writes it.
fn identity(note: &str) -> (String, Zeroizing<String>) {
    let identity = Identity::generate();
    let public = identity.to_public().to_string();
    let secret = identity.to_string();
    let file = format!("# {note}\n# public key: {public}\n{}\n", secret.expose_secret());
    (public, Zeroizing::new(file))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
