//! RabbitMQ repeats itself, dies, stalls, or hangs up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ::broker::{Broker, Work};
use anyhow::Context;
use events::{Body, Event, Meta, Platform, RoomId, SessionId, TenantId};
use rand::Rng;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::bench::{Bench, say};
use super::super::campus::{Campus, SOON, wish};
use super::super::matrix::Id;
use super::super::proxy::Line;
use super::super::verdict::Verdict;
use super::{passes, whole};
use crate::process::until;
use crate::servers::RabbitMq;
use crate::servers::lectern::{INSTANCE, TENANT};
use crate::servers::rabbitmq::USER;

/// The broker's clients are to notice a silent line within two of these; see `pipelines/broker`.
const HEARTBEAT: f64 = 20.0;

fn now() -> String {
    media::WallTime::from_system(SystemTime::now()).to_string()
}

fn wish_of(room: u64, session: &SessionId, id: String) -> anyhow::Result<Event> {
    let meta = Meta {
        id,
        platform: Platform::Janus,
        instance: INSTANCE.into(),
        tenant: TenantId::new(TENANT)?,
        room: RoomId::new(room.to_string())?,
        session: session.clone(),
        time: now(),
    };
    Ok(Event { meta, body: Body::RecordingRequested(wish()?) })
}

async fn connected(campus: &Campus, url: String) -> anyhow::Result<Broker> {
    let config = ::broker::Config {
        url,
        user: USER.into(),
        password_file: Some(campus.broker.password_file()),
        ..Default::default()
    };
    Ok(Broker::connect(&config, CancellationToken::new()).await?)
}

/// F6.
pub(crate) async fn duplicates(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let count = bench.times(200, 1000);
    let mut chance = bench.chance(Id::F6);
    let campus = bench.campus().await?;
    let _workers = [campus.worker("twin-a").await?, campus.worker("twin-b").await?];
    let lecture = campus.lecture("On request: F6").await?;
    let room = &lecture.meeting.room;
    let session = SessionId::new(hex::encode(chance.random::<[u8; 8]>()))?;
    // The same event again, and the same wish under another id, as a bridge that started anew makes it.
    let mut copies: Vec<Event> = Vec::new();
    for n in 0..count {
        let id = if n % 10 == 0 { hex::encode(chance.random::<[u8; 16]>()) } else { format!("{:032x}", room.id) };
        copies.push(wish_of(room.id, &session, id)?);
    }
    copies.shuffle(&mut chance);
    let broker = connected(campus, campus.broker.url()).await?;
    let mut most = 0;
    let look = async |most: &mut usize| {
        let people = room.people().await?;
        *most = (*most).max(people.iter().filter(|(_, name)| name.contains("Recording")).count());
        anyhow::Ok(())
    };
    let begun = Instant::now();
    for (n, event) in copies.iter().enumerate() {
        broker.publish(event).await?;
        if n % 100 == 0 {
            look(&mut most).await?;
        }
    }
    let (_, started) = lecture.started().await?;
    for _ in 0..20 {
        look(&mut most).await?;
        passes(0.5).await;
    }
    // What is still in the queue when the lecture ends would be refused by tombstones, not by the claim.
    until("the queue is empty", SOON * 4, async || Ok((depth(campus, "lectern.record")? == 0).then_some(()))).await?;
    let drained = begun.elapsed().as_secs_f64();
    look(&mut most).await?;
    let over = lecture.over(started, SOON * 2).await?;
    let verdict = Verdict::of(most as f64, count)
        .holds(most == 1, format!("{most} bots were in the room at once"))
        .with("dealt_with_per_s", (f64::from(count) / drained).round());
    whole(verdict, campus, &over)
}

/// Messages in a queue, delivered or not.
fn depth(campus: &Campus, queue: &str) -> anyhow::Result<u64> {
    let told = campus.broker.ctl(&["list_queues", "name", "messages"])?;
    let line = told.lines().find(|line| line.split_whitespace().next() == Some(queue));
    let count = line.and_then(|line| line.split_whitespace().nth(1)).context("the queue is not there")?;
    Ok(count.parse()?)
}

