//! Live webinars over HTTP: takes parts from recorders, keeps the last minutes in memory, serves playlists and media
//! to players, and a page that plays them. What playlists say is `hls`'; nothing here is written to disk or sealed,
//! for a webinar is public.
//!
//! # Design
//! - **From memory, never from S3** (DESIGN D10): live playlists from object storage stall players.
//! - **Fenced by epoch** (DESIGN D11): a recorder that was superseded gets 409 and must stop pushing. With a newer one
//!   beside it that is only once viewers have gone on with the newer one.
//! - **The playlist clock goes on when somebody looks** (DESIGN D11): how long nothing was heard is known at any time, so
//!   no task has to tick. After five minutes without a recorder lists stand still; the webinar still waits for one.
//! - **Bodies are the same for every viewer** (DESIGN D12), with lifetimes that let any cache stand in front.
//! - **Answers to a recorder say what to do**: 412 asks it to begin again with the init section (the origin has
//!   restarted), 503 to wait, 400 and 413 to drop what it sent, 409 to stop.

mod config;
mod ingest;
mod page;
mod problem;
mod serve;
mod webinars;

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use chassis::{Sections, listen};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::{Config, Token};
pub use webinars::Webinars;

/// Serves `[origin]` until `stop`.
///
/// # Errors
/// When the configuration is not complete or the address is taken.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let config: Config = sections.section("origin")?;
    let token = config.token(sections)?;
    let patience = config.patience()?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}; set [origin].listen to a free address", config.listen))?;
    tracing::info!(listen = %config.listen, "origin serves webinars");
    let webinars = Arc::new(Webinars::new(&config));
    listen::serve(listener, app(webinars, token), stop, patience).await;
    Ok(())
}

/// The whole service as a value: tests give it a listener of their own.
pub fn app(webinars: Arc<Webinars>, ingest_token: Token) -> Router {
    ingest::routes(Arc::clone(&webinars), ingest_token).merge(serve::routes(webinars)).merge(page::routes())
}
