//! What processes cost: peak memory and processor time, from `/proc`, over their lives.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

/// `/proc/…/stat` counts in these on every Linux that Rust runs on (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;
const EVERY: Duration = Duration::from_millis(500);

/// One process, as last seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Its arguments, without the program.
    pub args: Vec<String>,
    pub peak_mb: f64,
    pub cpu_s: f64,
}

/// Looks at a process and all below it twice a second, and keeps what it saw of those that have ended.
#[derive(Debug)]
pub struct Meter {
    seen: Arc<Mutex<BTreeMap<u32, Cost>>>,
    task: JoinHandle<()>,
}

impl Meter {
    pub fn of(root: u32) -> Self {
        let seen = Arc::<Mutex<BTreeMap<u32, Cost>>>::default();
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                for pid in tree(root) {
                    if let Some(cost) = look(pid) {
                        into.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, cost);
                    }
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { seen, task }
    }

    /// Everything seen so far whose first argument is `word`.
    pub fn of_kind(&self, word: &str) -> Vec<Cost> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.values().filter(|c| c.args.iter().any(|a| a == word)).cloned().collect()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `root` and its descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        // Children hang below the thread that started them.
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    found
}

/// None when it has gone.
pub(crate) fn look(pid: u32) -> Option<Cost> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let args = read("cmdline")?.split('\0').skip(1).filter(|a| !a.is_empty()).map(str::to_owned).collect();
    let status = read("status")?;
    let peak =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse::<f64>().ok()?;
    let stat = read("stat")?;
    // Fields count from the end of the name, which may hold spaces: state is the third, utime the 14th (proc(5)).
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<f64>().ok());
    Some(Cost { args, peak_mb: peak / 1024.0, cpu_s: (ticks(14)? + ticks(15)?) / TICKS })
}

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Held {
    /// Resident, in MiB.
    pub rss_mb: f64,
    /// Open files, sockets and pipes.
    pub descriptors: f64,
    pub threads: f64,
}

/// None when it has gone.
pub fn held(pid: u32) -> Option<Held> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number =
        |name: &str| status.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse::<f64>().ok();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as f64;
    Some(Held { rss_mb: number("VmRSS:")? / 1024.0, descriptors, threads: number("Threads:")? })
}

/// The line of least squares through `points`: its slope, and its value at zero. None for fewer than two moments.
pub fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (at, value) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - at).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - at) * (p.1 - value)).sum::<f64>() / spread;
    slope.is_finite().then_some((slope, value - slope * at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Process, Program, until};

    #[test]
    fn a_line_finds_growth_and_nothing_else() {
        let rising: Vec<_> = (0..50_u8).map(|n| (f64::from(n), 3.0 + 0.5 * f64::from(n))).collect();
        let (slope, level) = line(&rising).unwrap();
        assert!((slope - 0.5).abs() < 1e-9 && (level - 3.0).abs() < 1e-9);
        assert_eq!(line(&[(1.0, 2.0)]), None);
        let noisy: Vec<_> = (0..100_u8).map(|n| (f64::from(n), if n % 2 == 0 { 10.0 } else { 12.0 })).collect();
        assert!(line(&noisy).unwrap().0.abs() < 0.01);
    }

    #[test]
    fn what_this_process_opens_is_counted() {
        let before = held(std::process::id()).unwrap();
        let files: Vec<_> = (0..20).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let with = held(std::process::id()).unwrap();
        // Other tests of this program open and close files meanwhile.
        assert!(with.descriptors >= before.descriptors + files.len() as f64 - 8.0, "{before:?} {with:?}");
        assert!(with.threads >= 1.0 && with.rss_mb > 1.0);
    }

    #[tokio::test]
    async fn a_child_that_burns_time_is_seen_burning_it() {
        let folder = tempfile::tempdir().unwrap();
        let burn = Program::new("sh").args(["-c", "while :; do :; done", "burner"]);
        let child = Process::start(burn, &folder.path().join("log")).unwrap();
        let meter = Meter::of(std::process::id());
        let cost = until("it has burnt 0.3 s", Duration::from_secs(30), async || {
            Ok(meter.of_kind("burner").into_iter().find(|c| c.cpu_s > 0.3))
        });
        let cost = cost.await.unwrap();
        assert!(cost.peak_mb > 0.1 && cost.peak_mb < 50.0, "{cost:?}");
        child.kill().unwrap();
    }
}
