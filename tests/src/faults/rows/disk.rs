//! The spool's disk is full, fails, or tears what was written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::Rng;

use super::super::bench::{Bench, say};
use super::super::campus::{SOON, TAKES};
use super::super::look::seconds;
use super::super::matrix::Id;
use super::super::proxy::Line;
use super::super::verdict::Verdict;
use super::store::waiting;
use super::{SETTLES, film, passes, whole};
use crate::process::until;

/// A file system of its own in memory. Dropping it takes it away.
#[derive(Debug)]
struct Small(PathBuf);

impl Small {
    fn of(folder: &Path, bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let size = format!("size={bytes}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "spool"]).arg(folder).output();
        let out = mount.context("run mount")?;
        ensure!(out.status.success(), "mount a tmpfs, which needs root: {}", String::from_utf8_lossy(&out.stderr));
        Ok(Self(folder.to_owned()))
    }

    /// Used, 0 to 1.
    fn used(&self) -> f64 {
        match nix::sys::statvfs::statvfs(&self.0) {
            Ok(all) => 1.0 - all.blocks_available() as f64 / all.blocks().max(1) as f64,
            Err(_) => 0.0,
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: whoever still writes there is about to end.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// What the spool keeps back of its disk (see `storage::spool::Bound`): 8 MiB for the one slot.
const RESERVE: u64 = 8 << 20;

/// F19. Somebody else's files fill the disk, step by step, while the store is away: the test's own picture would need an
/// hour for it.
pub(crate) async fn full(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let stay = if bench.full { 60.0 } else { 14.0 };
    let size: u64 = 64 << 20;
    let campus = bench.campus().await?;
    let mut worker = campus.service("recorder", "full", "")?;
    let small = Small::of(&worker.spool(), size)?;
    let filler = worker.spool().join("filler");
    let fill = |share: f64| -> anyhow::Result<()> {
        let theirs = (small.used() * size as f64) as u64 - fs::metadata(&filler).map_or(0, |known| known.len());
        let bytes = (share * (size - RESERVE) as f64) as u64;
        Ok(fs::write(&filler, vec![0; usize::try_from(bytes.saturating_sub(theirs))?])?)
    };
    fill(0.5)?;
    worker.start()?;
    worker.says(TAKES).await?;
    let lecture = campus.lecture("Lecture F19").await?;
    let (recording, started) = lecture.started().await?;
    campus.stored(recording, 1, SOON).await?;
    campus.store_line.set(Line::Refuse);
    let away = std::time::SystemTime::now();
    let mut marks = Vec::new();
    for share in [0.85, 0.96, 0.985] {
        let begun = Instant::now();
        fill(share)?;
        say(format!("{:.1} % of the spool's room are used", share * 100.0));
        marks.push((share, away.elapsed().unwrap_or_default().as_secs_f64().round()));
        while begun.elapsed().as_secs_f64() < stay && !worker.media().is_empty() {
            passes(0.5).await;
        }
    }
    let peak = small.used();
    let waited = away.elapsed().unwrap_or_default().as_secs_f64();
    campus.store_line.set(Line::Open);
    let drained =
        until("the spool has drained", SOON * 3, async || Ok((waiting(&worker.spool()).0 <= 2).then_some(()))).await;
    let over = lecture.over(started, SOON * 3).await?;
    let shown = film(campus, &over)?;
    let heard: Vec<f64> = shown.beeps.iter().copied().filter(|at| *at > seconds(away)).collect();
    let tenths = shown.codes.shown.iter().filter(|shown| shown.wall > seconds(away));
    let tenths: BTreeSet<i64> = tenths.map(|shown| (shown.wall * 10.0).round() as i64).collect();
    let seen = tenths.len() as f64 / 10.0;
    let state = campus.state(recording)?;
    let manifest = campus.manifest(recording)?;
    let (sound, findings) = campus.verify(recording)?;
    let marks: Vec<String> = marks.into_iter().map(|(mark, at)| format!("{:.1} % at {at} s", mark * 100.0)).collect();
    Ok(Verdict::of(heard.len() as f64, 1)
        .holds(peak > 0.8, format!("the disk was {:.0} % full at most", peak * 100.0))
        .holds(seen + stay / 2.0 < heard.len() as f64, format!("{seen} s of picture, {} s of sound", heard.len()))
        .holds(drained.is_ok(), "the spool does not drain")
        .holds(heard.len() as f64 + stay / 2.0 < waited, "it does not end the recording when the disk is full")
        .holds(state["phase"] == "partial", format!("the recording is {}", state["phase"]))
        .holds(sound, format!("verify: {findings:?}"))
        .holds(heard.len() as f64 + 1.0 >= seen.floor(), "picture was kept longer than sound")
        .with("disk_bytes", size)
        .with("marks", marks)
        .with("picture_kept_s", seen)
        .with("gaps", manifest["gaps"].clone()))
}

/// F20.
pub(crate) async fn failing(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let lasts = if bench.full { 120.0 } else { 14.0 };
    let campus = bench.campus().await?;
    let mut worker = campus.service("recorder", "failing", "")?;
    let trace = campus.folder("strace")?.join("trace");
    // Every second one fails, after the first ones have gone well.
    worker.through([
        "strace".into(),
        "--follow-forks".into(),
        "--seccomp-bpf".into(),
        "--trace=fdatasync".into(),
        "--inject=fdatasync:error=EIO:when=4+2".into(),
        "--output".into(),
        trace.clone().into_os_string(),
    ]);
    worker.start()?;
    worker.says(TAKES).await?;
    let lecture = campus.lecture("Lecture F20").await?;
    let (_, started) = lecture.started().await?;
    passes(lasts).await;
    let over = lecture.over(started, SOON * 2).await?;
    let struck = fs::read_to_string(&trace)?.matches("(INJECTED)").count();
    let said = worker.said().contains("the spool takes nothing, and segments are kept in memory");
    let missing =
        film(campus, &over)?.codes.longest_missing(over.started + SETTLES, over.ended - Duration::from_millis(1500));
    let verdict = Verdict::of(missing, u32::try_from(struck)?)
        .holds(struck > 0, "no fdatasync failed")
        .holds(said, "it does not say that the spool takes nothing");
    whole(verdict, campus, &over)
}

/// F21.
pub(crate) async fn torn(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let mut chance = bench.chance(Id::F21);
    let times = bench.times(1, 10);
    let (mut believed, mut runs) = (0_u32, 0_u32);
    let mut notes = Vec::new();
    for _ in 0..times {
        let campus = bench.campus().await?;
        let mut worker = campus.worker("torn").await?;
        let lecture = campus.lecture("Lecture F21").await?;
        let (recording, _) = lecture.started().await?;
        campus.stored(recording, 1, SOON).await?;
        campus.store_line.set(Line::Refuse);
        let spool = worker.spool();
        let _ = fs::remove_dir_all(spool.join("torn"));
        until("six files wait", SOON, async || Ok((waiting(&spool).0 >= 6).then_some(()))).await?;
        worker.power_cut()?;
        let mut files: Vec<PathBuf> = fs::read_dir(spool.join("ready"))?.flatten().map(|e| e.path()).collect();
        files.sort();
        let [cut, altered, emptied, foreign, ..] = files.as_slice() else { anyhow::bail!("{} files", files.len()) };
        let bytes = fs::read(cut)?;
        fs::write(cut, &bytes[..chance.random_range(1..bytes.len())])?;
        let mut bytes = fs::read(altered)?;
        let at = chance.random_range(0..bytes.len());
        bytes[at] ^= 1;
        fs::write(altered, &bytes)?;
        fs::write(emptied, b"")?;
        // A link to what is not ours, in the place of a file.
        fs::remove_file(foreign)?;
        std::os::unix::fs::symlink("/etc/hostname", foreign)?;
        let bad: Vec<String> = [cut, altered, emptied, foreign].iter().map(|path| key_of(path)).collect();
        let good: Vec<String> = files.iter().skip(4).map(|path| key_of(path)).collect();
        // One whose receipt was on its way when the line went is stored already, and waits all the same.
        let store = campus.lectern.store().join("lectern-media");
        let stored = |key: &str| fs::read(store.join(key)).ok();
        let before: Vec<_> = bad.iter().map(|key| stored(key)).collect();
        runs += 4;
        campus.store_line.set(Line::Open);
        worker.start()?;
        worker.says(TAKES).await?;
        for (key, before) in bad.into_iter().zip(before) {
            if stored(&key) != before {
                believed += 1;
                notes.push(format!("{key} was stored"));
            }
        }
        let unstored = good.iter().filter(|key| stored(key).is_none()).count();
        let aside = fs::read_dir(spool.join("torn"))?.count();
        if unstored > 0 || aside < 4 || !worker.said().contains("set aside") {
            notes.push(format!("{unstored} whole files are not stored, {aside} of 4 torn ones set aside"));
        }
        lecture.meeting.room.destroy().await?;
        worker.stop()?;
    }
    Ok(Verdict::of(f64::from(believed), runs).holds(notes.is_empty(), notes.join("; ")))
}

/// The object's key in a spooled file's name: `key~hash`, with `/` as `+`.
fn key_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let key = name.rsplit_once('~').map_or(name.as_str(), |(key, _)| key);
    key.replace('+', "/")
}
