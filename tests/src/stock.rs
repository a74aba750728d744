//! A recording as an archivist finds it in twenty years: files, stock `age`, stock `ssh-keygen`, stock `sha256sum`.
//! Uses no code of Lectern's: what it needs to know of the layout stands in README and is spelt out again here.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// One recording's files below a copy of the two buckets.
#[derive(Debug, Clone)]
pub struct Archive {
    media: PathBuf,
    keys: PathBuf,
    buckets: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    objects: Vec<Object>,
}

#[derive(Debug, Deserialize)]
struct Object {
    bucket: String,
    key: String,
    sha256: String,
}

impl Archive {
    /// Finds `recording` below `store`, which holds `lectern-media` and `lectern-keys`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(store: &Path, tenant: &str, recording: &str) -> anyhow::Result<Self> {
        let years = store.join("lectern-media/v1").join(tenant);
        let years = fs::read_dir(&years).with_context(|| format!("no recordings in {years:?}"))?;
        let mut found = years.flatten().map(|year| year.path().join(recording));
        let media = found.find(|path| path.is_dir()).with_context(|| format!("{recording} is not in {store:?}"))?;
        let keys = store.join("lectern-keys/v1").join(tenant).join(recording);
        Ok(Self { media, keys, buckets: store.to_owned() })
    }

    /// The recording's folder in the media bucket.
    pub fn media(&self) -> &Path {
        &self.media
    }

    /// The recording's folder in the bucket of keys.
    pub fn keys(&self) -> &Path {
        &self.keys
    }

    /// Opens the film into `out` with `age -d`, twice: once for its key, once for itself. Returns the two commands as a
    /// person would type them. `out`'s folder also gets the film's key.
    ///
    /// # Errors
    /// When `age` refuses or a file is missing.
    pub fn open(&self, identity: &Path, out: &Path) -> anyhow::Result<[String; 2]> {
        let key = out.with_extension("key");
        let film = newest(&self.media.join("final"), |p| p.join("composite.mp4.age").is_file())?;
        let number = film.file_name().and_then(OsStr::to_str).and_then(|n| n.parse::<u32>().ok());
        let writer = format!("f{:02}.key.age", number.context("a generation's number")?);
        let first = age(identity, &self.keys.join(writer), &key)?;
        let second = age(&key, &film.join("composite.mp4.age"), out)?;
        Ok([first, second])
    }

    /// Opens one text of the newest generation, such as `vtt`, into `out`.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn text(&self, identity: &Path, language: &str, kind: &str, out: &Path) -> anyhow::Result<String> {
        let name = format!("transcript.{language}.{kind}.age");
        let folder = newest(&self.media.join("text"), |p| p.join(&name).is_file())?;
        let number = folder.file_name().and_then(OsStr::to_str).and_then(|n| n.parse::<u32>().ok());
        let key = out.with_extension("key");
        age(identity, &self.keys.join(format!("t{:02}.key.age", number.context("a generation's number")?)), &key)?;
        age(&key, &folder.join(name), out)?;
        Ok(fs::read_to_string(out)?)
    }

    /// Checks the newest manifest's signature with `ssh-keygen -Y verify` and every object in it with `sha256sum`;
    /// returns how many there are.
    ///
    /// # Errors
    /// When either refuses; the error names the object.
    pub fn verify(&self, signers: &Path) -> anyhow::Result<usize> {
        let is_manifest = |p: &Path| p.extension() == Some(OsStr::new("json")) && name(p).starts_with("MANIFEST.");
        let manifest = newest(&self.media, is_manifest)?;
        let principal = fs::read_to_string(signers)?;
        let principal = principal.split_whitespace().next().context("a signer in allowed_signers")?.to_owned();
        let bytes = fs::read(&manifest)?;
        let mut check = Command::new("ssh-keygen");
        check.args(["-Y", "verify", "-n", "rec-manifest-v1", "-I", &principal, "-f"]).arg(signers);
        check.arg("-s").arg(manifest.with_extension("json.sig"));
        feed(&mut check, &bytes).with_context(|| format!("ssh-keygen -Y verify of {manifest:?}"))?;

        let manifest: Manifest = serde_json::from_slice(&bytes)?;
        let bucket = |object: &Object| if object.bucket == "keys" { "lectern-keys" } else { "lectern-media" };
        let line = |o: &Object| format!("{}  {}/{}\n", o.sha256, bucket(o), o.key);
        let list: String = manifest.objects.iter().map(line).collect();
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--strict", "--quiet", "-"]).current_dir(&self.buckets);
        feed(&mut check, list.as_bytes()).context("sha256sum --check of the manifest's objects")?;
        Ok(manifest.objects.len())
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The last by name of what `fits` in `folder`.
fn newest(folder: &Path, fits: impl Fn(&Path) -> bool) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {folder:?}"))?;
    let found = entries.flatten().map(|e| e.path()).filter(|p| fits(p)).max();
    found.with_context(|| format!("nothing that fits in {folder:?}"))
}

fn age(identity: &Path, sealed: &Path, out: &Path) -> anyhow::Result<String> {
    let done = Command::new("age").arg("-d").arg("-i").arg(identity).arg("-o").arg(out).arg(sealed).output();
    let done = done.context("run age (Debian: age)")?;
    ensure!(done.status.success(), "age -d of {sealed:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(format!("age -d -i {} -o {} {}", identity.display(), out.display(), sealed.display()))
}

/// Runs `command` with `input`; it must succeed.
fn feed(command: &mut Command, input: &[u8]) -> anyhow::Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input)?;
    let done = child.wait_with_output()?;
    let said = [done.stdout, done.stderr].concat();
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}
