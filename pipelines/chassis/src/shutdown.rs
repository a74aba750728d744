//! One token per process: the first SIGTERM or SIGINT cancels it, the second ends the process at once.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// One wish to end may come as several signals: from a terminal and from the process above, or once for each thread of
/// a parent that dies. Who means it again is not so quick.
const ONE_WISH: Duration = Duration::from_secs(1);

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
        let mut signal = async || {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        signal().await;
        tracing::info!("signal: finishing what was begun");
        ours.cancel();
        let begun = Instant::now();
        loop {
            signal().await;
            if begun.elapsed() > ONE_WISH {
                tracing::warn!("second signal: leaving at once");
                std::process::exit(130);
            }
        }
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Were the second taken for a new wish, this whole test program would end with 130.
    #[tokio::test]
    async fn signals_that_come_together_are_one_wish() {
        let token = token().unwrap();
        let me = std::process::id().to_string();
        for _ in 0..5 {
            let sent = tokio::process::Command::new("kill").args(["-TERM", &me]).status().await.unwrap();
            assert!(sent.success());
            tokio::time::timeout(ONE_WISH, token.cancelled()).await.unwrap();
        }
    }
}
