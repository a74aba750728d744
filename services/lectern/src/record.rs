//! `lectern record`: wishes to the bridge and commands to running recorders, sent as events like anybody else's.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
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
use crate::out::say;
use crate::recordings;

/// A person waits; a broker that is merely restarted is back within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than another worker needs to take up a recording whose worker died, or than a recorder needs to store its end.
const TAKEN_OVER: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);
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
        say!("{}", serde_json::json!({ "room": room, "asked": "start" }));
    } else {
        say!(
            "Asked for a recording of room {room}; `lectern recordings list` shows it when it has begun, \
             and the bridge's log says if it cannot."
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn stop(recording: RecordingId, sections: &Sections, json: bool) -> Result<ExitCode> {
    let store = recordings::store(sections).await?;
    let (path, record) = recordings::find(&store, recording).await?;
    if !runs(record.phase) {
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
    let event = Event { meta, body };
    let ended = with_broker(sections, async |broker| {
        let deadline = Instant::now() + TAKEN_OVER;
        // Nobody may hold the recording just now, when its worker has died. The bridge then keeps the stop and tells it
        // to whoever goes on; without a bridge either, the recorder that does will be bound within this time.
        while let Err(error) = broker.publish(&event).await {
            if !matches!(error, broker::Error::Unroutable { .. }) {
                return Err(error.into());
            }
            if Instant::now() > deadline {
                return Err(anyhow!(
                    "nobody heard it: neither the bridge nor a recorder that holds {recording} is running; see that the \
                     bridge runs, then ask again"
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
        while Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            // A store that does not answer says nothing about the stop.
            if let Ok((found, _)) = storage::recordings::state(&store, &path).await
                && !runs(found.phase)
            {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await?;
    if json {
        say!("{}", serde_json::json!({ "recording": recording, "asked": "stop", "ended": ended }));
    } else if ended {
        say!("Recording {recording} has ended; `lectern recordings show {recording}` tells what became of it.");
    } else {
        say!(
            "Asked for the end of {recording}, which has not come within {} s: its recorder may still be storing, or \
             nobody holds it just now. The wish is kept, and told to whoever takes it up; `lectern recordings show \
             {recording}` tells when it has ended.",
            TAKEN_OVER.as_secs()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn runs(phase: Phase) -> bool {
    matches!(phase, Phase::Claimed | Phase::Recording)
}

fn now() -> String {
    WallTime::from_system(std::time::SystemTime::now()).to_string()
}

async fn send(sections: &Sections, event: &Event) -> Result<()> {
    with_broker(sections, async |broker| Ok(broker.publish(event).await?)).await
}

async fn with_broker<T>(sections: &Sections, ask: impl AsyncFnOnce(&Broker) -> Result<T>) -> Result<T> {
    let config: broker::Config = sections.section("broker")?;
    let connected = tokio::time::timeout(PATIENCE, Broker::connect(&config, CancellationToken::new())).await;
    let Ok(connected) = connected else {
        bail!(
            "the broker did not take it within {} s; is it running, and is [broker] right? \
             See `lectern check-config`, then ask again",
            PATIENCE.as_secs()
        )
    };
    let broker = connected?;
    let answer = ask(&broker).await?;
    broker.close().await;
    Ok(answer)
}
