//! `lectern record stop` waits: until somebody hears it, and then until the recording has ended.

use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, Consumer};
use claim::Phase;
use events::{Body, RoomId, TenantId};
use storage::{RecordingPath, recordings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, NOON};
use crate::machine::{Machine, text};
use crate::server::{Server, USER};

/// A store and a broker; the tests are the recorder.
struct Campus {
    machine: Arc<Machine>,
    archive: Archive,
    broker: Broker,
    _s3: crate::machine::Server,
    _rabbitmq: Arc<Server>,
}

impl Campus {
    async fn open() -> Self {
        let rabbitmq = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        let machine = Machine::new();
        let (url, password) = (rabbitmq.fresh_url(), rabbitmq.password_file());
        machine.edit("amqp://127.0.0.1:1/%2f", &url);
        let user = format!("user = \"{USER}\"\npassword_file = \"{}\"", password.display());
        machine.edit("user = \"guest\"", &user);
        let s3 = machine.serve(machine.folder.path());
        let archive = Archive::of(&machine).await;
        let config =
            broker::Config { url, user: USER.into(), password_file: Some(password), ..broker::Config::default() };
        let broker = Broker::connect(&config, CancellationToken::new()).await.unwrap();
        Self { machine: Arc::new(machine), archive, broker, _s3: s3, _rabbitmq: rabbitmq }
    }

    /// What a recorder of the one room would hear.
    async fn hears(&self) -> Consumer {
        let room = RoomId::new("1234").unwrap();
        self.broker.room(&TenantId::new("example").unwrap(), &room).await.unwrap()
    }

    /// Asks for the end, beside what the test does.
    fn ask(&self, path: &RecordingPath, json: bool) -> JoinHandle<Output> {
        let (machine, id) = (Arc::clone(&self.machine), path.recording.to_string());
        tokio::task::spawn_blocking(move || {
            let args = ["record", "stop", &id, "--json"];
            machine.run(&args[..if json { 4 } else { 3 }])
        })
    }

    /// As a recorder that has ended.
    async fn end(&self, path: &RecordingPath) {
        let (record, etag) = recordings::state(&self.archive.store, path).await.unwrap();
        let ended = record.becomes(Phase::Ended, Some("stopped"), NOON).unwrap();
        recordings::swap(&self.archive.store, path, &ended, &etag).await.unwrap();
    }
}

/// The next word to the room is a stop of `path`'s recording, asked for by a person.
async fn told_to_stop(room: &mut Consumer, campus: &Campus, path: &RecordingPath) {
    let heard =
        tokio::time::timeout(Duration::from_secs(20), room.next()).await.expect("a stop").expect("a connection");
    let (record, _) = recordings::state(&campus.archive.store, path).await.unwrap();
    assert_eq!((&heard.event.meta.session, &heard.event.meta.instance), (&record.session, &record.instance));
    let Body::RecordingStopped(stopped) = &heard.event.body else { panic!("{:?}", heard.event) };
    assert_eq!((&stopped.policy, stopped.requested_by.as_str()), (&record.policy, "operator"));
    heard.settle().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_that_ends_is_waited_for_and_then_told_of() {
    let campus = Campus::open().await;
    let mut room = campus.hears().await;
    for (session, json) in [("words", false), ("script", true)] {
        let path = campus.archive.keep(session, 0, None).await;
        let asked = campus.ask(&path, json);
        told_to_stop(&mut room, &campus, &path).await;
        // It was heard, and that is not its end.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!asked.is_finished(), "it did not wait for the end");
        campus.end(&path).await;
        let ended = asked.await.unwrap();
        let told = text(&ended.stdout);
        assert!(ended.status.success(), "{told}{}", text(&ended.stderr));
        let id = path.recording;
        if json {
            let wanted = serde_json::json!({ "recording": id, "asked": "stop", "ended": true });
            assert_eq!(serde_json::from_str::<serde_json::Value>(&told).unwrap(), wanted);
        } else {
            assert!(told.starts_with(&format!("Recording {id} has ended")), "{told}");
        }
        let again = campus.ask(&path, json).await.unwrap();
        assert_eq!(again.status.code(), Some(1), "what has ended cannot be stopped");
        assert!(text(&again.stderr).contains(&format!("recordings show {id}")), "{}", text(&again.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_nobody_hears_at_first_is_said_again() {
    let campus = Campus::open().await;
    let path = campus.archive.keep("run", 0, None).await;
    let asked = campus.ask(&path, false);
    // Its worker has died, and another one takes a while.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!asked.is_finished(), "it gave up at once");
    let mut room = campus.hears().await;
    told_to_stop(&mut room, &campus, &path).await;
    campus.end(&path).await;
    let ended = asked.await.unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    assert!(text(&ended.stdout).contains("has ended"), "{}", text(&ended.stdout));
    let more = tokio::time::timeout(Duration::from_secs(1), room.next()).await;
    assert!(more.is_err(), "one stop was heard twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_nobody_hears_or_heeds_is_not_waited_for_without_end() {
    let (deaf, slow) = tokio::join!(Campus::open(), Campus::open());
    let (unheard, unheeded) = (deaf.archive.keep("run", 0, None).await, slow.archive.keep("run", 0, None).await);
    let mut room = slow.hears().await;
    let began = Instant::now();
    let (to_nobody, to_slow) = (deaf.ask(&unheard, false), slow.ask(&unheeded, false));
    told_to_stop(&mut room, &slow, &unheeded).await;
    let (nobody, heard) = (to_nobody.await.unwrap(), to_slow.await.unwrap());
    let took = began.elapsed();
    assert!((Duration::from_secs(19)..Duration::from_secs(60)).contains(&took), "{took:?}");

    let (told, id) = (text(&nobody.stderr), unheard.recording);
    assert_eq!((nobody.status.code(), text(&nobody.stdout).as_str()), (Some(1), ""), "{told}");
    assert!(told.contains("nobody heard it") && told.contains(&id.to_string()), "{told}");
    assert!(told.trim_end().ends_with("then ask again"), "it does not end in what to do: {told}");

    let told = text(&heard.stdout);
    assert!(heard.status.success(), "the wish was taken: {}", text(&heard.stderr));
    assert!(told.contains("has not come within 20 s") && told.contains("recordings show"), "{told}");
}
