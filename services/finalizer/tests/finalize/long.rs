//! A recording of many epochs takes no more than its length deserves, in time and in memory.

use std::time::{Duration, Instant};

use finalizer::Outcome;
use storage::manifest::Sum;

use crate::film::{FPS, Film, Style};
use crate::studio::Studio;

const EPOCHS: u32 = 60;

/// Frames of each epoch; more by `LECTERN_TEST_FRAMES`, for the figure of a day.
fn each() -> u32 {
    std::env::var("LECTERN_TEST_FRAMES").ok().map_or(192, |frames| frames.parse().unwrap())
}

/// The most that this process ever had in memory, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Its workers were killed one after the other, a second after the next one's first picture. Each filmed the same.
#[tokio::test]
async fn sixty_epochs_are_ready_in_seconds() {
    let studio = Studio::open().await;
    let mut film = Film::shoot(0, each(), Style::Live);
    for epoch in 1..=EPOCHS {
        studio.put_segments(epoch, &film).await;
        film.begins += each() - FPS;
    }
    studio.end(EPOCHS).await;
    let (began, before) = (Instant::now(), peak());
    let outcome = studio.finalize().await;
    let took = began.elapsed();
    let Outcome::Ready { complete: false, duration, .. } = outcome else { panic!("{outcome:?}") };
    let Some(Sum { epochs, segments, missing: 0 }) = studio.verify().await.sum else { panic!("no sum") };
    println!("{epochs} epochs, {segments} segments, {duration:?}: ready after {took:?}, {} MiB more", peak() - before);
    assert_eq!(epochs, EPOCHS as usize);
    let lasts = Duration::from_secs(u64::from((EPOCHS - 1) * (each() - FPS) + each()) / u64::from(FPS));
    assert!(duration.abs_diff(lasts) < Duration::from_millis(1500), "{duration:?}, {lasts:?}");
    assert!(took < Duration::from_secs(30) + duration / 20, "{took:?}");
    // Overlapped, none left a gap but the end that nobody saw.
    let gaps = studio.manifest().await.gaps;
    assert!(gaps.len() == 1 && gaps[0].from == gaps[0].to, "{gaps:?}");
}
