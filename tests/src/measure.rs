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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Process, Program, until};

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
