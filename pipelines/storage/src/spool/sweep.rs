//! Fails the n-th thing that a spool asks of its disk, for all n, then cuts the power, starts anew and looks: what was
//! said to be durable is in the store in the end, what got a receipt was there at once, and what was refused can be
//! tried again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use events::{PolicyId, RecordingId, SessionId, TenantId};
use tokio_util::sync::CancellationToken;

use super::disk::{Disk, Real};
use super::{Fill, Spool};
use crate::embedded::Embedded;
use crate::keys::Institution;
use crate::seal::{Recipients, SealKey, Sealed};
use crate::store::{Bucket, Config, Store};
use crate::{RecordingPath, Writer};

/// A disk that fails once, or from then on as for a process that was killed. Without power it keeps what was synced.
#[derive(Debug)]
struct Fickle {
    fails_at: usize,
    dies: bool,
    lived: Mutex<Lived>,
}

#[derive(Debug, Default)]
struct Lived {
    asked: usize,
    /// Files whose bytes a power cut would take.
    volatile: HashSet<PathBuf>,
    /// Renames that a power cut would undo, in order.
    renamed: Vec<(PathBuf, PathBuf)>,
}

impl Fickle {
    fn new(fails_at: usize, dies: bool) -> Arc<Self> {
        Arc::new(Self { fails_at, dies, lived: Mutex::default() })
    }

    fn ask(&self) -> io::Result<()> {
        let mut lived = self.lived.lock().unwrap();
        let nth = lived.asked;
        lived.asked += 1;
        let fails = nth == self.fails_at || (self.dies && nth > self.fails_at);
        if fails { Err(io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32)) } else { Ok(()) }
    }

    fn asked(&self) -> usize {
        self.lived.lock().unwrap().asked
    }

    fn cut_power(&self) {
        let mut lived = self.lived.lock().unwrap();
        for (from, to) in std::mem::take(&mut lived.renamed).into_iter().rev() {
            if to.exists() {
                fs::rename(&to, &from).unwrap();
                if lived.volatile.remove(&to) {
                    lived.volatile.insert(from);
                }
            }
        }
        for path in lived.volatile.drain().filter(|path| path.exists()) {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
    }
}

impl Disk for Fickle {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let asked = self.ask();
        self.lived.lock().unwrap().volatile.insert(path.into());
        // A disk that is full has taken a part.
        let taken = if asked.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let file = Real.write(path, taken)?;
        asked.map(|()| file)
    }

    fn sync(&self, path: &Path, file: &File) -> io::Result<()> {
        self.ask()?;
        Real.sync(path, file)?;
        self.lived.lock().unwrap().volatile.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask()?;
        Real.rename(from, to)?;
        let mut lived = self.lived.lock().unwrap();
        if lived.volatile.remove(from) {
            lived.volatile.insert(to.into());
        }
        lived.renamed.push((from.into(), to.into()));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.ask()?;
        Real.sync_folder(folder)?;
        self.lived.lock().unwrap().renamed.retain(|(_, to)| to.parent() != Some(folder));
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.ask()?;
        Real.read(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask()?;
        Real.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.ask()?;
        Real.list(folder)
    }

    fn fill(&self, folder: &Path) -> io::Result<Fill> {
        Real.fill(folder)
    }
}

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    /// Another address, where nobody is.
    away: Store,
    seal: SealKey,
    stop: CancellationToken,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn path() -> RecordingPath {
    let tenant = TenantId::new("uni").unwrap();
    let recording = RecordingId::derive(&tenant, &SessionId::new("s").unwrap(), &PolicyId::new("p").unwrap());
    RecordingPath { tenant, year: 2026, recording }
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, name).unwrap();
        Some(path)
    };
    let s3 =
        Embedded::bind("127.0.0.1:0".parse().unwrap(), &folder.path().join("s3"), "access", "secret").await.unwrap();
    let config = Config {
        endpoint: Some(s3.endpoint()),
        access_key_file: file("access"),
        secret_key_file: file("secret"),
        create_buckets: true,
        ..Config::default()
    };
    let stop = CancellationToken::new();
    tokio::spawn(s3.run(stop.clone()));
    let store = Store::connect(&config).await.unwrap();
    let nowhere = Config { endpoint: Some("http://127.0.0.1:9".into()), create_buckets: false, ..config };
    let away = Store::connect(&nowhere).await.unwrap();
    let made = Institution::generate(&folder.path().join("keys"), "a@b").unwrap();
    let to = Recipients::parse(&[made.archive, made.pipeline]).unwrap();
    let seal = SealKey::create(&store, &path(), &Writer::Epoch(1), &to).await.unwrap();
    Bench { folder, store, away, seal, stop }
}

impl Bench {
    /// Whether the store has exactly this.
    async fn has(&self, key: &str, sealed: &Sealed<Vec<u8>>) -> bool {
        let found = self.store.get(Bucket::Media, key, sealed.size()).await;
        found.is_ok_and(|(bytes, _)| bytes == sealed.bytes())
    }

    /// Three segments on a disk that fails; how many things were asked of it.
    async fn run(&self, run: u32, disk: &Arc<Fickle>, away: bool) -> usize {
        let dir = self.folder.path().join(format!("spool-{run}"));
        let segments: Vec<(String, Sealed<Vec<u8>>)> = (0..3_u64)
            .map(|n| (path().segment(run, &media::Rendition::video(), n), self.seal.seal(vec![n as u8; 3000])))
            .collect();
        let mut durable = Vec::new();
        if let Ok(spool) = Spool::on(disk.clone(), &dir) {
            let added = segments.iter().map(|(key, sealed)| spool.add(key, sealed));
            let added: Vec<_> = added.collect();
            for (item, (key, sealed)) in added.into_iter().zip(&segments) {
                let Ok(item) = item else { continue };
                durable.push(key);
                let store = if away { &self.away } else { &self.store };
                if spool.upload(store, item).await.is_ok() {
                    assert!(self.has(key, sealed).await, "{key} got a receipt and is not stored");
                }
            }
        }
        let asked = disk.asked();
        disk.cut_power();

        let spool = Spool::open(&dir).unwrap();
        for item in spool.orphans().unwrap() {
            spool.upload(&self.store, item).await.unwrap();
        }
        for (key, sealed) in &segments {
            if durable.contains(&key) {
                assert!(self.has(key, sealed).await, "{key} was said to be durable, and is lost");
            } else {
                let item = spool.add(key, sealed).unwrap();
                spool.upload(&self.store, item).await.unwrap();
                assert!(self.has(key, sealed).await, "{key} was tried again in vain");
            }
        }
        assert_eq!(spool.waiting().unwrap(), (0, 0));
        asked
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_thing_the_disk_fails_at_nothing_that_was_acknowledged_is_lost() {
    let bench = bench().await;
    let mut runs = 0;
    for (dies, away) in [(false, false), (true, false), (false, true), (true, true)] {
        // Up to the first number that nothing is asked under: by then each has failed once.
        for fails_at in 0.. {
            runs += 1;
            let disk = Fickle::new(fails_at, dies);
            if bench.run(runs, &disk, away).await <= fails_at {
                assert!(fails_at > 15, "only {fails_at} things were asked of the disk");
                break;
            }
        }
    }
    println!("{runs} runs");
}
