//! Runs the test programs of one `cargo test --workspace --no-run`, suite by suite, each under a hard time limit.
//!
//! Running from one build matters: `cargo test -p X` may choose other features of X's dependencies and compile them
//! again. Decides nothing about what a test means; a test program that fails, hangs or is missing fails the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use clap::{Parser, ValueEnum};
use serde::Serialize;

/// Tables, properties and golden texts: no clock, no I/O.
const PURE: [&str; 8] = ["events", "media", "layout", "hls", "claim", "timeline", "session", "simulator"];

#[derive(Debug, Parser)]
struct Args {
    /// What to run; all of it without a name.
    suites: Vec<Suite>,
    /// Write outcomes and times as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The output of `cargo test --workspace --no-run --message-format json`.
    #[arg(long)]
    built: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Suite {
    /// Tables, properties, golden texts.
    Pure,
    /// One edge at a time: GStreamer, RabbitMQ, Janus, S3 servers, age, ssh-keygen.
    Edges,
    /// Whole meetings against real servers.
    E2e,
}

impl Suite {
    fn of(package: &str) -> Self {
        match package {
            "e2e" => Self::E2e,
            name if PURE.contains(&name) => Self::Pure,
            _ => Self::Edges,
        }
    }

    /// Far above what a healthy run on two busy cores needs: only a hang meets it.
    fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Pure => 300,
            Self::Edges => 600,
            Self::E2e => 1200,
        })
    }

    /// Whole meetings and real servers share two cores badly, so they run one at a time.
    fn threads(self) -> &'static str {
        match self {
            Self::Pure => "2",
            Self::Edges | Self::E2e => "1",
        }
    }
}

#[derive(Debug)]
struct Program {
    package: String,
    name: String,
    path: PathBuf,
    folder: PathBuf,
}

#[derive(Debug, Serialize)]
struct Outcome {
    suite: Suite,
    package: String,
    program: String,
    outcome: &'static str,
    seconds: f64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut programs: BTreeMap<Suite, Vec<Program>> = BTreeMap::new();
    for program in read(&args.built)? {
        programs.entry(Suite::of(&program.package)).or_default().push(program);
    }
    let wanted = if args.suites.is_empty() { vec![Suite::Pure, Suite::Edges, Suite::E2e] } else { args.suites };

    let mut outcomes = Vec::new();
    for suite in wanted {
        let Some(programs) = programs.get(&suite) else { bail!("no test program was built for {suite:?}") };
        for program in programs {
            outcomes.push(run(suite, program).await?);
        }
    }

    if let Some(path) = &args.report {
        let text = serde_json::to_vec_pretty(&outcomes)?;
        std::fs::write(path, text).with_context(|| format!("cannot write the report {}", path.display()))?;
    }
    let failed: Vec<_> = outcomes.iter().filter(|o| o.outcome != "passed").collect();
    println!();
    for o in &outcomes {
        println!("{:<8} {:>7.1} s  {}/{}", o.outcome, o.seconds, o.package, o.program);
    }
    println!("{} passed, {} failed", outcomes.len() - failed.len(), failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The test programs that cargo tells of.
fn read(built: &PathBuf) -> Result<Vec<Program>> {
    let text = std::fs::File::open(built).with_context(|| format!("cannot read {}", built.display()))?;
    let mut programs = Vec::new();
    for message in Message::parse_stream(std::io::BufReader::new(text)) {
        let Message::CompilerArtifact(artifact) = message? else { continue };
        let Some(path) = artifact.executable.filter(|_| artifact.profile.test) else { continue };
        let folder = artifact.manifest_path.parent().context("a manifest lies in a folder")?;
        let package = package_name(&artifact.manifest_path)?;
        // A binary's own unit tests and its library's would carry the same name.
        let kind = if artifact.target.kind.contains(&TargetKind::Bin) { " (bin)" } else { "" };
        programs.push(Program {
            package,
            name: format!("{}{kind}", artifact.target.name),
            path: path.into(),
            folder: folder.into(),
        });
    }
    programs.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(programs)
}

/// A folder is named as its package, but for `tests`, which holds `e2e`.
fn package_name(manifest: &cargo_metadata::camino::Utf8Path) -> Result<String> {
    let folder = manifest.parent().and_then(|p| p.file_name()).context("a manifest lies in a folder")?;
    Ok(if folder == "tests" { "e2e".into() } else { folder.into() })
}

async fn run(suite: Suite, program: &Program) -> Result<Outcome> {
    println!("\n== {}/{}", program.package, program.name);
    let begun = Instant::now();
    let mut child = tokio::process::Command::new(&program.path)
        .args(["--test-threads", suite.threads()])
        .current_dir(&program.folder)
        // As cargo does: golden files are found by it.
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.path.display()))?;
    let outcome = match tokio::time::timeout(suite.limit(), child.wait()).await {
        Ok(Ok(status)) if status.success() => "passed",
        Ok(_) => "failed",
        Err(_) => {
            child.kill().await?;
            "hung"
        }
    };
    Ok(Outcome {
        suite,
        package: program.package.clone(),
        program: program.name.clone(),
        outcome,
        seconds: begun.elapsed().as_secs_f64(),
    })
}
