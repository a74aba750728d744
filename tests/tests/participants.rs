//! The participants themselves, in a real Janus: they come, send, obey and leave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use e2e::participants::browser::{Entry, Tape};
use e2e::participants::publisher::Media;
use e2e::participants::{Browser, Publisher, cast};
use e2e::process::until;
use e2e::room::{Plan, Room};
use e2e::servers::{Chromium, Janus, RabbitMq};

struct Stage {
    chromium: Chromium,
    janus: Janus,
    _broker: RabbitMq,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let broker = RabbitMq::start(&at("rabbitmq")).await.unwrap();
        let janus = Janus::start(&at("janus"), &broker).await.unwrap();
        let chromium = Chromium::start(&at("chromium")).await.unwrap();
        Self { chromium, janus, _broker: broker, folder }
    }

    fn logs(&self) -> &Path {
        self.folder.path()
    }
}

async fn names(room: &Room) -> Vec<String> {
    let mut names: Vec<_> = room.people().await.unwrap().into_iter().map(|(_, name)| name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_both_kinds_come_obey_and_leave() {
    let stage = Stage::set().await;
    let url = stage.janus.url();
    let room = Room::create(&url, &Plan::titled("A test").pin("1234")).await.unwrap();
    let [speaker, guest, ..] = cast();

    let tape = Tape::of(&guest, stage.logs()).unwrap();
    let browser = Browser::open(&stage.chromium, &guest, &tape).await.unwrap();
    let refused = browser.join(&url, room.id, &Entry::default()).await.unwrap_err();
    assert!(format!("{refused:#}").contains("pin"), "{refused:#}");
    browser.join(&url, room.id, &Entry { pin: Some("1234".into()), codec: Some("h264") }).await.unwrap();
    browser.scale(2).await.unwrap();
    browser.share("Slides").await.unwrap();
    assert_eq!(names(&room).await, [guest.name.as_str(), &guest.name]);
    browser.unshare().await.unwrap();
    browser.leave().await.unwrap();
    assert!(names(&room).await.is_empty());
    room.destroy().await.unwrap();

    let room = Room::create(&url, &Plan::titled("Another test")).await.unwrap();
    browser.join(&url, room.id, &Entry::default()).await.unwrap();
    let speaker = Publisher::join(&url, room.id, &speaker, &Media::default(), stage.logs()).await.unwrap();
    assert_eq!(room.people().await.unwrap().len(), 2);
    speaker.camera(false).unwrap();
    room.kick(&guest.name).await.unwrap();
    until("the browser is told", Duration::from_secs(10), async || Ok(browser.gone().await?.then_some(())))
        .await
        .unwrap();
    speaker.leave().unwrap();
    until("the room is empty", Duration::from_secs(10), async || Ok(names(&room).await.is_empty().then_some(())))
        .await
        .unwrap();
    browser.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_told_when_its_room_is_destroyed() {
    let stage = Stage::set().await;
    let room = Room::create(&stage.janus.url(), &Plan::titled("A test")).await.unwrap();
    let [speaker, ..] = cast();
    let media = Media { codec: "h264", ..Media::default() };
    let speaker = Publisher::join(&stage.janus.url(), room.id, &speaker, &media, stage.logs()).await.unwrap();
    room.destroy().await.unwrap();
    speaker.gone(Duration::from_secs(10)).await.unwrap();
}
