//! What the origin hears of a webinar, and that it can never hold up the recording.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use claim::Phase;
use session::Room;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::house::{House, content, request};

/// One request as it came.
#[derive(Debug, Clone)]
struct Heard {
    line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

type All = Arc<Mutex<Vec<Heard>>>;

/// An origin of forty lines that answers as `answer` says to what it hears in `All`, the newest last.
async fn origin(answer: impl Fn(&[Heard]) -> &'static str + Copy + Send + 'static) -> (String, All, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let all = All::default();
    let (mut tasks, heard) = (JoinSet::new(), all.clone());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let heard = heard.clone();
            connections.spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(request) = one(&mut stream).await {
                    let status = {
                        let mut heard = heard.lock().unwrap();
                        heard.push(request);
                        answer(&heard)
                    };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, all, tasks)
}

async fn one(from: &mut BufReader<tokio::net::TcpStream>) -> Option<Heard> {
    let mut line = String::new();
    from.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        from.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_owned(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    from.read_exact(&mut body).await.ok()?;
    Some(Heard { line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(), headers, body })
}

#[tokio::test]
async fn a_webinar_is_pushed_in_order_and_to_its_end() {
    let (url, all, _tasks) = origin(|_| "204 No Content").await;
    let mut house = House::with(&format!("origin = {url:?}"), false).await;
    let mut recording = house.begin(&request("run-1", |asked| asked.webinar = true)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;

    let heard = all.lock().unwrap().clone();
    let root = format!("/ingest/{}/1", recording.path.recording);
    let lines = heard.iter().map(|request| request.line.replace(&root, "")).collect::<Vec<_>>();
    #[rustfmt::skip]
    assert_eq!(lines, [
        "PUT /video/init", "PUT /audio/init",
        "PUT /video/0/0",  "PUT /video/0/1",  "POST /video/0/closed",
        "PUT /audio/0/0",  "PUT /audio/0/1",  "POST /audio/0/closed",
        "POST /end",
    ]);
    assert!(heard.iter().all(|request| request.headers["authorization"] == "Bearer ingest-word"));
    assert_eq!(heard[0].headers["x-picture"], "1280x720@30");
    assert_eq!(heard[1].headers.get("x-picture"), None);
    assert_eq!(
        (heard[2].headers["x-duration-ns"].as_str(), heard[2].headers["x-independent"].as_str()),
        ("1600000000", "1")
    );
    assert_eq!(heard[3].headers["x-independent"], "0");
    assert_eq!(String::from_utf8_lossy(&heard[3].body), content(&media::Rendition::video(), 0, 1));
    let closed: media::SegmentClosed = serde_json::from_slice(&heard[4].body).unwrap();
    assert_eq!((closed.segment, closed.lasts.as_millis()), (0, 3200));
    let told = house.told();
    assert_eq!(told, ["recorder.joined", "recording.started", "stream.live", "epoch.stored", "stream.ended"]);
}

/// It restarts after the first part of the second segment: from then on it wants both init sections again.
#[tokio::test]
async fn an_origin_that_has_restarted_is_told_the_beginning_again() {
    let forgetful = |heard: &[Heard]| {
        let is = |request: &Heard, end: &str| request.line.ends_with(end);
        let Some(restart) = heard.iter().position(|request| is(request, "/video/1/0")) else { return "204 No Content" };
        let begun = heard[restart + 1..].iter().filter(|request| is(request, "/init")).count() == 2;
        let last = &heard[heard.len() - 1];
        // Of the segment that it lost the beginning of it takes nothing.
        let lost = heard.len() - 1 > restart && is(last, "/video/1/1");
        if heard.len() - 1 <= restart || is(last, "/init") || begun && !lost {
            "204 No Content"
        } else {
            "412 Precondition Failed"
        }
    };
    let (url, all, _tasks) = origin(forgetful).await;
    let mut house = House::with(&format!("origin = {url:?}"), false).await;
    let mut recording = house.begin(&request("run-1", |asked| asked.webinar = true)).await;
    let mut child = house.player().await;
    child.go_live().await;
    for number in 0..3 {
        child.segment(number).await;
    }
    recording.say(Room::Ended);
    child.finish().await;
    recording.ends().await;

    let root = format!("/ingest/{}/1", recording.path.recording);
    let lines = all.lock().unwrap().iter().map(|request| request.line.replace(&root, "")).collect::<Vec<_>>();
    let restart = lines.iter().position(|line| line == "PUT /video/1/0").unwrap();
    #[rustfmt::skip]
    assert_eq!(lines[restart + 1..][..5], [
        "PUT /video/1/1", "PUT /video/init", "PUT /audio/init", "PUT /video/1/1", "POST /video/1/closed",
    ]);
    assert_eq!(lines.iter().filter(|line| line.ends_with("/init")).count(), 4);
    assert_eq!(lines.last().unwrap(), "POST /end");
}

/// Viewers wait for the next epoch; an end would send them away.
#[tokio::test]
async fn a_webinar_whose_media_process_died_is_not_ended() {
    let (url, all, _tasks) = origin(|_| "204 No Content").await;
    let mut house = House::with(&format!("origin = {url:?}"), false).await;
    let mut recording = house.begin(&request("run-1", |asked| asked.webinar = true)).await;
    let mut child = house.player().await;
    child.go_live().await;
    child.segment(0).await;
    drop(child);
    let mut child = house.player().await;
    house.told_of("epoch.stored").await;
    child.expect(&["join"]).await;
    assert!(!all.lock().unwrap().iter().any(|push| push.line.ends_with("/end")));
    recording.say(Room::Ended);
    child.expect(&["leave", "end"]).await;
    drop(child);
    recording.ends().await;
}

#[tokio::test]
async fn an_origin_that_is_away_or_has_a_newer_epoch_does_not_touch_the_recording() {
    let (fenced, all, _tasks) = origin(|_| "409 Conflict").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    for url in [&fenced, &away] {
        let mut house = House::with(&format!("origin = {url:?}"), false).await;
        let mut recording = house.begin(&request("run-1", |asked| asked.webinar = true)).await;
        let mut child = house.player().await;
        child.go_live().await;
        for number in 0..100 {
            child.segment(number).await;
        }
        recording.say(Room::Ended);
        child.finish().await;
        recording.ends().await;
        assert_eq!(house.journal(&recording).await.entries.len(), 200);
        assert_eq!(house.record_of(&recording.path).await.phase, Phase::Ended);
    }
    assert_eq!(all.lock().unwrap().len(), 1, "who is fenced says nothing more");
}
