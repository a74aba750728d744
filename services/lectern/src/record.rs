//! `lectern record`: commands to running recorders, sent as events like anybody else's.

use std::process::ExitCode;

use anyhow::{Result, bail};
use broker::Broker;
use chassis::Sections;
use claim::Phase;
use events::{Body, Event, Meta, Platform, RecordingStopped};
use media::WallTime;
use tokio_util::sync::CancellationToken;

use crate::args::Record;
use crate::recordings;

/// # Errors
/// When the recording does not run, or the command reaches no recorder.
pub(crate) async fn run(command: Record, sections: &Sections, json: bool) -> Result<ExitCode> {
    let Record::Stop { recording } = command;
    let store = recordings::store(sections).await?;
    let (_, record) = recordings::find(&store, recording).await?;
    if !matches!(record.phase, Phase::Claimed | Phase::Recording) {
        bail!("recording {recording} does not run any more; `lectern recordings show {recording}` tells how it ended");
    }
    let config: broker::Config = sections.section("broker")?;
    let broker = Broker::connect(&config, CancellationToken::new()).await?;
    let now = WallTime::from_system(std::time::SystemTime::now());
    let event = Event {
        meta: Meta {
            id: uuid::Uuid::new_v4().to_string(),
            platform: Platform::Janus,
            instance: record.instance.clone(),
            tenant: record.tenant.clone(),
            room: record.room.clone(),
            session: record.session.clone(),
            time: now.to_string(),
        },
        body: Body::RecordingStopped(RecordingStopped {
            policy: record.policy.clone(),
            requested_by: "operator".into(),
        }),
    };
    broker.publish(&event).await?;
    if json {
        println!("{}", serde_json::json!({ "recording": recording, "asked": "stop" }));
    } else {
        println!("Asked the recorder to end {recording}; `lectern recordings show {recording}` tells when it has.");
    }
    Ok(ExitCode::SUCCESS)
}
