//! What is on the pages.

use claim::Phase;
use media::MediaTime;
use portal::Config;
use reqwest::StatusCode;
use serde_json::Value;
use storage::journal::Gap;
use storage::store::Bucket;

use crate::campus::{Campus, Lecture};

#[tokio::test]
async fn the_list_tells_every_standing_in_words() {
    let campus = Campus::open().await;
    assert!(campus.text("/").await.contains("There are none yet"));
    let lectures = [
        ("ready", Phase::Ready, false, None, "Ready"),
        ("partial", Phase::Partial, false, None, "Ready, with a gap"),
        ("claimed", Phase::Claimed, false, None, "Starting"),
        ("recording", Phase::Recording, false, None, "Recording now"),
        ("webinar", Phase::Recording, true, None, "Live"),
        ("ended", Phase::Ended, false, None, "Being prepared"),
        ("failed", Phase::Failed, false, Some("refused"), "Failed"),
        ("locked", Phase::Failed, false, Some("locked"), "Failed"),
        ("encrypted", Phase::Failed, false, Some("encrypted"), "Failed"),
        ("empty", Phase::Empty, false, None, "Nothing recorded"),
    ];
    let mut live = String::new();
    for (session, phase, webinar, reason, _) in lectures {
        let path = campus.keep(&Lecture { session, phase, webinar, reason, ..Lecture::default() }).await;
        if webinar {
            live = format!("http://127.0.0.1:7080/watch/{}", path.recording);
        }
    }
    let page = campus.text("/").await;
    for (.., badge) in lectures {
        assert!(page.contains(&format!(">{badge}</span>")), "{badge}: {page}");
    }
    assert_eq!(page.matches("Linear algebra, week 3").count(), lectures.len());
    assert_eq!(page.matches(&live).count(), 1);
    assert_eq!(page.matches("/watch/").count(), 1);
    for why in ["The room did not let the recorder in", "The room is locked", "The room is encrypted end to end"] {
        assert_eq!(page.matches(why).count(), 1, "{why}");
    }
    assert_eq!(page.matches("45 min").count(), 2);
}

#[tokio::test]
async fn what_people_wrote_is_text_and_nothing_else() {
    let campus = Campus::open().await;
    let evil = "<script>alert(1)</script>\"'&";
    let id = campus
        .keep(&Lecture {
            title: Some(evil),
            cues: vec![(0.0, 1.0, "</span><img src=x onerror=alert(2)>")],
            ..Lecture::default()
        })
        .await
        .recording;
    for page in [campus.text("/").await, campus.text(&format!("/recordings/{id}")).await] {
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    }
    let told: Value = campus.get(&format!("/api/recordings/{id}")).await.json().await.unwrap();
    assert_eq!(told["title"], evil);
}

