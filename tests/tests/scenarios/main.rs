//! Whole meetings on real servers, one after the other on one installation, each judged by decoding what was recorded.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attendance;
mod controls;
mod endings;
mod outages;
mod proof;
mod readme;
mod resilience;
mod several;
mod trouble;
mod webinar;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use e2e::canary::TITLE;
use e2e::room::Plan;
use e2e::stage::Stage;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// A room whose PIN Lectern knows.
const PINNED: u64 = 4711;
const PIN: &str = "not-1234";

/// Impatient, so that a run ends today.
const SETTINGS: &str = r#"
recorder.limits = { lobby_seconds = 6, rejoin_attempts = 3 }
meeting.campus.pins_file = "pins.toml"
"#;

/// Runs `scenario` when no other one does, on the installation that all of them share.
///
/// The installation is never dropped: its processes end with this one (see `e2e::process`), and its folder is emptied
/// by the next run, so that a failure can be looked into.
fn on_stage(scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>) {
    static SHARED: OnceLock<(Runtime, Mutex<Stage>)> = OnceLock::new();
    let (runtime, stage) = SHARED.get_or_init(|| {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios");
        let _ = std::fs::remove_dir_all(&work);
        let runtime = Runtime::new().unwrap();
        let stage = runtime.block_on(async {
            let mut stage = Stage::prepare(&work, SETTINGS).await?;
            std::fs::write(stage.lectern.folder().join("pins.toml"), format!("{PINNED} = \"{PIN}\"\n"))?;
            stage.janus.again().await?;
            stage.lectern.up().await?;
            anyhow::Ok(stage)
        });
        let stage = stage.unwrap();
        (runtime, Mutex::new(stage))
    });
    let outcome = runtime.block_on(async {
        let mut stage = stage.lock().await;
        stage.lectern.check()?;
        scenario(&mut stage).await
    });
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

/// A room that the policy wants recorded.
fn lecture(on: &str) -> Plan {
    Plan::titled(&format!("{TITLE} on {on}"))
}

/// The meeting goes on for so long.
async fn passes(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
