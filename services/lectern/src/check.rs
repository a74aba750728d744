//! `lectern check-config`: what is missing or out of reach, each with what to do. Tries everything, stops at nothing.

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::Result;
use broker::Broker;
use chassis::Sections;
use events::TenantId;
use meeting::{Meeting, Server};
use serde::{Deserialize, Serialize};
use storage::manifest::{Signers, SigningKey};
use storage::{Identity, Recipients};

use crate::recordings::store;

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    /// What is wrong and what to do about it; empty when nothing is.
    problem: String,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn note<T, E: Into<anyhow::Error>>(&mut self, what: impl Display, outcome: Result<T, E>) {
        let problem = outcome.err().map(|error| format!("{:#}", error.into())).unwrap_or_default();
        self.0.push(Finding { what: what.to_string(), ok: problem.is_empty(), problem });
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    #[serde(rename = "id")]
    _id: TenantId,
}

/// Looks at everything the configuration names.
///
/// # Errors
/// Never for a finding: those are printed and make the exit code 1.
pub(crate) async fn check(sections: &Sections, json: bool) -> Result<ExitCode> {
    let mut found = Findings::default();
    found.note("[tenant]", sections.section::<Tenant>("tenant"));
    found.note("GStreamer elements", compositor::check());
    keys(&mut found, sections);
    found.note("[store]", reach_store(sections).await);
    found.note("[broker]", reach_broker(sections).await);
    meetings(&mut found, sections).await;
    found.note("[bridge]", bridge::check(sections));
    found.note("[recorder]", recorder::check(sections));
    found.note("[transcriber]", transcriber::check(sections));
    found.note("[finalizer]", sections.section::<finalizer::Config>("finalizer"));
    found.note("[origin]", sections.section::<origin::Config>("origin"));
    found.note("[portal]", sections.section::<portal::Config>("portal"));

    let problems = found.0.iter().filter(|f| !f.ok).count();
    if json {
        println!("{}", serde_json::json!({ "problems": problems, "findings": found.0 }));
    } else {
        for finding in &found.0 {
            if finding.ok {
                println!("ok       {}", finding.what);
            } else {
                println!("PROBLEM  {}: {}", finding.what, finding.problem);
            }
        }
        println!("{problems} problems");
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn keys(found: &mut Findings, sections: &Sections) {
    let seal: storage::seal::Config = match sections.section("seal") {
        Ok(seal) => seal,
        Err(error) => return found.note("[seal]", Err::<(), _>(error)),
    };
    found.note("[seal] recipients", Recipients::parse(&seal.recipients));
    if let Some(file) = &seal.pipeline_identity_file {
        let identity = Identity::load(&sections.beside(file)).map_err(anyhow::Error::from).and_then(|identity| {
            // Whatever is recorded now must be readable by the services that finish it.
            anyhow::ensure!(
                seal.recipients.contains(&identity.public()),
                "its public key is not among [seal].recipients, so nothing recorded could be finished; add it"
            );
            Ok(())
        });
        found.note("[seal] pipeline_identity_file", identity);
    }
    if let Some(file) = &seal.signing_key_file {
        found.note("[seal] signing_key_file", SigningKey::load(&sections.beside(file)));
    }
    if let Some(file) = &seal.signers_file {
        found.note("[seal] signers_file", Signers::load(&sections.beside(file)));
    }
}

/// With the embedded S3 there is nothing to reach before `lectern up` has started it.
async fn reach_store(sections: &Sections) -> Result<()> {
    let up: crate::up::Config = sections.section("up")?;
    let store = store(sections).await;
    if up.s3.is_some_and(|s3| std::net::TcpStream::connect(s3.listen).is_err()) {
        // Not up: then `[store]` itself must still make sense.
        let _: storage::store::Config = sections.section("store")?;
        return Ok(());
    }
    Ok(store?.check().await?)
}

async fn reach_broker(sections: &Sections) -> Result<()> {
    let mut config: broker::Config = sections.section("broker")?;
    config.password_file = config.password_file.map(|file| sections.beside(&file));
    Ok(Broker::check(&config).await?)
}

async fn meetings(found: &mut Findings, sections: &Sections) {
    match sections.section::<std::collections::BTreeMap<String, Server>>("meeting") {
        Err(error) => found.note("[meeting]", Err::<(), _>(error)),
        Ok(servers) if servers.is_empty() => {
            let problem = anyhow::anyhow!("no meeting server is configured; add one such as [meeting.campus]");
            found.note("[meeting]", Err::<(), _>(problem));
        }
        Ok(servers) => {
            for (name, server) in servers {
                found.note(format_args!("[meeting.{name}]"), Meeting::check(&server).await);
            }
        }
    }
}
