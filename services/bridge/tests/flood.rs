//! trust.md 6, row 22: five thousand comings and goings a minute, and as many at once. The bridge stays bounded, tells
//! every one of them in order, and does so quickly. `FLOOD=10000 FLOOD_SECONDS=60` makes the figures for a report.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

mod bed;
#[path = "../../../pipelines/meeting/tests/janus_server/mod.rs"]
mod janus_server;
#[path = "../../../pipelines/broker/tests/server/mod.rs"]
mod server;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bed::{Bed, Guest, expect, soon};
use broker::Consumer;
use events::Body;
use lapin::options::BasicPublishOptions;
use lapin::protocol::BasicProperties;
use serde_json::json;

/// `/proc/…/stat` counts in these on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

fn number(name: &str, or: u32) -> u32 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or)
}

/// The bridge as a process of its own; ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Seconds of processor time so far, and the most memory it ever had, in MB.
    fn cost(&self) -> (f64, f64) {
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", self.0.id())).unwrap();
        let stat = read("stat");
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        (ticks / TICKS, peak / 1024.0)
    }
}

/// Hears until `count` people have come, each told once and in order.
async fn hear(room: &mut Consumer, first: u32, count: u32) {
    let mut next = first;
    while next < first + count {
        let delivery = soon(room.next()).await.unwrap();
        if let Body::ParticipantJoined(joined) = &delivery.event.body {
            assert_eq!(joined.participant, next.to_string());
            next += 1;
        }
        delivery.settle().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restless_room_is_told_whole_and_costs_little() {
    let bed = Bed::lay().await;
    let mut room = bed.hears("61").await;
    let path = bed.folder.path().join("lectern.toml");
    std::fs::write(&path, bed.config(120)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
    command.arg("--config").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
    let bridge = Process(command.spawn().unwrap());
    bed.janus.create_room(61, json!({ "description": "Kaffe" })).await;
    // Waits until the bridge hears: who comes before that is found by its first look.
    let _kari = Guest::join(&bed.janus, 61, "Kari").await;
    expect(&mut room, ["room.started", "participant.joined"]).await;
    let stranger = bed.stranger().await;
    let say = async |who: u32| {
        for what in ["joined", "leaving"] {
            let news = bed.news("61", what, who.into(), who.into());
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            let sent = stranger.basic_publish("janus-events".into(), "".into(), options, news.as_bytes(), properties);
            sent.await.unwrap();
        }
    };
    let (began, before) = bridge.cost();

    let seconds = number("FLOOD_SECONDS", 6);
    let paced = 5000 * seconds / 60 / 2;
    let since = Instant::now();
    tokio::join!(hear(&mut room, 1_000_000, paced), async {
        for n in 0..paced {
            say(1_000_000 + n).await;
            let due = Duration::from_secs(seconds.into()) * n / paced;
            tokio::time::sleep(due.saturating_sub(since.elapsed())).await;
        }
    });
    let took = since.elapsed().as_secs_f64();
    let (cpu, peak) = bridge.cost();
    let share = 100.0 * (cpu - began) / took;
    println!("5000 comings and goings a minute for {took:.0} s: {share:.1} % of a core, at most {peak:.0} MB");

    let burst = number("FLOOD", 1000) / 2;
    let since = Instant::now();
    tokio::join!(hear(&mut room, 2_000_000, burst), async {
        for n in 0..burst {
            say(2_000_000 + n).await;
        }
    });
    let took = since.elapsed().as_secs_f64();
    let (all, peak) = bridge.cost();
    let rate = 2.0 * f64::from(burst) / took;
    println!("{} at once: {took:.2} s, {rate:.0}/s, {:.2} s of a core, at most {peak:.0} MB", 2 * burst, all - cpu);
    assert!(peak - before < 64.0, "it grew from {before:.0} to {peak:.0} MB");
}
