//! `lectern check-config`: what is missing or out of reach, each with what to do. Tries everything, stops at nothing.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use broker::Broker;
use chassis::Sections;
use events::TenantId;
use meeting::{Meeting, Server};
use serde::{Deserialize, Serialize};
use storage::manifest::{Signers, SigningKey, sign, verify_signature};
use storage::{Identity, Recipients};

use crate::out::say;
use crate::recordings::store;
use crate::service::credentials;
use crate::up::Service;

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
    found.note("[store] key files", sections.section("store").map_err(Into::into).and_then(|c| credentials(&c)));
    found.note("[store]", reach_store(sections).await);
    found.note("[broker]", reach_broker(sections).await);
    meetings(&mut found, sections).await;
    found.note("[bridge]", bridge::check(sections));
    found.note("[recorder]", recorder::check(sections));
    found.note("[transcriber]", transcriber::check(sections));
    found.note("[finalizer]", sections.section::<finalizer::Config>("finalizer"));
    found.note("[origin]", origin_token(sections));
    found.note("[portal]", portal::check(sections));

    let problems = found.0.iter().filter(|f| !f.ok).count();
    if json {
        say!("{}", serde_json::json!({ "problems": problems, "findings": found.0 }));
    } else {
        for finding in &found.0 {
            if finding.ok {
                say!("ok       {}", finding.what);
            } else {
                say!("PROBLEM  {}: {}", finding.what, finding.problem);
            }
        }
        say!("{problems} problems");
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn keys(found: &mut Findings, sections: &Sections) {
    let seal: storage::seal::Config = match sections.section("seal") {
        Ok(seal) => seal,
        Err(error) => return found.note("[seal]", Err::<(), _>(error)),
    };
    found.note("[seal] recipients", Recipients::parse(&seal.recipients));
    match (&seal.pipeline_identity_file, opener(sections)) {
        (None, None) => {}
        (None, Some(service)) => {
            let problem = anyhow::anyhow!("is not set, and [up] runs the {service}, which opens recordings with it");
            found.note("[seal] pipeline_identity_file", Err::<(), _>(problem));
        }
        (Some(file), _) => {
            let identity = Identity::load(file).map_err(anyhow::Error::from).and_then(|identity| {
                // Whatever is recorded now must be readable by the services that finish it.
                anyhow::ensure!(
                    seal.recipients.contains(&identity.public()),
                    "its public key is not among [seal].recipients, so nothing recorded could be finished; add it"
                );
                Ok(())
            });
            found.note("[seal] pipeline_identity_file", identity);
        }
    }
    let secrets =
        [("pipeline_identity_file", &seal.pipeline_identity_file), ("signing_key_file", &seal.signing_key_file)];
    for (name, file) in secrets {
        // That it is missing is said where it is read.
        if let Some(file) = file.as_deref().filter(|file| file.exists()) {
            found.note(format_args!("[seal] {name} is private"), private(file));
        }
    }
    let signing = seal.signing_key_file.as_deref().map(SigningKey::load);
    let signers = seal.signers_file.as_deref().map(Signers::load);
    if let (Some(Ok(signing)), Some(Ok(signers))) = (&signing, &signers) {
        let signature = sign(signing, b"check-config");
        let believed = verify_signature(signers, b"check-config", &signature);
        found.note("[seal] signers_file knows signing_key_file", believed);
    }
    if let Some(signing) = signing {
        found.note("[seal] signing_key_file", signing);
    }
    if let Some(signers) = signers {
        found.note("[seal] signers_file", signers);
    }
}

/// A secret that any user of this machine may read is none. A group of the services' own may.
fn private(file: &Path) -> Result<()> {
    let mode = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.mode();
    anyhow::ensure!(mode & 0o007 == 0, "every user may read it; run `chmod 600 {}`", file.display());
    Ok(())
}

/// The first service on this machine that opens recordings, if one does.
fn opener(sections: &Sections) -> Option<&'static str> {
    let up: crate::up::Config = sections.section("up").ok()?;
    let openers = [Service::Finalizer, Service::Transcriber, Service::Portal];
    openers.into_iter().find(|service| up.services.contains(service)).map(Service::name)
}

/// What recorders must show is there, and no word that could be guessed.
fn origin_token(sections: &Sections) -> Result<()> {
    let config: origin::Config = sections.section("origin")?;
    let Some(file) = config.ingest_token_file else {
        anyhow::bail!("ingest_token_file is not set; name a file with a random word that recorders have too");
    };
    let word = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}; `lectern init` writes one", file.display()))?;
    origin::Token::new(word.trim()).with_context(|| format!("the token in {}", file.display()))?;
    Ok(())
}

/// With the embedded S3 there is nothing to reach before `lectern up` has started it.
async fn reach_store(sections: &Sections) -> Result<()> {
    let up: crate::up::Config = sections.section("up")?;
    if up.s3.is_some_and(|s3| std::net::TcpStream::connect(s3.listen).is_err()) {
        // Not up: then `[store]` itself must still make sense.
        sections.section::<storage::store::Config>("store")?;
        return Ok(());
    }
    Ok(store(sections).await?.check().await?)
}

async fn reach_broker(sections: &Sections) -> Result<()> {
    let config: broker::Config = sections.section("broker")?;
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