#[tokio::test]
async fn a_recording_has_its_video_captions_transcript_and_downloads() {
    let campus = Campus::open().await;
    let id = campus.keep(&Lecture::default()).await.recording;
    let page = campus.text(&format!("/recordings/{id}")).await;
    for part in [
        "<h1>Linear algebra, week 3</h1>",
        &format!("src=\"/recordings/{id}/video.mp4\""),
        &format!("<track kind=\"captions\" src=\"/recordings/{id}/captions.vtt\" srclang=\"nb\""),
        "norsk bokmål (machine-made)",
        "data-at=\"2.5\" data-to=\"5\"",
        "Today: vectors.",
        &format!("/recordings/{id}/transcript.txt?download"),
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let vtt = campus.text(&format!("/recordings/{id}/captions.vtt")).await;
    assert!(vtt.starts_with("WEBVTT\n") && vtt.contains("00:00:02.500 --> 00:00:05.000"), "{vtt}");
    assert!(campus.text(&format!("/recordings/{id}/captions.srt")).await.contains("00:00:02,500 --> 00:00:05,000"));
    assert!(campus.text(&format!("/recordings/{id}/transcript.txt")).await.contains("Machine-made"));
}

#[tokio::test]
async fn gaps_are_told_and_a_missing_transcript_is_no_obstacle() {
    let campus = Campus::open().await;
    let gap = |from: u64, to: u64, why: &str| {
        let nanos = |seconds| MediaTime(seconds * 1_000_000_000);
        Gap { from: nanos(from), to: nanos(to), why: why.into() }
    };
    let gaps = vec![gap(61, 75, "the recorder died"), gap(675, 1350, "audio: <b>lost</b>"), gap(2700, 2700, "a doubt")];
    let lecture = Lecture { phase: Phase::Partial, cues: Vec::new(), gaps, title: None, ..Lecture::default() };
    let id = campus.keep(&lecture).await.recording;
    let page = campus.text(&format!("/recordings/{id}")).await;
    let to =
        |at: &str, clock: &str| format!("<a href=\"/recordings/{id}/video.mp4#t={at}\" data-jump=\"{at}\">{clock}</a>");
    let (from, end) = (to("61.000", "1:01"), to("75.000", "1:15"));
    let first = format!("Nothing from {from} to {end} <span class=\"quiet\">(14 s)</span>: the recorder died");
    assert!(page.contains(&first), "{page}");
    assert!(page.contains("No sound from ") && page.contains("&lt;b&gt;lost&lt;/b&gt;"), "{page}");
    assert!(page.contains(&format!("At {}: a doubt", to("2700.000", "45:00"))), "{page}");
    assert!(page.contains("The recording is interrupted 2 times, 11 min in all."), "{page}");
    // Marks on a line of 1000 for 45 minutes: one of 14 s, one of a quarter, one at the very end.
    for rect in ["x=\"22\" y=\"0\" width=\"5\"", "x=\"250\" y=\"0\" width=\"250\"", "x=\"996\" y=\"0\" width=\"4\""] {
        assert!(page.contains(rect), "{rect} is not in {page}");
    }
    assert!(page.find("What is missing").unwrap() < page.find("<video").unwrap(), "seen before the picture");
    assert!(page.contains("<h1>Recording of 22 November 2026, 12:00 UTC</h1>"), "{page}");
    assert!(!page.contains("Transcript") && page.contains("video.mp4"), "{page}");
    assert_eq!(campus.get(&format!("/recordings/{id}/captions.vtt")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_manifest_that_does_not_prove_itself_is_not_played() {
    let campus = Campus::open().await;
    let path = campus.keep(&Lecture::default()).await;
    let id = path.recording;
    campus.alter(&path.manifest(1)).await;
    let page = campus.text(&format!("/recordings/{id}")).await;
    assert!(page.contains("Not proven") && !page.contains("<video"), "{page}");
    assert_eq!(campus.get(&format!("/recordings/{id}/video.mp4")).await.status(), StatusCode::NOT_FOUND);
    let told: Value = campus.get(&format!("/api/recordings/{id}")).await.json().await.unwrap();
    assert_eq!((told["state"].as_str(), told["files"].as_array().unwrap().len()), (Some("unproven"), 0));
}

/// Shredding deletes the key; a minute later at most nobody can read the recording here either.
#[tokio::test]
async fn without_its_key_a_recording_is_unreadable_and_said_to_be() {
    let campus = Campus::open().await;
    let path = campus.keep(&Lecture { cues: Vec::new(), ..Lecture::default() }).await;
    let video = format!("/recordings/{}/video.mp4", path.recording);
    assert_eq!(campus.get(&video).await.status(), StatusCode::OK);
    campus.store.delete(Bucket::Keys, &path.key(&storage::Writer::Final(1))).await.unwrap();
    let answer = campus.get(&video).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(answer.text().await.unwrap().contains("its key is missing"));
}

#[tokio::test]
async fn another_tenants_recording_does_not_exist_here() {
    let campus = Campus::open().await;
    let path = campus.keep(&Lecture::default()).await;
    // The same bytes under another tenant's prefix.
    let (state, _) = campus.store.get(Bucket::Media, &path.state(), 65536).await.unwrap();
    let state = String::from_utf8(state.to_vec()).unwrap().replace("\"uni\"", "\"other\"");
    let id = path.recording.to_string();
    let other = id.replace(&id[..8], "00000000");
    let state = state.replace(&id, &other);
    let key = format!("v1/other/2026/{other}/state.json");
    campus.store.put(Bucket::Media, &key, state.into_bytes().into(), storage::Condition::Absent).await.unwrap();
    assert_eq!(campus.get(&format!("/recordings/{other}")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(campus.get(&format!("/api/recordings/{other}")).await.status(), StatusCode::NOT_FOUND);
    let told: Value = campus.get("/api/recordings").await.json().await.unwrap();
    assert_eq!(told["count"], 1);
    assert_eq!(told["recordings"][0]["id"], id);
}

#[tokio::test]
async fn long_lists_have_pages() {
    let campus = Campus::open_with(Config { cache_seconds: 60, ..Config::default() }).await;
    for n in 0..53 {
        let session: &'static str = Box::leak(format!("s{n}").into_boxed_str());
        campus.keep(&Lecture { session, phase: Phase::Failed, title: None, ..Lecture::default() }).await;
    }
    let cards = |page: &str| page.matches("<h2>").count();
    let (first, second) = (campus.text("/").await, campus.text("/?page=2").await);
    assert_eq!((cards(&first), cards(&second)), (50, 3));
    assert!(first.contains("Page 1 of 2") && first.contains("href=\"/?page=2\"") && !first.contains("Newer"));
    assert!(second.contains("href=\"/?page=1\"") && !second.contains("Older"));
    assert_eq!(campus.get("/?page=3").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(campus.get("/?page=x").await.status(), StatusCode::NOT_FOUND);
    let slice: Value = campus.get("/api/recordings?skip=50&count=2").await.json().await.unwrap();
    assert_eq!((slice["count"].as_u64(), slice["recordings"].as_array().unwrap().len()), (Some(53), 2));
}
