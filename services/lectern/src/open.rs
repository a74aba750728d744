//! `lectern recordings open`: a film out of its seal, into a file that appears when it is whole.
//!
//! # Design
//! The manifest is proven first (DESIGN D4): it alone says which object is the film, and by which key it opens. Plaintext is written under another
//! name, readable by its owner alone, and gets its own name in one step that overwrites nothing; whatever goes wrong
//! before, Ctrl-C among it, leaves no part of it behind.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use events::RecordingId;
use serde_json::json;
use storage::manifest::{Signers, published};
use storage::{Identity, OpenKey, SealedReader, Store};
use tokio_util::sync::CancellationToken;

use crate::out::say;
use crate::recordings::{find, phase};

/// Read and written at once.
const PIECE: usize = 1 << 20;

/// # Errors
/// When there is no film, its manifest does not prove itself, the identity does not open it, or `out` is there already.
pub(crate) async fn open(
    store: &Store,
    signers: &Signers,
    recording: RecordingId,
    identity: &Path,
    out: &Path,
    json: bool,
) -> Result<ExitCode> {
    if out.symlink_metadata().is_ok() {
        bail!("{} exists already and is never overwritten; give another --out", out.display());
    }
    let (path, record) = find(store, recording).await?;
    let Some(generation) = record.generation else {
        bail!(
            "recording {recording} is {}, and there is no film yet; `lectern recordings show {recording}` tells more",
            phase(&record)
        );
    };
    let newest = published(store, &path, generation, signers).await?;
    let newest = newest.with_context(|| {
        format!("the manifest of generation {generation} is missing; run `lectern recordings verify {recording}`")
    })?;
    let film = newest.manifest.objects.iter().find(|object| object.key.ends_with("/composite.mp4.age"));
    let film = film.with_context(|| {
        format!("recording {recording} holds no film; `lectern recordings show {recording}` tells what it holds")
    })?;
    let open = OpenKey::listed(store, &path, &newest.manifest, film, &Identity::load(identity)?).await?;
    let reader = SealedReader::open_sized(store, &film.key, film.size, &open).await?;

    let stop = chassis::shutdown::token()?;
    let progress = Progress::new(reader.len(), std::io::stderr().is_terminal());
    let target = out.to_owned();
    let copying = tokio::task::spawn_blocking(move || unseal(reader, &target, progress, &stop));
    let written = copying.await.context("the copying task ended early")??;
    if json {
        say!("{}", json!({ "recording": recording, "file": out, "bytes": written }));
    } else {
        say!("Wrote {} ({written} bytes). It is no longer encrypted: keep it where it may be.", out.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies `film` into `target`; returns how many bytes it has.
fn unseal(mut film: impl Read, target: &Path, mut progress: Progress, stop: &CancellationToken) -> Result<u64> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let doing = || format!("cannot write into {}; give another --out", folder.display());
    let mut file =
        tempfile::Builder::new().prefix(".lectern-").suffix(".part").tempfile_in(folder).with_context(doing)?;
    let mut piece = vec![0; PIECE];
    let mut written = 0;
    loop {
        if stop.is_cancelled() {
            bail!("stopped; nothing was written");
        }
        let count =
            film.read(&mut piece).context("the film does not come out of its seal; run `lectern recordings verify`")?;
        if count == 0 {
            break;
        }
        file.write_all(&piece[..count]).with_context(doing)?;
        written += count as u64;
        progress.show(written, &mut std::io::stderr());
    }
    progress.end(&mut std::io::stderr());
    file.as_file().sync_all().with_context(doing)?;
    let named = file.persist_noclobber(target).map_err(|why| why.error);
    named.with_context(|| format!("cannot name the file {}; give another --out", target.display()))?;
    Ok(written)
}

/// How far a copy is, on one line of a terminal.
#[derive(Debug)]
struct Progress {
    total: u64,
    seen: bool,
    percent: Option<u64>,
}

impl Progress {
    /// Of `total` bytes; nothing is shown unless `seen`.
    fn new(total: u64, seen: bool) -> Self {
        Self { total, seen, percent: None }
    }

    fn show(&mut self, done: u64, to: &mut impl Write) {
        let percent = done.saturating_mul(100) / self.total.max(1);
        if self.seen && self.percent != Some(percent) {
            self.percent = Some(percent);
            // Nobody can be told that the terminal is gone.
            let _ = write!(to, "\r{percent:>3} % of {} MB", self.total.div_ceil(1_000_000)).and_then(|()| to.flush());
        }
    }

    /// Leaves an empty line for what is said next.
    fn end(&mut self, to: &mut impl Write) {
        if self.percent.take().is_some() {
            // As above.
            let _ = write!(to, "\r\x1b[K").and_then(|()| to.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Gives `good` bytes, then fails.
    struct Breaking(usize);

    impl Read for Breaking {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.min(to.len());
            self.0 -= count;
            if count == 0 { Err(std::io::Error::other("altered")) } else { Ok(count) }
        }
    }

    fn quiet() -> Progress {
        Progress::new(0, false)
    }

    #[test]
    fn progress_says_each_percent_once_and_clears_its_line() {
        let mut told = Vec::new();
        let mut progress = Progress::new(2_500_000, true);
        for done in [0, 10_000, 1_250_000, 1_250_001, 2_500_000] {
            progress.show(done, &mut told);
        }
        progress.end(&mut told);
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told, "\r  0 % of 3 MB\r 50 % of 3 MB\r100 % of 3 MB\r\u{1b}[K");
        let mut unseen = Vec::new();
        let mut progress = Progress::new(2_500_000, false);
        progress.show(1, &mut unseen);
        progress.end(&mut unseen);
        assert!(unseen.is_empty());
    }

    #[test]
    fn a_film_appears_whole_and_private_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let there = || std::fs::read_dir(folder.path()).unwrap().count();
        let out = folder.path().join("film.mp4");
        let go = CancellationToken::new();

        let broken = unseal(Breaking(3 << 20), &out, quiet(), &go).unwrap_err();
        assert!(broken.to_string().contains("recordings verify"), "{broken}");
        assert_eq!(there(), 0, "half a film was left");

        let stopped = CancellationToken::new();
        stopped.cancel();
        assert!(unseal(&b"film"[..], &out, quiet(), &stopped).is_err());
        assert_eq!(there(), 0, "a part was left");

        assert_eq!(unseal(&b"film"[..], &out, quiet(), &go).unwrap(), 4);
        assert_eq!(std::fs::read(&out).unwrap(), b"film");
        assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);

        // Somebody made the file while the film was copied.
        unseal(&b"other"[..], &out, quiet(), &go).unwrap_err();
        assert_eq!((std::fs::read(&out).unwrap().as_slice(), there()), (&b"film"[..], 1));
    }
}
