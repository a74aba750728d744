//! What recorders may push, and what they are told otherwise.

use std::time::Duration;

use media::{MediaTime, Rendition};
use origin::Config;
use reqwest::StatusCode;

use crate::server::{Origin, Recorder, SEGMENT, TOKEN, recording, taken};

#[tokio::test]
async fn without_the_token_nothing_is_taken() {
    let origin = Origin::start(&Config::default()).await;
    let (id, video) = (recording("token"), Rendition::video());
    for token in ["", "a word that nobody guesseS", "a word that nobody guesses!", "a word that nobody guesse", "wrong"]
    {
        let stranger = Recorder { token, ..Recorder::new(&origin, id, 1) };
        for answer in [
            stranger.init(&video, vec![1]).await,
            stranger.part(&video, 0, 0, SEGMENT, vec![1]).await,
            stranger.closed(&video, 0, MediaTime(0), SEGMENT).await,
            stranger.end().await,
        ] {
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{token:?}");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        }
    }
    let url = format!("{}/ingest/{id}/1/end", origin.url);
    assert_eq!(origin.http.post(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let basic = origin.http.post(&url).header("authorization", format!("Basic {TOKEN}"));
    assert_eq!(basic.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // Nothing of this left a trace: the webinar is still unknown.
    assert_eq!(Recorder::new(&origin, id, 1).end().await.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_superseded_recorder_is_told_to_stop() {
    let origin = Origin::start(&Config::default()).await;
    let (id, video) = (recording("fence"), Rendition::video());
    let old = Recorder::new(&origin, id, 1);
    old.run(3).await;
    Recorder::new(&origin, id, 2).run(1).await;
    let before = origin.text(&format!("/hls/{id}/video/index.m3u8")).await;
    for answer in [
        old.init(&video, vec![1]).await,
        old.part(&video, 3, 0, SEGMENT, vec![1]).await,
        old.closed(&video, 3, MediaTime(9_600_000_000), SEGMENT).await,
        old.end().await,
    ] {
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        let told: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(told["detail"], "epoch 1 was superseded by epoch 2");
    }
    assert_eq!(origin.text(&format!("/hls/{id}/video/index.m3u8")).await, before);
}

/// An origin that has restarted knows nothing; its answer makes the recorder begin with the init section again.
#[tokio::test]
async fn a_push_without_its_init_section_asks_for_it() {
    let origin = Origin::start(&Config::default()).await;
    let (id, video) = (recording("restart"), Rendition::video());
    let recorder = Recorder::new(&origin, id, 1);
    assert_eq!(recorder.part(&video, 7, 0, SEGMENT, vec![1]).await.status(), StatusCode::PRECONDITION_FAILED);
    taken(&recorder.init(&video, vec![1]).await);
    // Half of segment 7 went to the origin before.
    assert_eq!(recorder.part(&video, 7, 1, SEGMENT / 2, vec![1]).await.status(), StatusCode::PRECONDITION_FAILED);
    taken(&recorder.part(&video, 8, 0, SEGMENT, vec![1]).await);
    taken(&recorder.closed(&video, 8, MediaTime(25_600_000_000), SEGMENT).await);
    let playlist = origin.text(&format!("/hls/{id}/video/index.m3u8")).await;
    assert!(playlist.contains("#EXT-X-MEDIA-SEQUENCE:8\n"), "{playlist}");
}

#[tokio::test]
async fn bodies_are_bounded() {
    let origin = Origin::start(&Config::default()).await;
    let (id, video) = (recording("limits"), Rendition::video());
    let recorder = Recorder::new(&origin, id, 1);
    assert_eq!(recorder.init(&video, vec![0; 64 * 1024 + 1]).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    taken(&recorder.init(&video, vec![0; 64 * 1024]).await);
    let part = |bytes| recorder.part(&video, 0, 0, SEGMENT, vec![0; bytes]);
    assert_eq!(part(4 * 1024 * 1024 + 1).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(part(0).await.status(), StatusCode::BAD_REQUEST);
    taken(&part(4 * 1024 * 1024).await);
    let url = format!("{}/ingest/{id}/1/video/0/closed", origin.url);
    let long = origin.http.post(&url).bearer_auth(TOKEN).header("content-type", "application/json");
    assert_eq!(long.body(vec![b' '; 5000]).send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn malformed_pushes_are_refused_and_name_nothing_of_the_request() {
    let origin = Origin::start(&Config::default()).await;
    let id = recording("malformed");
    let recorder = Recorder::new(&origin, id, 1);
    let video = Rendition::video();
    taken(&recorder.init(&video, vec![1]).await);
    let url = |path: &str| format!("{}/ingest/{path}", origin.url);
    let put = |path: &str| origin.http.put(url(path)).bearer_auth(TOKEN).body("x");
    let good = format!("{id}/1/video/0/0");
    let refused = [
        put(&good).header("x-independent", "1"),
        put(&good).header("x-independent", "1").header("x-duration-ns", "-5"),
        put(&good).header("x-independent", "1").header("x-duration-ns", "99999999999999"),
        put(&good).header("x-independent", "yes").header("x-duration-ns", "5"),
        put(&format!("{id}/1/vi%2Fdeo/0/0")).header("x-independent", "1").header("x-duration-ns", "5"),
        put(&format!("{id}/1/video/0/4294967296")).header("x-independent", "1").header("x-duration-ns", "5"),
        put("..%2F..%2Fetc/1/video/0/0").header("x-independent", "1").header("x-duration-ns", "5"),
        put(&format!("{id}/1/audio/init")).header("x-codec", "mp4a\",URI=\"http://evil"),
        put(&format!("{id}/1/audio/init")),
        put(&format!("{id}/1/audio/init")).header("x-codec", "avc1").header("x-picture", "0x0@0"),
    ];
    for (n, request) in refused.into_iter().enumerate() {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "request {n}");
        let told = answer.text().await.unwrap();
        assert!(!told.contains("evil") && !told.contains("etc"), "{told}");
    }
    let elsewhere = origin.http.post(url(&format!("{id}/1/video/1/closed"))).bearer_auth(TOKEN);
    let news = serde_json::json!({ "rendition": "video", "segment": 0, "begins": 0, "wall": "2026-11-22T12:00:00Z",
        "lasts": { "secs": 3, "nanos": 200_000_000 } });
    assert_eq!(elsewhere.json(&news).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let answer = recorder.closed(&video, 0, MediaTime(0), Duration::from_secs(4)).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "longer than the target duration allows");
}

#[tokio::test]
async fn memory_has_a_cap_and_the_oldest_minutes_go_first() {
    let origin = Origin::start(&Config { memory_mib: 8, ..Config::default() }).await;
    let (id, video) = (recording("memory"), Rendition::video());
    let recorder = Recorder::new(&origin, id, 1);
    taken(&recorder.init(&video, vec![1]).await);
    for segment in 0..20 {
        taken(&recorder.part(&video, segment, 0, SEGMENT, vec![7; 1024 * 1024]).await);
        taken(&recorder.closed(&video, segment, MediaTime(segment * 3_200_000_000), SEGMENT).await);
    }
    assert_eq!(origin.get(&format!("/hls/{id}/video/1-0.m4s")).await.status(), StatusCode::NOT_FOUND);
    let last = origin.get(&format!("/hls/{id}/video/1-19.m4s")).await;
    assert_eq!(last.bytes().await.unwrap().len(), 1024 * 1024);
    let playlist = origin.text(&format!("/hls/{id}/video/index.m3u8")).await;
    for listed in playlist.lines().filter(|line| line.ends_with(".m4s")) {
        assert_eq!(origin.get(&format!("/hls/{id}/video/{listed}")).await.status(), StatusCode::OK, "{listed}");
    }
    // Parts alone, never closed, cannot be freed: the origin says so and keeps what it has.
    let full = recorder.part(&video, 20, 0, SEGMENT / 2, vec![7; 3 * 1024 * 1024]).await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(origin.get(&format!("/hls/{id}/video/1-19.m4s")).await.status(), StatusCode::OK);
}

/// Two recorders are at work when the origin restarts. Each is asked for its beginning again, in whatever order they come,
/// and viewers go on with the new one; what the old one says at its end ends nothing.
#[tokio::test]
async fn a_restart_in_the_middle_of_a_hand_over_loses_neither() {
    let (id, video) = (recording("restart-2"), Rendition::video());
    let begins = |segment: u64| MediaTime(segment * 3_200_000_000);
    let whole = async |of: &Recorder<'_>, segment: u64| {
        let part = of.part(&video, segment, 0, SEGMENT, vec![1]).await.status();
        (part, of.closed(&video, segment, begins(segment), SEGMENT).await.status())
    };
    const TAKEN: StatusCode = StatusCode::NO_CONTENT;
    let origin = Origin::start(&Config::default()).await;
    let old = Recorder::new(&origin, id, 1);
    // Four and a half segments later.
    let new = Recorder { began: old.began.plus(SEGMENT * 9 / 2), ..Recorder::new(&origin, id, 2) };
    for recorder in [&new, &old] {
        assert_eq!(recorder.part(&video, 9, 1, SEGMENT / 2, vec![1]).await.status(), StatusCode::PRECONDITION_FAILED);
    }
    // The old one is the first to begin again; its segment 9 is broken, and no beginning.
    for recorder in [&old, &new] {
        taken(&recorder.init(&video, vec![1]).await);
        assert_eq!(recorder.part(&video, 9, 1, SEGMENT / 2, vec![1]).await.status(), StatusCode::PRECONDITION_FAILED);
        taken(&recorder.closed(&video, 9, begins(9), SEGMENT).await);
    }
    for segment in 10..15 {
        assert_eq!(whole(&old, segment).await, (TAKEN, TAKEN));
    }
    assert_eq!(whole(&new, 10).await, (TAKEN, TAKEN));
    taken(&old.end().await);
    let playlist = origin.text(&format!("/hls/{id}/video/index.m3u8")).await;
    let lines: Vec<&str> = playlist.lines().filter(|line| line.contains("m4s") || line.contains("GAP")).collect();
    let old_ones = ["1-10.m4s", "1-11.m4s", "1-12.m4s", "1-13.m4s", "1-14.m4s"];
    assert_eq!((&lines[..5], playlist.contains("ENDLIST")), (&old_ones[..], false), "{playlist}");
    assert!(playlist.contains("#EXT-X-MEDIA-SEQUENCE:10\n"), "{playlist}");
    assert_eq!(whole(&new, 11).await, (TAKEN, TAKEN));
    let playlist = origin.text(&format!("/hls/{id}/video/index.m3u8")).await;
    assert!(playlist.ends_with("2-11.m4s\n"), "{playlist}");
    assert_eq!(whole(&old, 15).await, (StatusCode::CONFLICT, StatusCode::CONFLICT));

    // With the new one first, the old one has nothing more to say.
    let again = Origin::start(&Config::default()).await;
    let [old, new] = [1, 2].map(|epoch| Recorder::new(&again, id, epoch));
    taken(&new.init(&video, vec![1]).await);
    assert_eq!(old.init(&video, vec![1]).await.status(), StatusCode::CONFLICT);
    assert_eq!(old.end().await.status(), StatusCode::CONFLICT);
    assert_eq!(whole(&new, 12).await, (TAKEN, TAKEN));
}
