//! One worker, nothing lost: the final file is what was recorded, sample for sample.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use claim::Phase;
use finalizer::Outcome;
use mp4_atom::{Atom, Moov};

use crate::film::{CYCLE, Cmaf, Film, Style, beeps, boxes, ffmpeg, ffprobe, flashes, frame_times, pictures};
use crate::studio::Studio;

async fn finalized(frames: u32, style: Style) -> (Studio, Film, Outcome, PathBuf) {
    let studio = Studio::open().await;
    let film = Film::shoot(0, frames, style);
    studio.record(1, &film, Vec::new()).await;
    studio.end(1).await;
    let outcome = studio.finalize().await;
    let file = studio.open_final().await;
    (studio, film, outcome, file)
}

/// What a player of the live segments would see: init and segments one after the other.
fn live(folder: &Path, track: &Cmaf) -> PathBuf {
    let path = folder.join("live.mp4");
    std::fs::write(&path, [track.init.clone(), track.segments.concat()].concat()).unwrap();
    path
}

/// How long the movie and each track say that they are shown, in the movie's units.
fn promised(file: &Path) -> (u64, Vec<u64>) {
    let bytes = std::fs::read(file).unwrap();
    let (_, moov) = boxes(&bytes).into_iter().find(|(kind, _)| kind == b"moov").unwrap();
    let moov = Moov::decode_body(&mut &moov[8..]).unwrap();
    (moov.mvhd.duration, moov.trak.iter().map(|trak| trak.tkhd.duration).collect())
}

fn same_times(a: &[f64], b: &[f64], within: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < within)
}

#[tokio::test]
async fn a_recording_becomes_one_file_with_every_frame() {
    for style in [Style::Live, Style::Reordered] {
        let (studio, film, outcome, file) = finalized(300, style).await;
        let Outcome::Ready { generation: 1, complete: true, duration, new: true } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(duration.abs_diff(Duration::from_secs(10)) < Duration::from_millis(50), "{duration:?}");

        let shown = pictures(&file);
        let numbers: Vec<u32> = shown.iter().map(|p| p.number).collect();
        assert_eq!(numbers, (0..300).map(|n| n % CYCLE).collect::<Vec<_>>(), "every frame, once, in order");
        for (n, picture) in shown.iter().enumerate() {
            assert!((picture.at - n as f64 / 30.0).abs() < 0.001, "frame {n} at {}", picture.at);
        }

        let (seen, heard) = (flashes(&shown), beeps(&file));
        let seconds: Vec<f64> = (0..10).map(f64::from).collect();
        assert!(same_times(&seen, &seconds, 0.001), "{seen:?}");
        match style {
            // The encoder's priming is in the segments, and nothing there says to skip it: the skew stays what it was.
            Style::Live => {
                let before = beeps(&live(studio.folder.path(), &film.audio));
                assert!(same_times(&heard, &before, 0.001), "{heard:?}, {before:?}");
            }
            // The edit list says to skip it.
            Style::Reordered => assert!(same_times(&heard, &seconds, 0.001), "{heard:?}"),
        }
        assert!(same_times(&seen, &heard, 0.04), "{seen:?} {heard:?}");
        let (movie, tracks) = promised(&file);
        assert!(tracks.iter().max().is_some_and(|longest| longest.abs_diff(movie) <= 1), "{tracks:?} in {movie}");

        let state = studio.state().await;
        assert_eq!((state.phase, state.generation), (Phase::Ready, Some(1)));
        let report = studio.verify().await;
        assert_eq!(report.findings, []);
        assert!(report.manifest.complete && report.manifest.gaps.is_empty());
    }
}

#[tokio::test]
async fn the_file_begins_with_its_index_and_seeks_to_the_frame() {
    let (_studio, _film, _, file) = finalized(300, Style::Reordered).await;
    let bytes = std::fs::read(&file).unwrap();
    let kinds: Vec<_> = boxes(&bytes).iter().map(|(kind, _)| String::from_utf8_lossy(kind).into_owned()).collect();
    assert_eq!(kinds, ["ftyp", "moov", "mdat"]);

    let file = file.to_str().unwrap();
    let codecs = ffprobe(&["-show_entries", "stream=codec_tag_string,nb_frames", "-of", "csv=p=0", file]);
    assert_eq!(codecs, "avc1,300\nmp4a,470\n");
    let keys = frame_times(&["-select_streams", "v", "-skip_frame", "nokey"], file);
    let expected: Vec<f64> = (0..7).map(|n| f64::from(n) * 1.6).collect();
    assert!(same_times(&keys, &expected, 0.001), "{keys:?}");

    // Seeking lands on the next frame: number 200, at 6.6667 s.
    let picture =
        ffmpeg(&["-ss", "6.65", "-i", file, "-frames:v", "1", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]).run();
    assert_eq!((f64::from(picture[45 * 160 + 40]) - 16.0) / 4.0, f64::from(200 % CYCLE));
}

#[tokio::test]
async fn a_minute_is_ready_within_ten_seconds() {
    let studio = Studio::open().await;
    let film = Film::shoot(0, 1800, Style::Live);
    studio.record(1, &film, Vec::new()).await;
    studio.end(1).await;
    let began = Instant::now();
    let outcome = studio.finalize().await;
    let took = began.elapsed();
    println!("a minute was ready after {took:?}");
    assert!(matches!(outcome, Outcome::Ready { complete: true, .. }) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(pictures(&studio.open_final().await).len(), 1800);
}

#[tokio::test]
async fn no_plaintext_lies_in_the_store() {
    let (studio, film, _, _) = finalized(60, Style::Live).await;
    let needle = &film.video.segments[0][600..640];
    let mut folders = vec![studio.folder.path().join("s3")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            files += 1;
            assert!(!bytes.windows(needle.len()).any(|w| w == needle), "{}", path.display());
            assert!(!bytes.windows(4).any(|w| w == b"Kari" || w == b"moov"), "{}", path.display());
        }
    }
    assert!(files > 8, "{files}");
}