/// F7.
pub(crate) async fn restarted(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (restarts, publish_for) = (bench.times(1, 20), if bench.full { 240.0 } else { 12.0 });
    let mut chance = bench.chance(Id::F7);
    let campus = bench.campus().await?;
    let worker = campus.worker("steady").await?;
    let lecture = campus.lecture("Lecture F7").await?;
    let (_, started) = lecture.started().await?;

    // Wishes with nobody to take them but us: the worker's only slot is taken.
    let url = campus.broker.url();
    let broker = connected(campus, url.clone()).await?;
    let processed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let into = Arc::clone(&processed);
    let taker = connected(campus, url).await?;
    let mut consumer = taker.work(Work::Record, 50).await?;
    let taking = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(delivery) = consumer.next().await {
            let id = delivery.event.meta.id.clone();
            if delivery.settle().await.is_ok() {
                into.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
        }
    }));
    let session = SessionId::new(hex::encode(chance.random::<[u8; 8]>()))?;
    let confirmed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let publishing = {
        let (confirmed, room) = (Arc::clone(&confirmed), lecture.meeting.room.id);
        let events: Vec<Event> =
            (0..20_000).map(|n| wish_of(room, &session, format!("f7-{n:06}"))).collect::<Result<_, _>>()?;
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut unconfirmed = 0_u64;
            for event in events {
                match broker.publish(&event).await {
                    Ok(()) => drop(confirmed.lock().unwrap_or_else(PoisonError::into_inner).insert(event.meta.id)),
                    Err(_) => unconfirmed += 1,
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            unconfirmed
        }))
    };
    let mut away = Vec::new();
    for n in 0..restarts {
        passes(chance.random_range(0.3..1.0) * publish_for / f64::from(restarts)).await;
        let before = count(&confirmed);
        campus.broker.kill();
        let dead = Instant::now();
        passes(chance.random_range(0.0..1.0)).await;
        campus.broker.again().await?;
        until("events are confirmed again", SOON, async || Ok((count(&confirmed) > before).then_some(()))).await?;
        away.push(dead.elapsed().as_secs_f64());
        say(format!("restart {} of {restarts}: confirms again after {:.1} s", n + 1, dead.elapsed().as_secs_f64()));
    }
    passes(1.0).await;
    publishing.abort();
    let told = confirmed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let missing = || {
        let processed = processed.lock().unwrap_or_else(PoisonError::into_inner);
        told.difference(&processed).count()
    };
    // A failure of this wait is the figure.
    let _ = until("all are processed", Duration::from_secs(30), async || Ok((missing() == 0).then_some(()))).await;
    let lost = missing();
    drop(taking);
    passes(1.0).await;
    campus.broker.ctl(&["purge_queue", "lectern.record"])?;
    let over = lecture.over(started, SOON * 2).await?;
    drop(worker);
    let verdict = Verdict::of(lost as f64, restarts)
        .holds(lost == 0, format!("{lost} confirmed events were never delivered"))
        .with("confirmed", told.len())
        .with("away_s", away.iter().map(|s| (s * 10.0).round() / 10.0).collect::<Vec<_>>());
    whole(verdict, campus, &over)
}

