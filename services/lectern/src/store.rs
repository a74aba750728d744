//! `lectern store`: what an operator asks before recordings are entrusted to a store.

use std::process::ExitCode;

use anyhow::Result;
use chassis::Sections;
use storage::Bucket;
use storage::store::{Report, Verdict};

use crate::args;
use crate::out::say;
use crate::recordings::store;

/// # Errors
/// When the store cannot be reached, or there is nothing to judge.
pub(crate) async fn run(command: args::Store, sections: &Sections, json: bool) -> Result<ExitCode> {
    match command {
        args::Store::Probe => probe(&store(sections).await?.probe().await?, json),
    }
}

fn probe(report: &Report, json: bool) -> Result<ExitCode> {
    if json {
        say!("{}", serde_json::json!({ "fit": report.fit(), "verdicts": report.verdicts }));
    } else {
        say!("{:<7}  {:<6}  {:<26}  the store", "", "bucket", "");
        report.verdicts.iter().for_each(|verdict| say!("{}", line(verdict)));
        say!("");
        advice(report).iter().for_each(|what| say!("To do: {what}."));
        say!("The store is {} for recordings.", if report.fit() { "fit" } else { "NOT fit" });
    }
    Ok(if report.fit() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(verdict: &Verdict) -> String {
    let word = match (verdict.ok, verdict.required) {
        (true, _) => "ok",
        (false, true) => "LACKING",
        (false, false) => "without",
    };
    let bucket = match verdict.bucket {
        Bucket::Media => "media",
        Bucket::Keys => "keys",
    };
    format!("{word:<7}  {bucket:<6}  {:<26}  {}", verdict.capability, verdict.says)
}

/// What to do, each thing once; first what recordings cannot do without.
fn advice(report: &Report) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for required in [true, false] {
        for verdict in report.verdicts.iter().filter(|verdict| !verdict.ok && verdict.required == required) {
            if !all.contains(&verdict.what_to_do.as_str()) {
                all.push(&verdict.what_to_do);
            }
        }
    }
    all
}
