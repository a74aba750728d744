//! Whether the cuts are exact and nothing is ever missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compositor::{Compositor, Error, Event};
use graph::Timebase;
use media::{Canvas, PipelineSpec};
use mp4_atom::{Atom, Moof};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::decode::{Pictures, Sound};
use crate::support::rig::{Recorded, Rig, Taken};
use crate::support::{SMALL, spec};

/// tfdt, samples, sum of their durations, and whether the first is a sync sample: read from the bytes themselves.
fn samples(part: &[u8]) -> (u64, u32, u64, bool) {
    let at = part.windows(4).position(|kind| kind == b"moof").unwrap() - 4;
    let size = u32::from_be_bytes(part[at..at + 4].try_into().unwrap()) as usize;
    let moof = Moof::decode_body(&mut &part[at + 8..at + size]).unwrap();
    let traf = &moof.traf[0];
    let (mut count, mut lasts, mut first) = (0, 0, None);
    for entry in traf.trun.iter().flat_map(|run| run.samples.iter()) {
        count += 1;
        lasts += u64::from(entry.duration.or(traf.tfhd.default_sample_duration).unwrap());
        first = first.or(entry.flags).or(traf.tfhd.default_sample_flags);
    }
    (traf.tfdt.as_ref().unwrap().base_media_decode_time, count, lasts, first.unwrap() & 0x0001_0000 == 0)
}

/// Every part but the last has `each` samples, begins where the one before ended, and a segment has six of them.
fn assert_exact(taken: &Taken, each: u32, parts_per_segment: u64, units_per_sample: u64) -> u64 {
    let mut position = 0;
    let last = taken.parts.len() - 1;
    for (n, part) in taken.parts.iter().enumerate() {
        let (tfdt, count, lasts, sync) = samples(&part.bytes);
        assert_eq!(tfdt, position, "part {n} of {} begins where the last ended", part.rendition);
        assert_eq!(lasts, u64::from(count) * units_per_sample, "each sample of part {n} lasts as long as the others");
        assert!(count == each || n == last && count < each, "part {n} has {count} samples");
        assert_eq!(part.segment, n as u64 / parts_per_segment, "of part {n}");
        assert_eq!(part.independent, sync);
        assert!(part.index != 0 || sync, "segment {} begins with a key frame", part.segment);
        position += lasts;
    }
    position
}

fn assert_grid(recorded: &Recorded, fps: u32, video_part: u32, audio_part: u32, parts_per_segment: u64) {
    let Recorded { video, audio, .. } = recorded;
    let pictures = assert_exact(video, video_part, parts_per_segment, 100) / 100;
    let frames = assert_exact(audio, audio_part, parts_per_segment, 1024) / 1024;
    assert_eq!(video.lasts(), Duration::from_secs(pictures) / fps, "the parts' durations are the pictures'");
    for (v, a) in video.closed.iter().zip(&audio.closed) {
        assert_eq!((v.segment, v.begins, v.wall), (a.segment, a.begins, a.wall));
        assert_eq!(v.wall, recorded.wall.plus(Duration::from_nanos(v.begins.0)));
    }
    let whole = |taken: &Taken| taken.closed.iter().filter(|c| c.lasts == Duration::from_millis(3200)).count();
    assert_eq!(whole(video), video.closed.len() - 1, "only the last may be short");
    assert!(video.closed.len() >= 2 && whole(audio) >= 1);
    let last = video.closed.last().unwrap();
    assert_eq!(Duration::from_nanos(last.begins.0) + last.lasts, video.lasts(), "the last is closed too");
    let step = Duration::from_secs(1) / fps;
    assert!(
        video.lasts().abs_diff(audio.lasts()) <= step,
        "{:?}, {:?}: both end together",
        video.lasts(),
        audio.lasts()
    );
    // A second opinion on what is in there.
    assert_eq!(Pictures::of(video).count() as u64, pictures);
    assert_eq!(Sound::of(audio).0.len() as u64, frames * 1024);
}

/// Keeps every core busy until dropped.
struct Load(Arc<AtomicBool>, Vec<std::thread::JoinHandle<()>>);

impl Load {
    fn start(threads: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        };
        Self(Arc::clone(&stop), (0..threads).map(spin).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for thread in self.1.drain(..) {
            thread.join().unwrap();
        }
    }
}

#[tokio::test]
async fn an_empty_room_is_recorded_on_the_exact_grid_on_a_busy_machine() {
    let mut rig = Rig::start(&PipelineSpec { preset: "superfast".into(), ..spec(SMALL) }).await;
    let load = Load::start(4);
    rig.recorded(Duration::from_millis(4800)).await;
    drop(load);
    let recorded = rig.drain().await;
    assert_grid(&recorded, 30, 16, 25, 6);
    let (video, audio) = (recorded.video.init.unwrap(), recorded.audio.init.unwrap());
    assert!(video.codec.starts_with("avc1.64"), "{}", video.codec);
    // What the encoder says it does, in its own SEI: no property can be overruled unseen.
    let first = String::from_utf8_lossy(&recorded.video.parts[0].bytes).into_owned();
    for option in ["keyint=48", "scenecut=0", "bframes=0", "rc_lookahead=0", "rc=crf", "crf=23.0", "vbv_maxrate=2000"] {
        assert!(first.contains(option), "x264 runs without {option}");
    }
    assert_eq!((audio.codec.as_str(), video.picture, audio.picture), ("mp4a.40.2", Some(SMALL), None));
}

#[tokio::test]
async fn twenty_five_pictures_a_second_have_a_grid_of_their_own() {
    let mut rig = Rig::start(&spec(Canvas { fps: 25, ..SMALL })).await;
    rig.recorded(Duration::from_millis(3600)).await;
    assert_grid(&rig.drain().await, 25, 8, 15, 10);
}

#[tokio::test]
async fn a_drain_right_after_the_start_gives_a_whole_if_short_file() {
    let rig = Rig::start(&spec(SMALL)).await;
    let recorded = rig.drain().await;
    let pictures = Pictures::of(&recorded.video).count();
    assert!(pictures >= 1);
    assert_eq!(recorded.video.closed.len(), 1);
    assert_eq!(recorded.video.closed[0].lasts, Duration::from_secs(pictures as u64) / 30);
    assert_eq!(recorded.audio.closed.len(), 1);
}

#[test]
fn what_cannot_be_encoded_is_refused_before_anything_starts() {
    let time = Timebase::start().unwrap();
    let start = |spec| Compositor::start(&spec, &time, unbounded_channel::<Event>().0).unwrap_err();
    assert!(matches!(start(spec(Canvas { fps: 24, ..SMALL })), Error::FrameRate(24)));
    assert!(matches!(start(spec(Canvas { width: 321, ..SMALL })), Error::Canvas(321, 180)));
    let unknown = PipelineSpec { preset: "quick".into(), ..spec(SMALL) };
    assert!(matches!(start(unknown), Error::Preset(preset) if preset == "quick"));
}
