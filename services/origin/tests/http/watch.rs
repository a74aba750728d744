//! The watch page in a real browser.

use std::time::{Duration, Instant};

use media::MediaTime;
use origin::Config;

use crate::browser::Browser;
use crate::footage::{Cut, PARTS, footage, part};
use crate::server::{Origin, Recorder, SEGMENT, recording, taken};

/// All that the cuts hold, at once.
async fn push(recorder: &Recorder<'_>, cuts: &[Cut], segments: usize) {
    for cut in cuts {
        taken(&recorder.init(&cut.rendition, cut.init.clone()).await);
    }
    for n in 0..segments * PARTS {
        for cut in cuts {
            let (segment, index) = ((n / PARTS) as u64, u32::try_from(n % PARTS).unwrap());
            taken(&recorder.part(&cut.rendition, segment, index, part(), cut.parts[n].clone()).await);
            if n % PARTS == PARTS - 1 {
                let begins = MediaTime(segment * 3_200_000_000);
                taken(&recorder.closed(&cut.rendition, segment, begins, SEGMENT).await);
            }
        }
    }
}

#[tokio::test]
async fn a_viewer_waits_watches_across_a_take_over_and_sees_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let cuts = footage(folder.path(), 0, 24);
    let origin = Origin::start(&Config::default()).await;
    let id = recording("viewer");
    let browser = Browser::open(folder.path(), (1280, 900), &[]).await;
    let soon = Duration::from_secs(30);

    browser.goto(&format!("{}/watch/{id}", origin.url)).await;
    browser.until("the page waits", soon, "return document.documentElement.dataset.state === 'waiting'").await;
    browser.screenshot("watch-waiting").await;

    let first = Recorder::new(&origin, id, 1);
    push(&first, &cuts, 4).await;
    browser.until("it starts by itself", soon, "return lectern.state === 'live' && lectern.playedSeconds > 1").await;
    let shown = browser.ask("const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]").await;
    assert_eq!(shown, serde_json::json!([640, 160]));
    browser.screenshot("watch-live").await;

    let second = Recorder { began: first.began.plus(SEGMENT * 4), ..Recorder::new(&origin, id, 2) };
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

/// Who watches when the recorder goes is told so, as is who comes meanwhile; both see the webinar when it is back.
#[tokio::test]
async fn an_interruption_is_said_and_is_over_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let cuts = footage(folder.path(), 0, 24);
    let origin = Origin::start(&Config::default()).await;
    let id = recording("interrupted");
    let browser = Browser::open(folder.path(), (1280, 900), &[]).await;
    let soon = Duration::from_secs(40);
    let begun = Instant::now();
    let first = Recorder::new(&origin, id, 1);
    // A recorder that has just made its first segment.
    let back = |epoch: u32| {
        let began = first.began.plus(SEGMENT * 3 + begun.elapsed());
        Recorder { began, ..Recorder::new(&origin, id, epoch) }
    };
    push(&first, &cuts, 4).await;
    browser.goto(&format!("{}/watch/{id}", origin.url)).await;
    let interrupted = "return window.lectern && lectern.state === 'interrupted'";
    let said = async |element: &str| {
        let script = format!(
            "const words = document.getElementById('{element}');
             return words.getAttribute('role') === 'status' && !words.hidden && words.innerText"
        );
        let said = browser.ask(&script).await;
        assert!(said.as_str().is_some_and(|said| said.contains("Waiting for the recorder to come back")), "{said}");
    };
    let live = async |seconds: f64| {
        let script = format!("return lectern.state === 'live' && lectern.playedSeconds > {seconds}");
        browser.until("it plays", soon, &script).await;
    };
    live(1.0).await;
    // It plays what there is; then the last picture stands under the words.
    browser.until("it says so to who watches", soon, interrupted).await;
    said("status").await;
    browser.screenshot("watch-interrupted").await;
    push(&back(2), &cuts, 1).await;
    live(browser.ask("return lectern.playedSeconds").await.as_f64().unwrap() + 2.0).await;

    let died = Instant::now();
    while !origin.text(&format!("/api/live/{id}")).await.contains("interrupted") {
        assert!(died.elapsed() < soon, "the origin does not notice");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    browser.goto(&format!("{}/watch/{id}", origin.url)).await;
    browser.until("it says so to who comes", soon, interrupted).await;
    said("words").await;
    // One segment is not yet enough to play without a stall; it begins nonetheless.
    push(&back(3), &cuts, 1).await;
    live(1.0).await;
}
