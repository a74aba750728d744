//! What goes wrong outside of Lectern, and what people do to it.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use e2e::participants::browser::Entry;
use e2e::participants::publisher::Media;
use e2e::participants::{Person, cast};
use e2e::recorded::Recorded;
use e2e::room::{Plan, Room};
use events::Body;

use crate::{PIN, PINNED, lecture, on_stage, passes};

#[test]
fn a_room_with_a_pin_is_recorded_when_the_pin_is_known() {
    on_stage(async |stage| {
        let [_, guest, ..] = cast();
        let meeting = stage.meeting_in(PINNED, &lecture("secrets").pin(PIN)).await?;
        let browser = stage.browser(&guest).await?;
        let entry = Entry { pin: Some(PIN.into()), codec: Some("h264") };
        browser.join(&stage.janus.url(), PINNED, &entry).await?;
        let started = meeting.started().await?;
        passes(8).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        browser.close().await?;
        let film = Recorded::open(stage, ready, started, &guest)?;
        film.present(&guest, started, ended)
    });
}

#[test]
fn a_room_whose_pin_is_not_known_is_refused_with_what_to_do() {
    on_stage(async |stage| {
        let [_, guest, ..] = cast();
        let meeting = stage.meeting(&lecture("other secrets").pin("0000")).await?;
        let browser = stage.browser(&guest).await?;
        let entry = Entry { pin: Some("0000".into()), codec: None };
        browser.join(&stage.janus.url(), meeting.room.id, &entry).await?;
        let (_, failed) = meeting.news.wait_failed(Duration::from_secs(40)).await?;
        assert!(!failed.retryable, "{failed:?}");
        let log = fs::read_to_string(stage.lectern.log())?;
        assert!(log.contains("pins_file"), "the log does not say what to do: {failed:?}");
        assert!(!log.contains("\"0000\""), "the log holds a PIN");
        browser.leave().await?;
        browser.close().await?;
        meeting.room.destroy().await
    });
}

#[test]
fn a_room_that_does_not_exist_fails_once_and_says_so() {
    on_stage(async |stage| {
        let meeting = stage.meeting(&Plan::titled("On request: nothing")).await?;
        meeting.room.destroy().await?;
        meeting.news.tell(Body::RecordingRequested(stage.wish()?)).await?;
        let (_, failed) = meeting.news.wait_failed(Duration::from_secs(40)).await?;
        assert!(!failed.retryable, "{failed:?}");
        let log = fs::read_to_string(stage.lectern.log())?;
        assert!(log.contains("there is no such room; check the room's id"), "the log does not say what to do");
        Ok(())
    });
}

#[test]
fn a_meeting_server_that_dies_ends_the_recording_with_all_that_was_recorded() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let meeting = stage.meeting(&lecture("falling over")).await?;
        let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
        let started = meeting.started().await?;
        passes(10).await;
        let died = SystemTime::now();
        stage.janus.kill();
        passes(3).await;
        // It comes back without the room.
        stage.janus.again().await?;
        let ready = meeting.ready(Instant::now()).await?;
        drop(speaker);
        let film = Recorded::open(stage, ready, started, &person)?;
        film.present(&person, started, died)?;

        // And the next meeting is recorded as if nothing had been.
        let next = stage.meeting(&lecture("getting up")).await?;
        let speaker = stage.join(&next.room, &person, &Media::default()).await?;
        let started = next.started().await?;
        passes(6).await;
        let ended = SystemTime::now();
        let ready = next.end().await?;
        drop(speaker);
        Recorded::open(stage, ready, started, &person)?.present(&person, started, ended)
    });
}

#[test]
fn a_hostile_name_changes_nothing_and_is_in_no_log() {
    on_stage(async |stage| {
        let [_, guest, ..] = cast();
        let marker = "Papageienfalle";
        // Control and right-to-left characters, markup, and half a megabyte. Janus itself refuses NUL.
        let name = format!("{marker}<script>alert(1)</script>\u{202e}\u{1}\u{7}\r\n{}", "Å".repeat(250_000));
        let guest = Person { name, ..guest };
        let meeting = stage.meeting(&lecture("names")).await?;
        let browser = stage.browser(&guest).await?;
        browser.join(&stage.janus.url(), meeting.room.id, &Entry::default()).await?;
        let started = meeting.started().await?;
        passes(8).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        browser.close().await?;
        Recorded::open(stage, ready, started, &guest)?.present(&guest, started, ended)?;
        let log = fs::read_to_string(stage.lectern.log())?;
        assert!(!log.contains(marker), "the log holds a name");
        Ok(())
    });
}

#[test]
fn a_room_of_another_policy_is_left_alone() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let room = Room::create(&stage.janus.url(), &Plan::titled("Lunch")).await?;
        let speaker = stage.join(&room, &person, &Media::default()).await?;
        passes(6).await;
        let there = room.people().await?;
        assert_eq!(there.len(), 1, "somebody else came: {}", there.len());
        drop(speaker);
        room.destroy().await
    });
}
