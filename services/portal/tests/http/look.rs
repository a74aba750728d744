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

/// A recording that was interrupted many times, on a telephone: a notice that fits, and ways to each place.
#[tokio::test]
async fn gaps_are_seen_on_a_phone_and_a_key_leads_to_each() {
    let campus = Campus::open().await;
    let movie = movie(campus.folder.path(), "12");
    let nanos = |seconds: u64| media::MediaTime(seconds * 1_000_000_000);
    let gap = |n: u64| storage::journal::Gap {
        from: nanos(n * 2),
        to: nanos(n * 2 + 1),
        why: "the recorder died; another went on".into(),
    };
    let gaps = (1..6).map(gap).collect();
    let id = campus.keep(&Lecture { phase: Phase::Partial, movie, gaps, ..Lecture::default() }).await.recording;
    let browser =
        Browser::open(campus.folder.path(), (360, 740), &["--autoplay-policy=no-user-gesture-required"]).await;
    browser.goto(&format!("{}/?token={TOKEN}", campus.url)).await;
    browser.until("the list", SOON, "return !!document.querySelector('.cards')").await;
    browser.goto(&format!("{}/recordings/{id}", campus.url)).await;
    browser.until("the video knows its length", SOON, "return document.querySelector('video').duration > 11").await;
    assert_eq!(browser.ask("return document.documentElement.scrollWidth").await, 360);
    let seen = "const box = document.querySelector('.missing').getBoundingClientRect();
        return box.height > 0 && box.bottom < innerHeight && document.querySelectorAll('.marks rect').length === 5";
    assert_eq!(browser.ask(seen).await, true, "without scrolling");

    tab_to(&browser, "interrupted 5 times").await;
    press(&browser, ENTER).await;
    tab_to(&browser, "0:06").await;
    press(&browser, ENTER).await;
    let at = "const v = document.querySelector('video'); return v.currentTime >= 6 && v.currentTime";
    let at = browser.until("it plays from there", SOON, at).await;
    assert!((6.0..9.0).contains(&at.as_f64().unwrap()), "{at}");
    assert_eq!(browser.ask("return document.documentElement.scrollWidth").await, 360);
    browser.screenshot("portal-gaps-phone").await;
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const DOWN: &str = "\u{e015}";

/// Presses `key` as a person does, and says what has the focus then: its text, and how wide the ring around it is.
async fn press(browser: &Browser, key: &str) -> (String, f64) {
    let stroke = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
    let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": stroke }] });
    browser.call("/actions", &actions).await;
    let focus = "const e = document.activeElement, ring = getComputedStyle(e);
        return [e.matches('video') ? 'video' : e.innerText ?? '',
            ring.outlineStyle === 'none' ? 0 : parseFloat(ring.outlineWidth)]";
    let told = browser.ask(focus).await;
    (told[0].as_str().unwrap().to_owned(), told[1].as_f64().unwrap())
}

/// Tabs until something with `text` has the focus. Whatever has it on the way can be seen to.
async fn tab_to(browser: &Browser, text: &str) {
    let mut stops = Vec::new();
    // A video's own controls are some ten stops.
    for _ in 0..40 {
        let (stop, ring) = press(browser, TAB).await;
        assert!(ring >= 2.0 || stop == "video", "nobody sees that {stop:?} has the focus");
        if stop.contains(text) {
            return;
        }
        stops.push(stop);
    }
    panic!("Tab never comes to {text:?}: {stops:?}");
}

#[tokio::test]
async fn without_a_mouse_one_gets_from_the_list_to_a_spoken_line() {
    let (campus, id) = full().await;
    let flags = ["--autoplay-policy=no-user-gesture-required"];
    let browser = Browser::open(campus.folder.path(), (1280, 900), &flags).await;
    browser.goto(&format!("{}/?token={TOKEN}", campus.url)).await;
    browser.until("the list", SOON, "return !!document.querySelector('.cards')").await;
    tab_to(&browser, "Skip to the content").await;
    let seen = "return document.activeElement.getBoundingClientRect().top >= 0";
    browser.until("the link past the bar comes into sight", SOON, seen).await;
    press(&browser, ENTER).await;
    tab_to(&browser, "Linear algebra").await;
    press(&browser, ENTER).await;
    let there = format!("return location.pathname.endsWith('{id}') && document.querySelector('video')?.duration > 11");
    browser.until("the recording", SOON, &there).await;
    tab_to(&browser, "Welcome to week three").await;
    assert!(press(&browser, DOWN).await.0.contains("vectors"));
    press(&browser, ENTER).await;
    browser.until("it plays from the line", SOON, "return document.querySelector('video').currentTime >= 2.5").await;
}
