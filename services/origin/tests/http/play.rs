//! What players are answered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::media::{MediaTime, Rendition};
use m3u8_rs::{MasterPlaylist, MediaPlaylist, parse_master_playlist_res, parse_media_playlist_res};
use origin::Config;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::server::{Origin, Recorder, SEGMENT, recording, taken};

fn master(text: &str) -> MasterPlaylist {
    parse_master_playlist_res(text.as_bytes()).unwrap()
}

fn media(text: &str) -> MediaPlaylist {
    parse_media_playlist_res(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_player_goes_from_one_link_to_every_byte() {
    let origin = Origin::start(&Config::default()).await;
    let id = recording("play");
    let recorder = Recorder::new(&origin, id, 1);
    assert_eq!(origin.get(&format!("/hls/{id}/index.m3u8")).await.status(), StatusCode::NOT_FOUND);
    recorder.run(4).await;

    let start = origin.get(&format!("/hls/{id}/index.m3u8")).await;
    assert_eq!(start.headers()["content-type"], "application/vnd.apple.mpegurl");
    assert_eq!(start.headers()["cache-control"], "public, max-age=1");
    assert_eq!(start.headers()["access-control-allow-origin"], "*");
    assert_eq!(start.headers()["access-control-expose-headers"], "Age, Date");
    assert!(start.headers().contains_key("date"));
    let master = master(&start.text().await.unwrap());
    let uris = [master.variants[0].uri.clone(), master.alternatives[0].uri.clone().unwrap()];
    for (uri, name, kind) in [(&uris[0], "video", "video/mp4"), (&uris[1], "audio", "audio/mp4")] {
        let playlist = media(&origin.text(&format!("/hls/{id}/{uri}")).await);
        assert_eq!((playlist.segments.len(), playlist.end_list), (4, false));
        let folder = uri.strip_suffix("index.m3u8").unwrap();
        let init = &playlist.segments[0].map.as_ref().unwrap().uri;
        let init = origin.get(&format!("/hls/{id}/{folder}{init}")).await;
        assert_eq!(init.headers()["content-type"], kind);
        assert_eq!(init.text().await.unwrap(), format!("init 1 {name}"));
        for (n, segment) in playlist.segments.iter().enumerate() {
            let answer = origin.get(&format!("/hls/{id}/{folder}{}", segment.uri)).await;
            assert_eq!(answer.headers()["content-type"], "video/iso.segment");
            assert_eq!(answer.headers()["cache-control"], "public, max-age=3600, immutable");
            let body = format!("{name} {n}.0;{name} {n}.1;");
            assert_eq!(answer.headers()["content-length"], body.len().to_string());
            assert_eq!(answer.text().await.unwrap(), body);
        }
    }

    taken(&recorder.end().await);
    assert!(media(&origin.text(&format!("/hls/{id}/video/index.m3u8")).await).end_list);
}

#[tokio::test]
async fn states_follow_the_webinar_and_live_ones_are_listed() {
    let origin = Origin::start(&Config::default()).await;
    let (id, other) = (recording("state"), recording("other"));
    let state = async || origin.get(&format!("/api/live/{id}")).await.json::<Value>().await.unwrap();
    let live = async || origin.get("/api/live").await.json::<Vec<String>>().await.unwrap();
    assert_eq!((state().await, live().await), (json!({ "state": "waiting" }), vec![]));
    let recorder = Recorder::new(&origin, id, 1);
    recorder.run(2).await;
    assert_eq!((state().await, live().await), (json!({ "state": "waiting" }), vec![]));
    recorder.run(3).await;
    Recorder::new(&origin, other, 1).run(3).await;
    assert_eq!(state().await, json!({ "state": "live" }));
    assert_eq!(live().await.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([id.to_string(), other.to_string()]));
    taken(&recorder.end().await);
    assert_eq!((state().await, live().await), (json!({ "state": "ended" }), vec![other.to_string()]));
    assert_eq!(origin.text("/healthz").await, "ok\n");
}

/// After a take-over both stretches stand in one playlist, and every listed byte is there.
#[tokio::test]
async fn a_take_over_goes_on_in_the_same_playlist() {
    let origin = Origin::start(&Config::default()).await;
    let id = recording("epochs");
    let first = Recorder::new(&origin, id, 1);
    first.run(3).await;
    let began = first.began.plus(SEGMENT * 3);
    Recorder { began, ..Recorder::new(&origin, id, 2) }.run(2).await;
    let playlist = media(&origin.text(&format!("/hls/{id}/video/index.m3u8")).await);
    let uris: Vec<&str> = playlist.segments.iter().map(|segment| segment.uri.as_str()).collect();
    assert_eq!(uris, ["1-0.m4s", "1-1.m4s", "1-2.m4s", "2-0.m4s", "2-1.m4s"]);
    assert!(playlist.segments[3].discontinuity);
    let inits: Vec<_> =
        playlist.segments.iter().filter_map(|segment| segment.map.as_ref()).map(|map| &map.uri).collect();
    assert_eq!(inits, ["1-init.mp4", "2-init.mp4"]);
    assert_eq!(origin.text(&format!("/hls/{id}/video/2-init.mp4")).await, "init 2 video");
    assert_eq!(origin.text(&format!("/hls/{id}/audio/2-1.m4s")).await, "audio 1.0;audio 1.1;");
}

/// Viewers go on with another epoch at a part: what was written before is no longer true.
#[tokio::test]
async fn a_hand_over_shows_at_once() {
    let origin = Origin::start(&Config::default()).await;
    let id = recording("seam");
    let video = Rendition::video();
    let old = Recorder::new(&origin, id, 1);
    let new = Recorder { began: old.began.plus(SEGMENT * 2 + SEGMENT / 2), ..Recorder::new(&origin, id, 2) };
    for recorder in [&old, &new] {
        taken(&recorder.init(&video, vec![1]).await);
    }
    let segment = async |recorder: &Recorder<'_>, n: u64, parts: u32| {
        for part in 0..parts {
            taken(&recorder.part(&video, n, part, SEGMENT / 6, format!("{n}.{part};").into_bytes()).await);
        }
        if parts == 6 {
            taken(&recorder.closed(&video, n, MediaTime(n * 3_200_000_000), SEGMENT).await);
        }
    };
    let text = async || origin.text(&format!("/hls/{id}/video/index.m3u8")).await;
    for n in 0..3 {
        segment(&old, n, 6).await;
    }
    segment(&new, 0, 6).await;
    segment(&old, 3, 2).await;
    assert!(text().await.ends_with("1-2.m4s\n"));
    // With its third part the old one reaches the middle of its segment, where the new one begins its second.
    segment(&old, 3, 3).await;
    assert!(text().await.ends_with("#EXTINF:1.600000,\n1-3.m4s\n"), "{}", text().await);
    assert_eq!(origin.text(&format!("/hls/{id}/video/1-3.m4s")).await, "3.0;3.1;3.2;");
    assert_eq!(old.part(&video, 3, 3, SEGMENT / 6, vec![1]).await.status(), StatusCode::CONFLICT);
    segment(&new, 1, 6).await;
    assert!(text().await.ends_with("2-1.m4s\n"));
}

/// A recorder that joins and makes no segment does not hide that the one before is gone.
#[tokio::test]
async fn silence_is_seen_whoever_else_pushes() {
    let origin = Origin::start(&Config::default()).await;
    let id = recording("silence");
    let video = Rendition::video();
    let old = Recorder::new(&origin, id, 1);
    old.run(4).await;
    let stuck = Recorder { began: old.began.plus(SEGMENT * 5), ..Recorder::new(&origin, id, 2) };
    taken(&stuck.init(&video, vec![1]).await);
    let begun = Instant::now();
    let state = async || origin.text(&format!("/api/live/{id}")).await;
    for part in 0.. {
        taken(&stuck.part(&video, 0, part, SEGMENT / 6, vec![1]).await);
        if state().await.contains("interrupted") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", state().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(7), "not before two segments and a second");
    let playlist = media(&origin.text(&format!("/hls/{id}/video/index.m3u8")).await);
    assert!(playlist.segments.len() >= 5 && !playlist.end_list);
    let live = origin.get("/api/live").await.json::<Vec<String>>().await.unwrap();
    assert_eq!(live, [id.to_string()]);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_not_for_long() {
    let origin = Origin::start(&Config::default()).await;
    let id = recording("absent");
    Recorder::new(&origin, id, 1).run(3).await;
    let paths = [
        format!("/hls/{}/index.m3u8", recording("unknown")),
        "/hls/not-an-id/index.m3u8".to_owned(),
        format!("/hls/{id}/subtitles/index.m3u8"),
        format!("/hls/{id}/VIDEO/index.m3u8"),
        format!("/hls/{id}/video/1-3.m4s"),
        format!("/hls/{id}/video/2-0.m4s"),
        format!("/hls/{id}/video/01-0.m4s"),
        format!("/hls/{id}/video/1-0.mp4"),
        format!("/hls/{id}/video/..%2F..%2Fkeys%2Fx"),
        format!("/hls/{id}/video/%00"),
    ];
    for path in paths {
        let answer = origin.get(&path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=1", "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{path}");
    }
}

#[tokio::test]
async fn the_watch_page_allows_itself_nothing_it_does_not_need() {
    let origin = Origin::start(&Config::default()).await;
    let page = origin.get(&format!("/watch/{}", recording("page"))).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'self'; media-src 'self' blob:") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let text = page.text().await.unwrap();
    assert!(text.contains("<html lang=\"en\">") && text.contains("class=\"skip\""));
    let files = text.split('"').filter(|text| text.starts_with("/assets/"));
    for file in files {
        assert_eq!(origin.get(file).await.status(), StatusCode::OK, "{file}");
    }
    // A script between tags would need `unsafe-inline`.
    assert!(text.split("<script").skip(1).all(|rest| rest.split('>').nth(1).unwrap().starts_with("</script")));
    assert_eq!(origin.get("/watch/nonsense").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(origin.get("/assets/..%2Fsrc%2Flib.rs").await.status(), StatusCode::NOT_FOUND);
}
