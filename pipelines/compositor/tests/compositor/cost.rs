//! What a recording costs: processor seconds per second of recording.
//!
//! `cargo test -p compositor --test compositor -- --ignored --nocapture --test-threads 1 cost`

use std::time::Duration;

use media::{Canvas, Codec, PipelineSpec};
use nix::sys::resource::{UsageWho, getrusage};

use crate::support::film::{Film, Playing};
use crate::support::rig::Rig;
use crate::support::{rect, scene, tile, track};

/// User and system time of this process so far.
fn spent() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// One large picture and two small ones beside it, a voice each.
async fn cost(name: &str, canvas: Canvas, preset: &str, films: &[Film; 3], voice: &Film) {
    let spec = PipelineSpec { canvas, preset: preset.into(), ..PipelineSpec::default() };
    let mut rig = Rig::start(&spec).await;
    let Canvas { width, height, .. } = canvas;
    let side = width / 4;
    let places = [
        rect(0, 0, width - side, height),
        rect(width - side, 0, side, side / 2),
        rect(width - side, side, side, side / 2),
    ];
    let people = ["large", "small", "smaller"].map(|id| track(id, Codec::Vp8));
    let tiles = people.iter().zip(places).map(|(t, place)| tile(Some(t), "Kari Nordmann", place)).collect();
    rig.compositor.arrange(&scene(canvas, tiles));
    let begin = rig.soon();
    let mut playing: Vec<Playing> = Vec::new();
    for (n, (person, film)) in people.iter().zip(films).enumerate() {
        playing.push(film.clone().play(&rig.time, begin, rig.compositor.add_track(person).unwrap()));
        let mic = track(&format!("mic {n}"), Codec::Opus);
        playing.push(voice.clone().play(&rig.time, begin, rig.compositor.add_track(&mic).unwrap()));
    }
    let start = rig.position(begin) + Duration::from_secs(1);
    rig.recorded(start).await;
    let (before, from) = (spent(), rig.video.lasts());
    rig.recorded(start + Duration::from_secs(8)).await;
    let (used, lasted) = (spent() - before, rig.video.lasts() - from);
    let behind = rig.position(rig.time.now()).saturating_sub(rig.video.lasts());
    let bytes: usize = rig.video.parts.iter().map(|part| part.bytes.len()).sum();
    let kbps = bytes as f64 * 8.0 / 1000.0 / rig.video.lasts().as_secs_f64();
    println!(
        "{name:<10} {width:>5}x{height:<4} {preset:<10} {:>5.2} CPU s per s  {kbps:>5.0} kbit/s  {behind:.1?} behind",
        used / lasted.as_secs_f64()
    );
    rig.compositor.kill();
}

#[tokio::test]
#[ignore = "a measurement of minutes, not a check"]
async fn cost_of_a_recording() {
    let voice = Film::opus("wave=pink-noise volume=0.1", 11);
    let small = Film::vp8("pattern=ball", (320, 180), 330);
    let moving = Film::vp8("pattern=smpte horizontal-speed=4", (1280, 720), 330);
    let mut slide = Film::vp8("pattern=smpte75", (1280, 720), 330);
    // A shared screen that stands still sends little.
    slide.0 = slide.0.into_iter().step_by(15).map(|frame| media::Frame { keyframe: true, ..frame }).collect();
    for (width, height) in [(640, 360), (1280, 720)] {
        for preset in ["superfast", "veryfast"] {
            let canvas = Canvas { width, height, fps: 30 };
            for (name, large) in [("moving", &moving), ("slide", &slide)] {
                cost(name, canvas, preset, &[large.clone(), small.clone(), small.clone()], &voice).await;
            }
        }
    }
}
