//! What a film holds of each test participant: `cargo run -p e2e --example look -- FILE.mp4`.

use std::path::PathBuf;

use anyhow::Context;
use e2e::analysis::{Film, Sound, beats, jumps, probe};
use e2e::participants::cast;

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).map(PathBuf::from).context("name a film")?;
    let (facts, film, sound) = (probe(&file)?, Film::decode(&file)?, Sound::decode(&file)?);
    let times: Vec<_> = film.frames.iter().map(|f| f.at).collect();
    println!("{facts:?}\n{} pictures, jumps {:.3?}", film.frames.len(), jumps(&times, 30));
    for person in cast() {
        let all = beats(&film, &sound, &person);
        println!("\n{} at {} Hz", person.colour, person.pitch);
        println!("  flashes {:.2?}\n  beeps   {:.2?}\n  apart   {:.0?} ms", all.flashes, all.beeps, all.skews());
    }
    Ok(())
}
