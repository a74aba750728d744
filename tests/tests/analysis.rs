//! The checks themselves, checked: a synthetic recording passes them, and each planted fault is seen.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::analysis::{Beats, Film, Sound, beats, jumps, percentile, probe};
use e2e::participants::signal::Picture;
use e2e::participants::{Person, cast};

const SECONDS: u32 = 6;
const FPS: u32 = 30;

/// Two people side by side on black, flashing and beeping together, as an MP4; `video` and `audio` are further ffmpeg
/// filters that plant a fault.
fn record(folder: &Path, video: &str, audio: &str) -> PathBuf {
    let [left, right, ..] = cast();
    let file = folder.join("recording.mp4");
    let on = "enable='lt(mod(t\\,1)\\,0.099)'";
    let tile = |person: &Person, x: u32| {
        format!(
            "drawbox=x={x}:y=90:w=300:h=170:color=0x{}:t=fill,drawbox=x={x}:y=90:w=300:h=170:color=white:t=fill:{on}",
            person.colour
        )
    };
    let beep = |p: &Person| format!("if(lt(mod(t\\,1)\\,0.1)\\,0.12*sin(2*PI*{}*t)\\,0)", p.pitch);
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i"])
        .arg(format!("color=black:s=640x360:r={FPS}:d={SECONDS},{},{}{video}", tile(&left, 10), tile(&right, 330)))
        .args(["-f", "lavfi", "-i"])
        .arg(format!("aevalsrc={}+{}:s=48000:d={SECONDS}{audio}", beep(&left), beep(&right)))
        .args(["-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(["-c:a", "aac", "-b:a", "128k", "-movflags", "faststart"])
        .arg(&file)
        .output()
        .expect("ffmpeg runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    file
}

struct Checked {
    film: Film,
    all: Vec<Beats>,
}

fn check(video: &str, audio: &str) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), video, audio);
    let (film, sound) = (Film::decode(&file).unwrap(), Sound::decode(&file).unwrap());
    let all = cast()[..2].iter().map(|p| beats(&film, &sound, p)).collect();
    Checked { film, all }
}

fn worst(all: &[Beats]) -> f64 {
    let skews = all.iter().flat_map(Beats::skews).map(f64::abs).collect();
    percentile(skews, 0.95).expect("beats")
}

#[test]
fn a_sound_recording_passes() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), "", "");
    let told = probe(&file).unwrap();
    assert_eq!((told.width, told.height, told.video.as_str(), told.audio.as_str()), (640, 360, "h264", "aac"));
    assert!(told.progressive);
    let Checked { film, all } = check("", "");
    assert_eq!(film.frames.len(), (SECONDS * FPS) as usize);
    let times: Vec<_> = film.frames.iter().map(|f| f.at).collect();
    assert_eq!(jumps(&times, FPS), []);
    for found in &all {
        // The file begins in the middle of the first beat: there is nothing before it to rise from.
        assert_eq!(found.flashes.len(), 5, "{found:?}");
        assert!((5..=6).contains(&found.beeps.len()), "{found:?}");
    }
    assert!(worst(&all) < 20.0, "{} ms in {all:?}", worst(&all));
    let [left, right, absent, _] = cast();
    let place = |p: &Person| film.seen(p.colour).get(2).map(|(_, area)| *area);
    let (at_left, at_right) = (place(&left).unwrap(), place(&right).unwrap());
    assert!(at_left.x1 <= 80 && at_right.x0 >= 80, "{at_left:?} {at_right:?}");
    assert!((at_left.share() - 300.0 * 170.0 / (640.0 * 360.0)).abs() < 0.02, "{at_left:?}");
    assert_eq!(place(&absent), None);
}

#[test]
fn dropped_frames_are_missed() {
    let found = check(",select='not(between(n\\,60\\,75))'", "");
    assert_eq!(found.film.frames.len(), (SECONDS * FPS) as usize - 16);
    let times: Vec<_> = found.film.frames.iter().map(|f| f.at).collect();
    assert_eq!(jumps(&times, FPS).len(), 1);
    assert_eq!(found.all[0].flashes.len(), 4, "the flash at 2 s went with them: {:?}", found.all[0]);
}

#[test]
fn late_sound_is_heard_late() {
    let late = worst(&check("", ",adelay=150").all);
    assert!((140.0..170.0).contains(&late), "{late} ms");
}

#[test]
fn early_sound_is_heard_early() {
    let early = check("", ",atrim=start=0.15,asetpts=PTS-STARTPTS").all;
    let skews: Vec<_> = early.iter().flat_map(Beats::skews).collect();
    assert!(skews.iter().all(|s| (-170.0..-120.0).contains(s)), "{skews:?}");
}

#[test]
fn a_person_in_the_wrong_colour_is_not_seen() {
    let found = check(",hue=h=120", "");
    assert_eq!(found.all[0].flashes, Vec::<f64>::new());
    assert!(found.film.seen(cast()[0].colour).is_empty());
}

#[test]
fn a_missing_second_of_sound_is_a_missing_beep() {
    let found = check("", ",volume=0:enable='between(t\\,2.5\\,3.5)'");
    let beeps = &found.all[1].beeps;
    assert!(!beeps.iter().any(|b| (2.5..3.5).contains(b)), "{beeps:?}");
    assert_eq!(found.all[1].between(1.5, 2.5).beeps.len(), 1, "{beeps:?}");
}

#[test]
fn a_slide_tells_the_time_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let wall = std::time::Duration::from_millis(123_456_700);
    let slide = Picture::slide(wall, 640, 360);
    std::fs::write(folder.path().join("slide.yuv"), &slide.bytes).unwrap();
    let out = Command::new("ffmpeg")
        .current_dir(folder.path())
        .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "640x360", "-i", "slide.yuv"])
        .args(["-f", "lavfi", "-i", "anullsrc=d=1"])
        // Three quarters of the canvas, off its corner, as in the speaker layout.
        .args(["-vf", "scale=480:270,pad=640:360:10:45:black", "-pix_fmt", "yuv420p", "slide.mp4"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let film = Film::decode(&folder.path().join("slide.mp4")).unwrap();
    assert_eq!(film.frames[0].time_code(), Some(1_234_567 % 65_536));
}
