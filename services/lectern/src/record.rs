//! `lectern record`: wishes to the bridge and commands to running recorders, sent as events like anybody else's.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bridge::policy::Policy;
use broker::Broker;
use chassis::Sections;
use claim::Phase;
use events::{
    Body, Event, Meta, Platform, PolicyId, RecordingId, RecordingStopped, RecordingWanted, RoomId, SessionId, TenantId,
};
use media::WallTime;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::args::Record;
use crate::recordings;

/// A person waits; a broker that is merely restarted is back within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who asks, as recorders and records tell it.
const OPERATOR: &str = "operator";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    id: TenantId,
}

/// # Errors
/// When nothing could come of the command, or it does not reach the broker within 30 s.
pub(crate) async fn run(command: Record, sections: &Sections, json: bool) -> Result<ExitCode> {
    match command {
        Record::Start { room, instance, policy } => start(room, instance, policy, sections, json).await,
        Record::Stop { recording } => stop(recording, sections, json).await,
    }
}

async fn start(
    room: RoomId,
    instance: Option<String>,
    policy: Option<PolicyId>,
    sections: &Sections,
    json: bool,
) -> Result<ExitCode> {
    let config: bridge::config::Config = sections.section("bridge")?;
    let Tenant { id: tenant } = sections.section("tenant")?;
    let names: Vec<&str> = config.janus.keys().map(String::as_str).collect();
    let instance = match (instance, names.as_slice()) {
        (Some(name), names) if names.contains(&name.as_str()) => name,
        (None, [only]) => (*only).to_owned(),
        (_, []) => bail!("[bridge] has no server; add [bridge.janus.<name>] as on the machine that runs the bridge"),
        (_, names) => bail!("name the server of room {room} with --instance; there are: {}", names.join(", ")),
    };
    let rules = Policy::read(&sections.beside(&config.policy_file))?;
    rules
        .may_ask(&instance, &room, policy.as_ref())
        .with_context(|| format!("room {room} of {instance} was not asked for"))?;
    let id = uuid::Uuid::new_v4().to_string();
    let meta = Meta {
        session: SessionId::new(id.clone())?,
        id,
        platform: Platform::Janus,
        instance,
        tenant,
        room: room.clone(),
        time: now(),
    };
    let body = Body::RecordingWanted(RecordingWanted { policy, requested_by: OPERATOR.into() });
    send(sections, &Event { meta, body }).await?;
    if json {
        println!("{}", serde_json::json!({ "room": room, "asked": "start" }));
    } else {
        println!(
            "Asked for a recording of room {room}; `lectern recordings list` shows it when it has begun, \
             and the bridge's log says if it cannot."
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn stop(recording: RecordingId, sections: &Sections, json: bool) -> Result<ExitCode> {
    let store = recordings::store(sections).await?;
    let (_, record) = recordings::find(&store, recording).await?;
    if !matches!(record.phase, Phase::Claimed | Phase::Recording) {
        bail!("recording {recording} does not run any more; `lectern recordings show {recording}` tells how it ended");
    }
    let meta = Meta {
        id: uuid::Uuid::new_v4().to_string(),
        platform: Platform::Janus,
        instance: record.instance.clone(),
        tenant: record.tenant.clone(),
        room: record.room.clone(),
        session: record.session.clone(),
        time: now(),
    };
    let body =
        Body::RecordingStopped(RecordingStopped { policy: record.policy.clone(), requested_by: OPERATOR.into() });
    send(sections, &Event { meta, body }).await?;
    if json {
        println!("{}", serde_json::json!({ "recording": recording, "asked": "stop" }));
    } else {
        println!("Asked the recorder to end {recording}; `lectern recordings show {recording}` tells when it has.");
    }
    Ok(ExitCode::SUCCESS)
}

fn now() -> String {
    WallTime::from_system(std::time::SystemTime::now()).to_string()
}

async fn send(sections: &Sections, event: &Event) -> Result<()> {
    let config: broker::Config = sections.section("broker")?;
    let sent = async {
        let broker = Broker::connect(&config, CancellationToken::new()).await?;
        broker.publish(event).await?;
        broker.close().await;
        Ok(())
    };
    tokio::time::timeout(PATIENCE, sent).await.unwrap_or_else(|_| {
        bail!(
            "the broker did not take it within {} s; is it running, and is [broker] right? \
             See `lectern check-config`, then ask again",
            PATIENCE.as_secs()
        )
    })
}
