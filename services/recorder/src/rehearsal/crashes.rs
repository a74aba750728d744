//! A track that kills whatever decodes it, with a real media process that dies a real death.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use claim::Phase;
use events::Body;
use media::{Codec, Participant, ParticipantId, Rendition, Source, Track, TrackId};
use meeting::Event as Seen;
use nix::sys::signal::{Signal, raise};
use session::Room;
use storage::Bucket;
use tokio::time::{sleep, timeout};

use super::house::{House, Player, request};
use crate::clerk::now;
use crate::process::MediaProgram;
use crate::wire::{Command, Report};

/// Names the folder to a test that is started as a media program.
const FOLDER: &str = "LECTERN_TEST_MEDIA";

/// What kills.
const POISON: &str = "ola-camera";

/// Three trials, each longer than the one before, and as many starts on a busy machine.
const LONG: Duration = Duration::from_secs(150);

/// This test's own program as a media program. Standard output is the test harness's; media goes by descriptor 3.
fn program(folder: &Path) -> MediaProgram {
    let path = folder.join("media");
    let ourselves = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nexport {FOLDER}='{}'\nexec '{}' --exact {}::three_deaths_on_one_track_cost_that_track_alone \
         --nocapture 3>&1 >/dev/null\n",
        folder.display(),
        ourselves.display(),
        module_path!().split_once("::").unwrap().1,
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    MediaProgram(path)
}

fn added(folder: &Path, process: u32) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("added-{process}"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The media process: a room of two, of whom one comes late with a camera that no decoder survives.
async fn play(folder: &Path) {
    let process = (1..).find(|n| !folder.join(format!("added-{n}")).exists()).unwrap();
    let log = folder.join(format!("added-{process}"));
    std::fs::write(&log, "").unwrap();
    let reports = tokio::fs::File::options().write(true).open("/proc/self/fd/3").await.unwrap();
    let mut player = Player::new(tokio::io::stdin(), reports);
    let track = |name: &str, of: &str, source, codec| {
        Seen::Track(Track { id: TrackId(name.into()), participant: ParticipantId(of.into()), source, codec })
    };
    player.expect(&["join"]).await;
    player.see(Seen::Joined { title: None }).await;
    for (id, name) in [("17", "Kari"), ("23", "Ola")] {
        player.see(Seen::Arrived(Participant { id: ParticipantId(id.into()), name: name.into() })).await;
    }
    player.see(track("kari-camera", "17", Source::Camera, Codec::Vp8)).await;
    player.see(track("ola-microphone", "23", Source::Microphone, Codec::Opus)).await;
    player.expect(&["start"]).await;
    player.say(Report::Playing { wall: now() }).await;
    player.init().await;
    player.segment(0).await;
    if process == 1 {
        // Longer than a track is new.
        sleep(Duration::from_millis(5500)).await;
    }
    player.see(track(POISON, "23", Source::Camera, Codec::Vp8)).await;
    while let Some(command) = player.next().await {
        match command {
            Command::AddTrack(track) => {
                let before = std::fs::read_to_string(&log).unwrap();
                std::fs::write(&log, format!("{before}{}\n", track.id.0)).unwrap();
                if track.id.0 == POISON {
                    // The standard library's handler lets the first one pass.
                    for _ in 0..2 {
                        raise(Signal::SIGSEGV).unwrap();
                    }
                }
            }
            Command::Drain => player.say(Report::Drained).await,
            _ => {}
        }
    }
}

/// Plays both roles: started anew with a folder, it is the media process.
#[tokio::test]
async fn three_deaths_on_one_track_cost_that_track_alone() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return play(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut house = House::open().await;
    house.make().launch = Arc::new(program(folder.path()));
    let mut recording = house.begin(&request("run-1", |_| {})).await;
    let fourth = recording.path.segment(4, &Rendition::video(), 0);
    let goes_on = async {
        while house.shop.desk.store.head(Bucket::Media, &fourth).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, goes_on).await.expect("the fourth epoch did not come");
    recording.say(Room::Ended);
    recording.ends().await;

    let all = ["kari-camera", "ola-microphone", POISON];
    for process in 1..=3 {
        assert_eq!(added(folder.path(), process), all, "process {process}");
    }
    assert_eq!(added(folder.path(), 4), all[..2]);
    assert!(!folder.path().join("added-5").exists(), "a fifth one was needed");
    let mut left_out = Vec::new();
    for epoch in 1..=4 {
        recording.epoch = epoch;
        let gaps = house.journal(&recording).await.gaps;
        left_out.extend(gaps.into_iter().filter(|gap| gap.why.contains("left out")).map(|gap| (epoch, gap.why)));
    }
    let why = "a participant's camera is left out from here on: it killed the media process".to_owned();
    assert_eq!(left_out, [(3, why)]);
    let record = house.record_of(&recording.path).await;
    assert_eq!((record.phase, record.epoch), (Phase::Ended, 4));
    let last = |event: &events::Event| matches!(&event.body, Body::EpochStored(stored) if stored.last);
    assert_eq!(house.events().iter().filter(|event| last(event)).count(), 1);
}
