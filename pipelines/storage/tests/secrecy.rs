//! What a writer's key leaves behind in memory. A program of its own, so that no other test's keys are found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use storage::{Recipients, SealKey, Writer};
use support::{embedded, path};
use zeroize::Zeroizing;

const BEGINS: &[u8] = b"AGE-SECRET-KEY-1";
/// Characters of bech32 that follow.
const REST: usize = 58;

/// How many whole identities stand anywhere in this process' memory that it can write to.
fn identities() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    let mut buffer = Zeroizing::new(vec![0_u8; 1 << 20]);
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        while from < to {
            let len = usize::try_from(to - from).unwrap().min(buffer.len());
            // What was there a moment ago may be gone.
            if memory.read_exact_at(&mut buffer[..len], from).is_ok() {
                let whole = buffer[..len].windows(BEGINS.len() + REST).filter(|text| {
                    text.starts_with(BEGINS) && text[BEGINS.len()..].iter().all(u8::is_ascii_alphanumeric)
                });
                found += whole.count();
            }
            // Overlapping, so that none is missed at a seam.
            from += u64::try_from(if from + len as u64 == to { len } else { len - BEGINS.len() - REST }).unwrap();
        }
    }
    found
}

#[tokio::test]
async fn a_key_that_was_made_is_nowhere_in_memory() {
    let server = embedded().await;
    let store = server.store().await;
    // Made by another process: this one never has their secrets.
    let public = ["archive", "pipeline"].map(|name| {
        let file = server.dir.path().join(name);
        assert!(Command::new("age-keygen").arg("-o").arg(&file).output().unwrap().status.success());
        let public = Command::new("age-keygen").arg("-y").arg(file).output().unwrap().stdout;
        String::from_utf8(public).unwrap().trim().to_owned()
    });
    let to = Recipients::parse(&public).unwrap();

    assert_eq!(identities(), 0, "before the first");
    let mut known = Zeroizing::new(BEGINS.to_vec());
    known.reserve_exact(REST);
    known.extend([b'Q'; REST]);
    assert!(identities() > 0, "one that is there is not found");
    drop(known);
    assert_eq!(identities(), 0, "one that was wiped is found");

    for epoch in 1..=8 {
        SealKey::create(&store, &path("lecture"), &Writer::Epoch(epoch), &to).await.unwrap();
        assert_eq!(identities(), 0, "after epoch {epoch}");
    }
}
