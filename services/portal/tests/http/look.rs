//! The pages in a real browser: they fit, they play, and the transcript and the video follow each other.

use std::time::Duration;

use claim::Phase;
use serde_json::json;

use crate::browser::Browser;
use crate::campus::{Campus, Lecture, TOKEN, movie};

const SOON: Duration = Duration::from_secs(30);

async fn full() -> (Campus, String) {
    let campus = Campus::open().await;
    let movie = movie(campus.folder.path(), "12");
    let cues = vec![
        (0.0, 2.0, "Welcome to week three of linear algebra."),
        (2.5, 5.0, "Today we look at vectors, and at what it means that they are independent."),
        (5.5, 8.0, "A set of vectors is linearly dependent if one of them is a combination of the others."),
        (8.5, 11.5, "Let us begin with an example on the board."),
    ];
    let id = campus.keep(&Lecture { movie, cues, ..Lecture::default() }).await.recording.to_string();
    let others = [
        ("web", Phase::Recording, true, None, "Open lecture: the sea in 2100"),
        ("end", Phase::Ended, false, None, "Seminar on medieval Iceland"),
        ("fail", Phase::Failed, false, Some("refused"), "Thesis defence"),
        (
            "gap",
            Phase::Partial,
            false,
            None,
            "Statistics, a title so long that it needs more than one line even on a wide screen, let alone on a telephone",
        ),
    ];
    for (session, phase, webinar, reason, title) in others {
        campus.keep(&Lecture { session, phase, webinar, reason, title: Some(title), ..Lecture::default() }).await;
    }
    (campus, id)
}

#[tokio::test]
async fn a_lecturer_plays_seeks_by_line_and_reads_along() {
    let (campus, id) = full().await;
    let browser =
        Browser::open(campus.folder.path(), (1280, 900), &["--autoplay-policy=no-user-gesture-required"]).await;
    browser.goto(&format!("{}/?token={TOKEN}", campus.url)).await;
    let address = browser.until("the list", SOON, "return document.querySelector('.cards') && location.href").await;
    assert_eq!(address, format!("{}/", campus.url), "the token is gone from the address");
    browser.screenshot("portal-list").await;

    browser.goto(&format!("{}/recordings/{id}", campus.url)).await;
    browser.until("the video knows its length", SOON, "return document.querySelector('video').duration > 11").await;
    browser.ask("document.querySelectorAll('#lines button')[2].click()").await;
    let at = browser
        .until(
            "it plays from the line",
            SOON,
            "const v = document.querySelector('video'); return v.currentTime > 6 && v.currentTime",
        )
        .await;
    assert!((5.5..9.0).contains(&at.as_f64().unwrap()), "{at}");
    browser
        .until(
            "the line is marked",
            SOON,
            "return document.querySelector('[aria-current]')?.innerText.includes('dependent')",
        )
        .await;
    browser.ask("const v = document.querySelector('video'); v.pause(); v.currentTime = 9").await;
    browser
        .until(
            "the mark moves on",
            SOON,
            "return document.querySelector('[aria-current]')?.innerText.includes('example')",
        )
        .await;
    assert_eq!(browser.ask("return document.querySelectorAll('[aria-current]').length").await, 1);
    // Captions are there to be switched on; the longest line is two of them.
    browser.ask("document.querySelector('video').textTracks[0].mode = 'showing'").await;
    let cues = "const t = document.querySelector('video').textTracks[0]; return t.cues?.length || false";
    assert_eq!(browser.until("captions load", SOON, cues).await, 5);
    browser.screenshot("portal-recording").await;
    assert_eq!(browser.ask("return document.documentElement.scrollWidth <= innerWidth").await, true);
}

#[tokio::test]
async fn the_keyboard_reaches_everything_and_a_phone_shows_it() {
    let (campus, id) = full().await;
    let dark = "--blink-settings=preferredColorScheme=0";
    let browser = Browser::open(campus.folder.path(), (360, 740), &[dark]).await;
    browser.goto(&campus.url).await;
    browser.until("it is locked", SOON, "return document.body.innerText.includes('locked')").await;
    browser.screenshot("portal-locked-phone").await;
    browser.goto(&format!("{}/?token={TOKEN}", campus.url)).await;
    browser.until("the list", SOON, "return !!document.querySelector('.cards')").await;
    assert_eq!(browser.ask("return document.documentElement.scrollWidth").await, 360);
    browser.screenshot("portal-list-phone").await;

    browser.goto(&format!("{}/recordings/{id}", campus.url)).await;
    browser.until("the lines", SOON, "return document.querySelectorAll('#lines button').length === 4").await;
    assert_eq!(browser.ask("return document.documentElement.scrollWidth").await, 360);
    // Of all lines one is a stop for Tab; arrows go from line to line.
    let stops = "return [...document.querySelectorAll('#lines button')].map(b => b.tabIndex)";
    assert_eq!(browser.ask(stops).await, json!([0, -1, -1, -1]));
    let press = "const b = document.querySelector('#lines button'); b.focus();
        for (const key of ['ArrowDown', 'ArrowDown', 'ArrowUp', 'End'])
            document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
        return document.activeElement.innerText";
    assert!(browser.ask(press).await.as_str().unwrap().contains("board"));
    assert_eq!(browser.ask(stops).await, json!([-1, -1, -1, 0]));
    browser.screenshot("portal-recording-phone").await;
}