fn count(ids: &Mutex<BTreeSet<String>>) -> usize {
    ids.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// F8.
pub(crate) async fn resets(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (times, every) = if bench.full { (15, 20.0) } else { (5, 3.0) };
    let campus = bench.campus().await?;
    let _worker = campus.worker("shaken").await?;
    let lecture = campus.lecture("Lecture F8").await?;
    let (_, started) = lecture.started().await?;
    let before = campus.broker_line.passed().resets + campus.store_line.passed().resets;
    for _ in 0..times {
        passes(every).await;
        campus.broker_line.reset();
        campus.store_line.reset();
    }
    passes(2.0).await;
    let resets = campus.broker_line.passed().resets + campus.store_line.passed().resets - before;
    let over = lecture.over(started, SOON * 2).await?;
    let gaps = campus.manifest(over.ready.recording)?["gaps"].as_array().map_or(0, Vec::len);
    let verdict = Verdict::of(gaps as f64, times)
        .holds(resets >= u64::from(times), format!("only {resets} connections were there to be reset"))
        .with("connections_reset", resets);
    whole(verdict, campus, &over)
}

/// F9.
pub(crate) async fn half_open(bench: &mut Bench) -> anyhow::Result<Verdict> {
    // A setting of the address, as any AMQP client takes it.
    let (heartbeat, times) = if bench.full { (HEARTBEAT, 2) } else { (4.0, 1) };
    let campus = bench.campus().await?;
    let url = format!("broker.url = \"amqp://{}/%2f?heartbeat={heartbeat}\"", campus.broker_line.address());
    let worker = campus.worker_with("patient", &url).await?;
    let mut noticed = Vec::new();
    for _ in 0..times {
        let before = worker.said().matches("connection to the broker is gone").count();
        let back = worker.said().matches("connected to the broker again").count();
        passes(1.5).await;
        campus.broker_line.set(Line::Hole);
        let begun = Instant::now();
        until("the recorder notices", SOON * 2, async || {
            Ok((worker.said().matches("connection to the broker is gone").count() > before).then_some(()))
        })
        .await?;
        noticed.push(begun.elapsed().as_secs_f64());
        campus.broker_line.set(Line::Open);
        // The hole's connections are dead: what they held is not to arrive late.
        campus.broker_line.reset();
        until("the recorder is back", SOON, async || {
            Ok((worker.said().matches("connected to the broker again").count() > back).then_some(()))
        })
        .await?;
    }
    let worst = noticed.iter().copied().fold(0.0, f64::max);
    Ok(Verdict::of(worst / heartbeat, times)
        // Two have to be missed, looked for twice in each; our look at the connection's status takes half a second more.
        .holds(worst <= 2.5 * heartbeat + 1.0, format!("noticed after {worst:.1} s"))
        .with("heartbeat_s", heartbeat)
        .with("noticed_s", noticed.iter().map(|s| (s * 10.0).round() / 10.0).collect::<Vec<_>>()))
}

/// F10.
pub(crate) async fn alarms(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let lasts = if bench.full { 60.0 } else { 5.0 };
    let campus = bench.campus().await?;
    let _worker = campus.worker("muted").await?;
    let lecture = campus.lecture("Lecture F10").await?;
    let (_, started) = lecture.started().await?;
    passes(2.0).await;
    campus.broker.ctl(&["set_vm_memory_high_watermark", "0.00001"])?;
    passes(lasts).await;
    let in_alarm = campus.broker.ctl(&["eval", "rabbit_alarm:get_alarms()."])?;
    let ended = SystemTime::now();
    let begun = Instant::now();
    lecture.meeting.room.destroy().await?;
    // The room's end comes by Janus; what is told of it waits.
    passes(lasts.max(8.0)).await;
    let early = lecture.meeting.news.kinds().contains(&"recording.ready");
    campus.broker.ctl(&["set_disk_free_limit", "10000GB"])?;
    campus.broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"])?;
    passes(lasts / 2.0).await;
    let in_second = campus.broker.ctl(&["eval", "rabbit_alarm:get_alarms()."])?;
    campus.broker.ctl(&["set_disk_free_limit", "50MB"])?;
    let lifted = Instant::now();
    let ready = lecture.ready(begun, SOON * 2).await?;
    let drained = lifted.elapsed().as_secs_f64();
    let over = super::super::campus::Over { ready, started, ended };
    let verdict = Verdict::of(drained, 1)
        .holds(in_alarm.contains("memory"), format!("there was no memory alarm: {in_alarm}"))
        .holds(in_second.contains("disk"), format!("there was no disk alarm: {in_second}"))
        .holds(!early, "the broker took events in spite of its alarm")
        .with("alarm_s", lasts);
    whole(verdict, campus, &over)
}

/// F11.
pub(crate) async fn partition(bench: &mut Bench) -> anyhow::Result<Verdict> {
    let (times, lasts) = if bench.full { (4, 30.0) } else { (1, 6.0) };
    let mut chance = bench.chance(Id::F11);
    let folder = bench.folder("cluster")?;
    say("starting three more RabbitMQ nodes");
    let first = RabbitMq::first(&folder.join("one")).await?;
    let second = RabbitMq::join(&folder.join("two"), &first).await?;
    let third = RabbitMq::join(&folder.join("three"), &first).await?;
    let nodes = [&first, &second, &third];
    let member = async |node: &RabbitMq| {
        let config = ::broker::Config {
            url: node.url(),
            user: USER.into(),
            password_file: Some(first.password_file()),
            ..Default::default()
        };
        anyhow::Ok(Broker::connect(&config, CancellationToken::new()).await?)
    };
    // Everybody publishes, wherever the parted node's clients are.
    let confirmed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let session = SessionId::new(hex::encode(chance.random::<[u8; 8]>()))?;
    let mut publishing = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        let broker = member(node).await?;
        let (confirmed, session) = (Arc::clone(&confirmed), session.clone());
        publishing.push(AbortOnDropHandle::new(tokio::spawn(async move {
            for number in 0..u32::MAX {
                let Ok(event) = wish_of(4711, &session, format!("f11-{n}-{number:06}")) else { return };
                if broker.publish(&event).await.is_ok() {
                    confirmed.lock().unwrap_or_else(PoisonError::into_inner).insert(event.meta.id);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })));
    }
    let mut silent = Vec::new();
    let mut notes = Vec::new();
    for n in 0..times {
        until("all is well", SOON * 2, async || {
            let before = count(&confirmed);
            passes(1.0).await;
            Ok((count(&confirmed) > before + 20).then_some(()))
        })
        .await?;
        let alone = chance.random_range(0..3);
        let others: Vec<&RabbitMq> = (0..3).filter(|n| *n != alone).map(|n| nodes[n]).collect();
        nodes[alone].part(&others, true)?;
        let (parted, before) = (Instant::now(), count(&confirmed));
        let again = until("the majority confirms", SOON, async || Ok((count(&confirmed) > before + 10).then_some(())));
        again.await?;
        silent.push((parted.elapsed().as_secs_f64() * 10.0).round() / 10.0);
        passes(lasts).await;
        let seen = others[0].ctl(&["eval", "length(nodes())."])?;
        if seen.trim() != "1" {
            notes.push(format!("the majority sees {} others, so nothing was parted", seen.trim()));
        }
        nodes[alone].part(&others, false)?;
        say(format!("partition {} of {times}: confirmed again after {:.1} s", n + 1, silent[silent.len() - 1]));
    }
    passes(3.0).await;
    publishing.clear();
    let told = confirmed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let taker = until("a node takes us", SOON * 2, async || Ok(member(&second).await.ok())).await?;
    let mut consumer = taker.work(Work::Record, 200).await?;
    let mut processed = BTreeSet::new();
    let begun = Instant::now();
    while !told.is_subset(&processed) && begun.elapsed() < SOON {
        let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_secs(10), consumer.next()).await else { break };
        let id = delivery.event.meta.id.clone();
        if delivery.settle().await.is_ok() {
            processed.insert(id);
        }
    }
    let lost = told.difference(&processed).count();
    Ok(Verdict::of(lost as f64, times)
        .holds(lost == 0, format!("{lost} confirmed events were never delivered"))
        .holds(told.len() > 100, format!("only {} events were confirmed", told.len()))
        .holds(notes.is_empty(), notes.join("; "))
        .with("confirmed", told.len())
        .with("unconfirmed_for_s", silent))
}

/// F12.
pub(crate) async fn held_too_long(bench: &mut Bench) -> anyhow::Result<Verdict> {
    // The node looks every minute unless told otherwise, and for channels that open from then on.
    let timeout = if bench.full { 60_000 } else { 4_000 };
    let ended = bench.ended().await?;
    let campus = bench.campus().await?;
    campus.restore(&ended.copy).await?;
    let set = |name: &str, value: u64| format!("application:set_env(rabbit, {name}, {value}).");
    campus.broker.ctl(&["eval", &set("consumer_timeout", timeout)])?;
    campus.broker.ctl(&["eval", &set("channel_tick_interval", 1_000)])?;
    let played = slow(campus, &ended, timeout).await;
    campus.broker.ctl(&["eval", &set("consumer_timeout", 1_800_000)])?;
    campus.broker.ctl(&["eval", &set("channel_tick_interval", 60_000)])?;
    played
}

/// The finalizer holds its call while the store is away, for longer than the broker allows.
async fn slow(campus: &mut Campus, ended: &super::super::bench::Ended, timeout: u64) -> anyhow::Result<Verdict> {
    let news = crate::news::News::of(&campus.broker, ended.room).await?;
    campus.finalizer.start()?;
    campus.finalizer.says("finalizer ready").await?;
    campus.store_line.set(Line::Refuse);
    news.repeat(&ended.call).await?;
    passes(timeout as f64 / 1000.0 + 4.0).await;
    campus.store_line.set(Line::Open);
    let open = Instant::now();
    let (at, _) = news.wait("recording.ready", SOON * 3).await?;
    let idle = at.saturating_duration_since(open).as_secs_f64();
    let server = std::fs::read_to_string(campus.broker.folder().join("server.log")).unwrap_or_default();
    let struck = server.matches("delivery acknowledgement on channel").count();
    let (sound, findings) = campus.verify(ended.recording)?;
    Ok(Verdict::of(idle, u32::try_from(struck)?)
        .holds(struck > 0, "the broker never took a delivery back")
        .holds(sound, format!("verify: {findings:?}"))
        .holds(campus.manifests(ended.recording)?.len() == 1, "more than one manifest")
        .with("timeout_s", timeout as f64 / 1000.0))
}
