//! The real media process, as a worker starts it: confined, obedient, and gone when nobody commands any more.

#![allow(clippy::unwrap_used)] // helpers of tests panic as tests do

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
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
            .stderr(Stdio::piped())
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

/// Asks for a room at a port where no meeting server is; why it is not joined.
fn join(media: &mut Media, number: u32, port: u16) -> String {
    let server = serde_json::json!({ "platform": "janus", "url": format!("ws://127.0.0.1:{port}") });
    let spec = serde_json::json!({ "server": server, "room": "1", "pin": null, "api_secret": null });
    media.say(serde_json::json!({ "join": { "number": number, "spec": spec } }).to_string().as_bytes());
    let heard = media.hear();
    assert_eq!(heard["meeting"]["number"], number, "{heard}");
    heard["meeting"]["event"]["lost"]["unreachable"].as_str().unwrap_or_else(|| panic!("{heard}")).to_owned()
}

/// Waits until the process is up.
fn up(media: &mut Media) {
    join(media, 1, 9);
}

const START: &[u8] =
    br#"{"start":{"canvas":{"width":320,"height":180,"fps":30},"preset":"ultrafast","video_kbps":200}}"#;

/// A line of `text` that begins with `name`, without it.
fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[test]
fn all_of_its_threads_are_caged_and_it_leaves_no_core_file() {
    let mut media = Media::start();
    media.say(START);
    assert!(media.hear()["playing"]["wall"].is_string());
    let mut threads = 0;
    for task in std::fs::read_dir(format!("/proc/{}/task", media.0.id())).unwrap() {
        // A thread may end while it is looked at.
        let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        threads += 1;
        // Mode 2 is that of filters (proc(5)); there are ours, and none else on a machine that runs tests.
        assert_eq!(["NoNewPrivs:", "Seccomp:"].map(|name| line(&status, name)), [Some("1"), Some("2")], "{status}");
    }
    assert!(threads > 8, "GStreamer's threads are among the {threads}");
    let limits = media.status("limits");
    for (limit, most) in [("Max core file size", 0_u64), ("Max file size", 0), ("Max open files", 4096)] {
        let both: Vec<_> = line(&limits, limit).unwrap().split_whitespace().take(2).collect();
        assert!(both.iter().all(|value| value.parse::<u64>().unwrap() <= most), "{limit}: {both:?}");
    }
    drop(media.0.stdin.take());
    assert_eq!(media.exit_code(), Some(0));
    let mut said = String::new();
    media.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("caged") && !said.contains("in part"), "{said}");
}

#[test]
fn it_connects_to_no_port_but_its_servers() {
    let [server, other] = [0; 2].map(|_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    });
    let mut media = Media::start();
    let answers = std::thread::scope(|scope| {
        // It is let in, and turned away: no meeting server speaks like that.
        let met = scope.spawn(|| {
            let deadline = Instant::now() + SOON;
            while Instant::now() < deadline {
                match server.0.accept() {
                    Ok(_) => return true,
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
            false
        });
        let why = join(&mut media, 1, server.1);
        assert!(met.join().unwrap(), "the server met nobody: {why}");
        [why, join(&mut media, 2, other.1)]
    });
    assert!(!answers[0].contains("ermission"), "{answers:?}");
    assert!(answers[1].contains("Permission denied"), "{answers:?}");
    assert_eq!(other.0.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn it_opens_none_but_the_plug_ins_that_a_recording_needs() {
    let mut media = Media::start();
    up(&mut media);
    let maps = media.status("maps");
    let plug_ins: std::collections::BTreeSet<_> =
        maps.lines().filter_map(|line| line.rsplit_once("/gstreamer-1.0/lib")?.1.strip_suffix(".so")).collect();
    assert!(plug_ins.contains("gstwebrtc") && plug_ins.contains("gstcompositor"), "{plug_ins:?}");
    assert!(plug_ins.len() < 30, "{plug_ins:?}");
    for never in ["gstplayback", "gsttypefindfunctions", "gstisomp4", "gstmatroska", "gstsoup", "gsttcp", "gstudp"] {
        assert!(!plug_ins.contains(never), "{plug_ins:?}");
    }
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
    media.say(START);
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
