//! One token per process: the first SIGTERM or SIGINT cancels it, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Starts listening for signals. Must be called within a runtime.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn token() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ours = token.clone();
    // Lives as long as the process; there is nobody to join it.
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if ours.is_cancelled() {
                tracing::warn!("second signal: leaving at once");
                std::process::exit(130);
            }
            tracing::info!("signal: finishing what was begun");
            ours.cancel();
        }
    });
    Ok(token)
}
