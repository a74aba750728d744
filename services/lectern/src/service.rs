//! One service, as `lectern up` or an init system runs it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use chassis::Sections;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use crate::up::{Config, Service};

/// Runs `name` until `stop`.
///
/// # Errors
/// What the service itself could not start with.
pub(crate) async fn run(name: Service, supervised: bool, sections: &Sections, stop: CancellationToken) -> Result<()> {
    if supervised {
        // Should `lectern up` be killed, its services must not run on without it.
        prctl::set_pdeathsig(Signal::SIGTERM).context("cannot tie this service to lectern up")?;
    }
    match name {
        Service::S3 => s3(sections, stop).await,
        Service::Bridge => bridge::run(sections, stop).await,
        Service::Recorder => recorder::run(sections, stop).await,
        Service::Finalizer => finalizer::run(sections, stop).await,
        Service::Transcriber => transcriber::run(sections, stop).await,
        Service::Origin => origin::run(sections, stop).await,
        Service::Portal => portal::run(sections, stop).await,
    }
}

/// The embedded S3 server over a folder (DESIGN D7).
async fn s3(sections: &Sections, stop: CancellationToken) -> Result<()> {
    let up: Config = sections.section("up")?;
    let Some(s3) = up.s3 else { bail!("[up.s3] is not configured: add listen and folder, or set [store].endpoint") };
    let store: storage::store::Config = sections.section("store")?;
    let (access, secret) = credentials(&store)?;
    storage::embedded::serve(s3.listen, &s3.folder, &access, &secret, stop).await?;
    Ok(())
}

/// The two words that `[store]` names files for.
pub(crate) fn credentials(store: &storage::store::Config) -> Result<(String, String)> {
    let word = |file: &Option<PathBuf>, what: &str| -> Result<String> {
        let path = file.as_ref().with_context(|| format!("[store].{what} is not set; `lectern init` makes one"))?;
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}; mend [store].{what}", path.display()))?;
        Ok(text.trim().to_owned())
    };
    Ok((word(&store.access_key_file, "access_key_file")?, word(&store.secret_key_file, "secret_key_file")?))
}
