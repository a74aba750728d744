//! Where lecturers find their recordings: a list, a page that plays one with captions and transcript, downloads, and
//! the same as JSON. Unseals by range, in memory, whatever a signed manifest names, and nothing else.
//!
//! # Design
//! - **Holds the pipeline identity**, so it can open every recording: it listens on loopback alone unless told
//!   otherwise, and shows nothing without its token. Logins of a university come later.
//! - **The manifest is proven first** (DESIGN D4): a recording whose manifest is not signed by one of ours is said to
//!   be unproven and not played.
//! - **No plaintext on disk, none in caches of browsers**: pages and media are `no-store`; titles, manifests and keys
//!   stay in memory for a minute, so that what was shredded is soon unreadable here too.
//! - **State comes from `state.json`** of each recording (DESIGN D6); there is no database to disagree with it.

mod api;
mod cache;
mod catalogue;
mod config;
mod door;
mod files;
mod page;
mod playback;
mod range;
mod recording;
mod trouble;
mod words;

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use chassis::{Sections, listen};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use catalogue::Catalogue;
pub use config::Config;
pub use door::Token;

use crate::trouble::Trouble;

/// Serves `[portal]` until `stop`. At the first start a token is made, and a link with it printed.
///
/// # Errors
/// When the configuration is not complete, a key cannot be read, or the address is taken.
pub async fn run(sections: &Sections, stop: CancellationToken) -> anyhow::Result<()> {
    let config = Config::read(sections)?;
    let token = Token::find(&config.token_file, config.listen)?;
    let catalogue = Arc::new(Catalogue::open(&config, sections).await?);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}; set [portal].listen to a free address", config.listen))?;
    tracing::info!(listen = %config.listen, token_file = %config.token_file.display(), "portal shows recordings");
    listen::serve(listener, app(catalogue, token), stop, config.patience()?).await;
    Ok(())
}

/// For `lectern check-config`: the section is right, and a token file that is there holds a token. Makes nothing.
///
/// # Errors
/// What is wrong, and what to do.
pub fn check(sections: &Sections) -> anyhow::Result<()> {
    Token::read(&Config::read(sections)?.token_file).map(drop)
}

/// The whole service as a value: tests give it a listener of their own.
pub fn app(catalogue: Arc<Catalogue>, token: Token) -> Router {
    let behind_the_door = Router::new()
        .route("/", get(page::list))
        .route("/recordings/{recording}", get(recording::show))
        .route("/recordings/{recording}/{file}", get(file))
        .route("/api/recordings", get(api::list))
        .route("/api/recordings/{recording}", get(api::one))
        .fallback(async || Trouble::NoSuchPage)
        .with_state(catalogue)
        .layer(axum::middleware::from_fn_with_state(token, door::guard));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/assets/{file}", get(files::asset))
        .merge(behind_the_door)
        .layer(axum::middleware::map_response(files::careful_headers))
}

async fn file(
    State(catalogue): State<Arc<Catalogue>>,
    Path((recording, name)): Path<(String, String)>,
    request: playback::Asked,
) -> Result<Response, Trouble> {
    let recording = recording.parse().map_err(|_| Trouble::NoSuchPage)?;
    playback::answer(&catalogue, recording, &name, &request).await
}
