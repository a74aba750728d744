//! The faults themselves, by what they hit.

pub(super) mod broker;
pub(super) mod disk;
pub(super) mod finish;
pub(super) mod room;
pub(super) mod store;
pub(super) mod worker;

use std::time::Duration;

use super::campus::{Campus, Film, Over};
use super::verdict::Verdict;
use crate::participants::cast;

/// From the first frame on, a publisher needs so long to be seen.
const SETTLES: Duration = Duration::from_secs(4);
/// Slides come ten a second; a machine that is busy with other things drops some.
const UNNOTICED: f64 = 1.0;

async fn passes(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// The film of what is over, opened with stock tools and decoded.
fn film(campus: &Campus, over: &Over) -> anyhow::Result<Film> {
    let [person, ..] = cast();
    Film::of(&campus.film(over.ready.recording)?, over.started, &person)
}

/// Judges a film that is to be whole from its first frames to its end.
fn whole(verdict: Verdict, campus: &Campus, over: &Over) -> anyhow::Result<Verdict> {
    let film = film(campus, over)?;
    let (from, to) = (over.started + SETTLES, over.ended - Duration::from_millis(1500));
    let missing = film.codes.longest_missing(from, to);
    let silent = film.silent(from, to);
    let gaps = campus.manifest(over.ready.recording)?["gaps"].clone();
    let (sound, findings) = campus.verify(over.ready.recording)?;
    Ok(verdict
        .holds(missing <= UNNOTICED, format!("{missing:.1} s are missing in the film"))
        .holds(silent.is_empty(), format!("no beep in {} seconds", silent.len()))
        .holds(over.ready.complete, format!("the film is partial: {gaps}"))
        .holds(sound, format!("verify: {findings:?}"))
        .holds(film.codes.backward() == 0, "the film goes back in time")
        .with("longest_unseen_s", (missing * 10.0).round() / 10.0)
        .with("silent_s", silent.len()))
}
