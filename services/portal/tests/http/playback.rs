//! Ranges of a sealed object are the same ranges of its plaintext.

use reqwest::StatusCode;

use crate::campus::{Campus, Lecture};

/// Three megabytes that differ everywhere, over many of age's 64 KiB chunks and of the store's windows.
fn plain() -> Vec<u8> {
    (0..3_000_017_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()).take(3_000_017).collect()
}

#[tokio::test]
async fn every_range_is_that_slice_of_the_plaintext() {
    let campus = Campus::open().await;
    let plain = plain();
    let id = campus.keep(&Lecture { movie: plain.clone(), ..Lecture::default() }).await.recording;
    let video = format!("/recordings/{id}/video.mp4");
    let length = plain.len();

    let whole = campus.get(&video).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()["content-length"], length.to_string());
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.headers()["content-type"], "video/mp4");
    assert!(!whole.headers().contains_key("content-disposition"));
    assert!(whole.bytes().await.unwrap() == plain);

    #[rustfmt::skip]
    let ranges = [
        ("bytes=0-0",              0,             1),
        ("bytes=0-65535",          0,             65_536),
        ("bytes=65535-65536",      65_535,        65_537),
        ("bytes=500000-1700001",   500_000,       1_700_002),
        ("bytes=524288-524288",    524_288,       524_289),
        ("bytes=-17",              length - 17,   length),
        ("bytes=2999999-",         2_999_999,     length),
        ("bytes=3000016-99999999", 3_000_016,     length),
    ];
    for (range, from, to) in ranges {
        let part = campus.request(&video).header("range", range).send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(part.headers()["content-range"], format!("bytes {from}-{}/{length}", to - 1), "{range}");
        assert_eq!(part.headers()["content-length"], (to - from).to_string(), "{range}");
        assert!(part.bytes().await.unwrap() == plain[from..to], "{range}");
    }
    for range in ["bytes=3000017-", "bytes=5-2", "bytes=-0", "bytes=99999999999999999999-", "bytes=x"] {
        let none = campus.request(&video).header("range", range).send().await.unwrap();
        assert_eq!(none.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(none.headers()["content-range"], format!("bytes */{length}"), "{range}");
        assert!(none.bytes().await.unwrap().is_empty());
    }
    let many = campus.request(&video).header("range", format!("bytes={}0-1", "0-1,".repeat(1000)));
    let many = many.send().await.unwrap();
    assert_eq!((many.status(), many.bytes().await.unwrap().len()), (StatusCode::OK, length));
}

#[tokio::test]
async fn head_and_conditions_follow_rfc_9110() {
    let campus = Campus::open().await;
    let id = campus.keep(&Lecture { movie: plain(), ..Lecture::default() }).await.recording;
    let video = format!("/recordings/{id}/video.mp4");
    let head = campus.head(&video).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "3000017");
    let tag = head.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() == 66, "{tag}");
    assert!(head.bytes().await.unwrap().is_empty());

    // Ranges are GET's alone (14.2).
    let head = campus.head(&video).header("range", "bytes=0-9").send().await.unwrap();
    assert_eq!((head.status(), head.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "3000017"));

    let with = async |name: &str, value: &str| {
        let asked = campus.request(&video).header("range", "bytes=0-9").header(name, value);
        asked.send().await.unwrap().status()
    };
    assert_eq!(with("if-none-match", &format!("\"x\", {tag}")).await, StatusCode::NOT_MODIFIED);
    assert_eq!(with("if-none-match", "*").await, StatusCode::NOT_MODIFIED);
    assert_eq!(with("if-none-match", &format!("W/{tag}")).await, StatusCode::NOT_MODIFIED);
    assert_eq!(with("if-none-match", "\"x\"").await, StatusCode::PARTIAL_CONTENT);
    assert_eq!(with("if-range", &format!("W/{tag}")).await, StatusCode::OK, "13.1.5 asks for a strong comparison");
    assert_eq!(with("if-range", &tag).await, StatusCode::PARTIAL_CONTENT);
    assert_eq!(with("if-range", "\"another\"").await, StatusCode::OK);
}

#[tokio::test]
async fn downloads_are_named_by_id_alone() {
    let campus = Campus::open().await;
    let id = campus.keep(&Lecture { title: Some("../../etc/passwd\"; x="), ..Lecture::default() }).await.recording;
    for (file, extension) in
        [("video.mp4", "mp4"), ("captions.vtt", "vtt"), ("captions.srt", "srt"), ("transcript.txt", "txt")]
    {
        let answer = campus.get(&format!("/recordings/{id}/{file}?download")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{file}");
        assert_eq!(answer.headers()["content-disposition"], format!("attachment; filename=\"{id}.{extension}\""));
    }
}

/// A player must never take half a lecture for a whole one.
#[tokio::test]
async fn an_altered_object_breaks_off_and_gives_out_no_wrong_byte() {
    let campus = Campus::open().await;
    let plain = plain();
    let path = campus.keep(&Lecture { movie: plain.clone(), ..Lecture::default() }).await;
    campus.alter(&path.composite(1)).await;
    let mut answer = campus.get(&format!("/recordings/{}/video.mp4", path.recording)).await;
    let mut seen = Vec::new();
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => seen.extend_from_slice(&piece),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "the answer ended as if it were whole");
    assert!(seen.len() < plain.len() * 6 / 10 && plain.starts_with(&seen), "{} bytes", seen.len());
}

#[tokio::test]
async fn a_film_that_was_slipped_in_is_not_played() {
    let campus = Campus::open().await;
    let path = campus.keep(&Lecture { movie: b"the lecture".to_vec(), ..Lecture::default() }).await;
    campus.forge(&path, b"another one").await;
    let answer = campus.get(&format!("/recordings/{}/video.mp4", path.recording)).await;
    assert!(!answer.status().is_success(), "{}", answer.status());
    assert!(!answer.text().await.unwrap().contains("another one"));
}

#[tokio::test]
async fn only_the_files_of_a_recording_can_be_asked_for() {
    let campus = Campus::open().await;
    let path = campus.keep(&Lecture::default()).await;
    let id = path.recording;
    for file in
        ["state.json", "..%2Fstate.json", "composite.mp4.age", "video.mp4%00", "%2e%2e/%2e%2e/keys", "video.MP4", ""]
    {
        let answer = campus.get(&format!("/recordings/{id}/{file}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{file}");
    }
    for id in ["nonsense", "%2e%2e%2f", "00000000-0000-0000-0000-000000000000", "%27%3B--"] {
        assert_eq!(campus.get(&format!("/recordings/{id}/video.mp4")).await.status(), StatusCode::NOT_FOUND, "{id}");
        assert_eq!(campus.get(&format!("/recordings/{id}")).await.status(), StatusCode::NOT_FOUND, "{id}");
    }
}
