//! What the demo found, as a table for people and as JSON for machines.

use std::{fmt, fs, thread};

use serde::Serialize;

/// One thing that must hold.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) passed: bool,
    pub(crate) detail: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) recording: String,
    pub(crate) segments: usize,
    pub(crate) frames_expected: usize,
    pub(crate) frames_found: usize,
    pub(crate) flashes_expected: usize,
    pub(crate) flashes_found: usize,
    pub(crate) beeps_expected: usize,
    pub(crate) beeps_found: usize,
    pub(crate) av_skew_ms_p95: f64,
    pub(crate) hls_played_s: f64,
    pub(crate) room_s: f64,
    pub(crate) ready_after_end_s: f64,
    pub(crate) transcript_after_end_s: f64,
    pub(crate) transcript_wer: f64,
    pub(crate) opened_with_age: bool,
    pub(crate) manifest_verified: bool,
    pub(crate) plaintext_hits: usize,
    pub(crate) worker_rss_mb: f64,
    pub(crate) media_rss_mb: f64,
    pub(crate) cpu_s_per_media_s: f64,
    pub(crate) checks: Vec<Check>,
    pub(crate) passed: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nRecording {}\n", self.recording)?;
        for Check { name, passed, detail } in &self.checks {
            writeln!(f, "  {}  {name:<44} {detail}", if *passed { "ok    " } else { "FAILED" })?;
        }
        writeln!(
            f,
            "\n  cost: worker {:.0} MB, media process {:.0} MB, {:.2} s of processor per second recorded\n",
            self.worker_rss_mb, self.media_rss_mb, self.cpu_s_per_media_s
        )
    }
}

impl Report {
    /// The last line: whether all went well, and whether a failure says more about this moment than about Lectern.
    pub(crate) fn verdict(&self) -> String {
        let failed = self.checks.iter().filter(|check| !check.passed).count();
        match failed {
            0 => "passed".into(),
            1 => format!("1 check failed{}", busy().unwrap_or_default()),
            _ => format!("{failed} checks failed{}", busy().unwrap_or_default()),
        }
    }
}

/// Words about a machine that had more to do in the last minute than it has cores for.
pub(crate) fn busy() -> Option<String> {
    let load: f64 = fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()?;
    let cores = thread::available_parallelism().ok()?.get();
    let words = format!("; the machine was busy (load {load:.1} on {cores} cores): try again when it is quiet");
    (load > cores as f64).then_some(words)
}
