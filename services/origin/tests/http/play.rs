//! What players are answered.

use std::collections::BTreeSet;

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
