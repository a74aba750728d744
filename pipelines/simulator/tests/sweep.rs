//! Thousands of seeds, different ones at each run. Its own harness, since what it has done is to be seen: how many seeds,
//! from which one on. `SIM_SEED` sets the first, `SIM_SEEDS` how many; `SIM_MISTAKE` plants a mistake, to see it found.

#![allow(clippy::unwrap_used)] // tests panic

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use simulator::{Mistake, run};

const SEEDS: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is to be a number: {text}")))
}

fn mistake() -> Option<Mistake> {
    std::env::var("SIM_MISTAKE").ok().map(|name| Mistake::named(&name).unwrap_or_else(|| panic!("no mistake: {name}")))
}

/// The first of `count` seeds from `first` on that breaks a promise. Each seed runs in one thread.
fn sweep(first: u64, count: u64) -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(first), AtomicU64::new(u64::MAX));
    let mistake = mistake();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || seed > found.load(Ordering::Relaxed) {
                        return;
                    }
                    if run(seed, mistake, false).broken.is_some() {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = found.into_inner();
    (seed != u64::MAX).then(|| (seed, run(seed, mistake, false).broken.unwrap_or_default()))
}

/// What is left of the arguments of a test program: `cargo test` may ask for a list, or for other tests by name.
fn wanted() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        println!("seeds: test");
        return false;
    }
    let options = ["--test-threads", "--color", "--format", "--skip", "--logfile"];
    let mut before = "";
    let names = words.iter().filter(|word| {
        let value = options.contains(&before);
        before = word;
        !value && !word.starts_with('-')
    });
    let names: Vec<&String> = names.collect();
    names.is_empty() || names.iter().any(|name| "seeds".contains(name.as_str()))
}

fn main() -> ExitCode {
    if !wanted() {
        return ExitCode::SUCCESS;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Short enough to be typed again.
    let first = number("SIM_SEED").unwrap_or_else(|| now.as_secs() % 1_000_000_000 * 1_000);
    let count = number("SIM_SEEDS").unwrap_or(SEEDS);
    let begun = Instant::now();
    match sweep(first, count) {
        None => {
            let seconds = begun.elapsed().as_secs_f64();
            println!("{count} seeds from {first}: clean, in {seconds:.1} s");
            ExitCode::SUCCESS
        }
        Some((seed, why)) => {
            let folder = std::env::temp_dir().join("lectern-simulator");
            println!("seed {seed}: {why}");
            match run(seed, mistake(), true).story.write(&folder, seed) {
                Ok(logs) => {
                    println!("its story: {}/seed-{seed}.txt", folder.display());
                    logs.iter().for_each(|log| println!("a session of it again: recorder replay {}", log.display()));
                }
                Err(error) => println!("its story could not be written: {error}"),
            }
            println!("the whole of it again: cargo run -p simulator -- --seed {seed}");
            ExitCode::FAILURE
        }
    }
}
