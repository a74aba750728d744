//! The real media process, as a worker starts it: confined, obedient, and gone when nobody commands any more.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than GStreamer's first start, which looks at every plug-in there is.
const SOON: Duration = Duration::from_secs(60);

struct Media(Child);

impl Media {
    fn start() -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_recorder"))
            .arg("media")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn say(&mut self, header: &[u8]) {
        let to = self.0.stdin.as_mut().unwrap();
        to.write_all(&u32::try_from(header.len()).unwrap().to_be_bytes()).unwrap();
        to.write_all(header).unwrap();
        to.write_all(&[0; 4]).unwrap();
    }

    /// The next report's header.
    fn hear(&mut self) -> serde_json::Value {
        let from = self.0.stdout.as_mut().unwrap();
        let mut part = || {
            let mut length = [0; 4];
            from.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
            from.read_exact(&mut bytes).unwrap();
            bytes
        };
        let header = part();
        part();
        serde_json::from_slice(&header).unwrap()
    }

    fn status(&self, of: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{of}", self.0.id())).unwrap()
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the media process does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        // Gone already, if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for a room at a server that is not there, and so waits until the process is up.
fn up(media: &mut Media) {
    media.say(
        br#"{"join":{"number":1,"spec":{"server":{"platform":"janus","url":"ws://127.0.0.1:9"},"room":"1","pin":null,"api_secret":null}}}"#,
    );
    let heard = media.hear();
    assert_eq!(heard["meeting"]["number"], 1, "{heard}");
    assert!(heard["meeting"]["event"]["lost"]["unreachable"].is_string(), "{heard}");
}

#[test]
fn it_leaves_no_core_file_and_gains_no_rights() {
    let mut media = Media::start();
    up(&mut media);
    let status = media.status("status");
    assert!(status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])), "{status}");
    let limits = media.status("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().rev().nth(1) == Some("0"), "{core}");
}

#[test]
fn it_ends_when_its_worker_is_gone() {
    let mut media = Media::start();
    up(&mut media);
    drop(media.0.stdin.take());
    assert_eq!(media.exit_code(), Some(0));
}

#[test]
fn it_ends_when_it_does_not_understand_its_worker() {
    let mut media = Media::start();
    up(&mut media);
    media.say(br#"{"sing":{}}"#);
    assert_eq!(media.exit_code(), Some(0));
}

/// A pipeline without a room: black and silence, whole segments of it.
#[test]
fn it_makes_segments_and_drains() {
    let mut media = Media::start();
    media.say(br#"{"start":{"canvas":{"width":320,"height":180,"fps":30},"preset":"ultrafast","video_kbps":200}}"#);
    assert!(media.hear()["playing"]["wall"].is_string(), "playing comes before everything else");
    let (mut inits, mut parts, mut drains) = (0, 0, false);
    let mut closed = [0_u64; 2];
    loop {
        let heard = media.hear();
        let (kind, of) = heard.as_object().and_then(|all| all.iter().next()).map_or_else(
            || (heard.as_str().unwrap().to_owned(), serde_json::Value::Null),
            |(kind, of)| (kind.clone(), of.clone()),
        );
        match kind.as_str() {
            "init" => inits += 1,
            "part" => parts += 1,
            "closed" => {
                let rendition = usize::from(of["rendition"] == "audio");
                assert_eq!(of["segment"], closed[rendition]);
                closed[rendition] += 1;
                if !drains {
                    drains = true;
                    media.say(br#""drain""#);
                }
            }
            "drained" => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(inits, 2);
    assert!(parts >= 12, "{parts} parts");
    assert_eq!(closed[0], closed[1]);
    drop(media.0.stdin.take());
    assert_eq!(media.exit_code(), Some(0));
}
