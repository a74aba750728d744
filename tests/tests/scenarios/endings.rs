//! How recordings end other than by the end of the room.

use std::time::{Duration, Instant, SystemTime};

use e2e::participants::browser::Entry;
use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::recorded::Recorded;
use e2e::stage::LECTURES;
use events::{Body, PolicyId, RecordingStopped};

use crate::{lecture, on_stage, passes};

#[test]
fn a_stop_ends_the_recording_while_the_meeting_goes_on() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let meeting = stage.meeting(&lecture("stopping")).await?;
        let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
        let started = meeting.started().await?;
        passes(8).await;
        let stopped = SystemTime::now();
        let stop = RecordingStopped { policy: PolicyId::new(LECTURES)?, requested_by: "a-lecturer".into() };
        meeting.news.tell(Body::RecordingStopped(stop)).await?;
        let ready = meeting.ready(Instant::now()).await?;
        // The bot has left, the lecturer has not.
        let there = meeting.room.people().await?;
        assert_eq!(there.iter().map(|(_, name)| name).collect::<Vec<_>>(), [&person.name]);
        speaker.leave()?;
        meeting.room.destroy().await?;

        assert!(ready.complete);
        let film = Recorded::open(stage, ready, started, &person)?;
        film.present(&person, started, stopped)?;
        let late = film.facts.duration - film.at(stopped);
        assert!((-1.0..4.0).contains(&late), "the film ends {late:.1} s after the stop");
        Ok(())
    });
}

#[test]
fn a_recorder_that_is_thrown_out_keeps_what_it_has_and_does_not_return() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let meeting = stage.meeting(&lecture("kicking")).await?;
        let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
        let started = meeting.started().await?;
        passes(8).await;
        let kicked = SystemTime::now();
        meeting.room.kick("Recording").await?;
        let ready = meeting.ready(Instant::now()).await?;
        passes(3).await;
        let there = meeting.room.people().await?;
        assert_eq!(there.iter().map(|(_, name)| name).collect::<Vec<_>>(), [&person.name]);
        drop(speaker);
        meeting.room.destroy().await?;

        Recorded::open(stage, ready, started, &person)?.present(&person, started, kicked)
    });
}

#[test]
fn a_room_in_which_nobody_sends_anything_ends_empty_and_leaves_no_film() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let meeting = stage.meeting(&lecture("silence")).await?;
        let browser = stage.browser(&person).await?;
        browser.attend(&stage.janus.url(), meeting.room.id, &Entry::default()).await?;
        // The recorder comes, shows its sign, waits for the lobby's limit, and goes.
        let (_, failed) = meeting.news.wait_failed(Duration::from_secs(40)).await?;
        assert_eq!(failed.reason, "empty");
        assert!(!meeting.news.kinds().contains(&"recording.started"), "{:?}", meeting.news.kinds());
        assert!(meeting.news.kinds().contains(&"recorder.joined"), "{:?}", meeting.news.kinds());
        assert!(
            stage
                .archive(failed.recording)?
                .open(&stage.lectern.key("archive.key"), &stage.opened().join("none"))
                .is_err()
        );
        browser.leave().await?;
        browser.close().await?;
        meeting.room.destroy().await
    });
}
