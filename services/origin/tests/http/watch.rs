//! The watch page in a real browser, with real H.264 and AAC that ffmpeg made.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use media::{MediaTime, Rendition};
use origin::Config;

use crate::browser::Browser;
use crate::server::{Origin, Recorder, recording, taken};

/// One rendition as a compositor would cut it.
struct Cut {
    rendition: Rendition,
    init: Vec<u8>,
    segments: Vec<(Duration, Vec<u8>)>,
}

/// `seconds` of a test picture and a tone, in CMAF segments of 3.2 s.
fn media(folder: &Path, seconds: &str) -> [Cut; 2] {
    let source = [
        (Rendition::video(), "testsrc2=size=640x360:rate=30", "libx264 -preset ultrafast -g 48 -sc_threshold 0 -bf 0"),
        (Rendition::audio(), "sine=frequency=440:sample_rate=48000", "aac -b:a 128k -ac 2"),
    ];
    source.map(|(rendition, input, codec)| {
        let folder = folder.join(rendition.as_str());
        std::fs::create_dir(&folder).unwrap();
        let stream = if rendition == Rendition::video() { "-c:v" } else { "-c:a" };
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", input, "-t", seconds, stream])
            .args(codec.split(' '))
            .args(["-f", "hls", "-hls_time", "3.2", "-hls_list_size", "0", "-hls_segment_type", "fmp4"])
            .args(["-hls_fmp4_init_filename", "init.mp4", "-hls_segment_filename", "%d.m4s", "index.m3u8"])
            .current_dir(&folder)
            .status()
            .expect("ffmpeg is installed");
        assert!(done.success());
        let playlist = std::fs::read(folder.join("index.m3u8")).unwrap();
        let playlist = m3u8_rs::parse_media_playlist_res(&playlist).unwrap();
        let segments = playlist.segments.iter().map(|segment| {
            (Duration::from_secs_f32(segment.duration), std::fs::read(folder.join(&segment.uri)).unwrap())
        });
        Cut { init: std::fs::read(folder.join("init.mp4")).unwrap(), segments: segments.collect(), rendition }
    })
}

async fn push(recorder: &Recorder<'_>, cuts: &[Cut], count: usize) {
    for cut in cuts {
        taken(&recorder.init(&cut.rendition, cut.init.clone()).await);
    }
    let mut begins = [MediaTime(0); 2];
    for n in 0..count {
        for (cut, begins) in cuts.iter().zip(&mut begins) {
            let (lasts, bytes) = &cut.segments[n];
            taken(&recorder.part(&cut.rendition, n as u64, 0, *lasts, bytes.clone()).await);
            taken(&recorder.closed(&cut.rendition, n as u64, *begins, *lasts).await);
            *begins = begins.plus(*lasts);
        }
    }
}

#[tokio::test]
async fn a_viewer_waits_watches_across_a_take_over_and_sees_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let cuts = media(folder.path(), "12.8");
    let origin = Origin::start(&Config::default()).await;
    let id = recording("viewer");
    let browser = Browser::open(folder.path(), (1280, 900), &[]).await;
    let soon = Duration::from_secs(30);

    browser.goto(&format!("{}/watch/{id}", origin.url)).await;
    browser.until("the page waits", soon, "return document.documentElement.dataset.state === 'waiting'").await;
    browser.screenshot("watch-waiting").await;

    push(&Recorder::new(&origin, id, 1), &cuts, 4).await;
    browser.until("it starts by itself", soon, "return lectern.state === 'live' && lectern.playedSeconds > 1").await;
    let shown = browser.ask("const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]").await;
    assert_eq!(shown, serde_json::json!([640, 360]));
    browser.screenshot("watch-live").await;

    let second = Recorder::new(&origin, id, 2);
    push(&second, &cuts, 3).await;
    taken(&second.end().await);
    browser.until("it plays to the end", soon * 2, "return lectern.state === 'ended'").await;
    // It began 9.6 s before the edge of 12.8 s, and 9.6 s of the second epoch followed.
    let played = browser.ask("return lectern.playedSeconds").await.as_f64().unwrap();
    assert!((16.0..=22.5).contains(&played), "played {played} s");
    let fatal = browser.ask("return document.querySelector('video').error").await;
    assert!(fatal.is_null(), "{fatal}");
    browser.screenshot("watch-ended").await;
}

#[tokio::test]
async fn on_a_phone_nothing_sticks_out_and_problems_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start(&Config::default()).await;
    let browser = Browser::open(folder.path(), (360, 740), &["--blink-settings=preferredColorScheme=0"]).await;
    browser.goto(&format!("{}/watch/{}", origin.url, recording("phone"))).await;
    browser
        .until("the page waits", Duration::from_secs(30), "return window.lectern && lectern.state === 'waiting'")
        .await;
    let width = browser.ask("return document.documentElement.scrollWidth").await;
    assert_eq!(width, 360);
    // The first stop of the keyboard leads past the header.
    let first = browser.ask("return document.querySelector('a, button, video').getAttribute('href')").await;
    assert_eq!(first, "#main");
    browser.screenshot("watch-phone").await;
    drop(origin);
    browser.until("it says so", Duration::from_secs(40), "return lectern.state === 'problem'").await;
    let said = browser.ask("return document.body.innerText").await;
    assert!(said.as_str().unwrap().contains("The stream is interrupted"), "{said}");
    browser.screenshot("watch-problem").await;
}
