//! People mute, close cameras, share screens, change their picture's size.

use std::time::{Duration, SystemTime};

use e2e::analysis::Beats;
use e2e::participants::browser::Entry;
use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::participants::signal::PAPER;
use e2e::recorded::{Recorded, SETTLES};

use crate::{lecture, on_stage, passes};

#[test]
fn a_muted_microphone_is_silent_and_a_closed_camera_still_until_opened_again() {
    on_stage(async |stage| {
        let [quiet, constant, ..] = cast();
        let meeting = stage.meeting(&lecture("muting")).await?;
        let other = stage.join(&meeting.room, &constant, &Media::default()).await?;
        let started = meeting.started().await?;
        let muted = stage.join(&meeting.room, &quiet, &Media::default()).await?;
        let came = SystemTime::now();
        passes(6).await;
        let mic_off = SystemTime::now();
        muted.mic(false)?;
        passes(5).await;
        let camera_off = SystemTime::now();
        muted.mic(true)?;
        muted.camera(false)?;
        passes(6).await;
        let all_on = SystemTime::now();
        muted.camera(true)?;
        passes(7).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        drop((other, muted));

        let film = Recorded::open(stage, ready, started, &constant)?;
        film.present(&constant, started, ended)?;
        film.present(&quiet, came, mic_off)?;
        let second = Duration::from_secs(1);
        let Beats { flashes, beeps } = film.beats(&quiet, mic_off + second, camera_off);
        assert!(beeps.is_empty() && flashes.len() >= 3, "microphone off: {beeps:.2?} {flashes:.2?}");
        let Beats { flashes, beeps } = film.beats(&quiet, camera_off + second, all_on);
        assert!(flashes.is_empty() && beeps.len() >= 4, "camera off: {beeps:.2?} {flashes:.2?}");
        film.present(&quiet, all_on, ended)
    });
}

#[test]
fn a_shared_screen_is_large_while_it_is_shared_and_its_clock_runs() {
    on_stage(async |stage| {
        let [speaker, ..] = cast();
        let meeting = stage.meeting(&lecture("sharing")).await?;
        let person = stage.join(&meeting.room, &speaker, &Media::default()).await?;
        let started = meeting.started().await?;
        passes(5).await;
        let screen = stage.join(&meeting.room, &speaker, &Media::slides("A slide")).await?;
        let shared = SystemTime::now();
        passes(8).await;
        let unshared = SystemTime::now();
        screen.leave()?;
        passes(6).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        drop(person);

        let film = Recorded::open(stage, ready, started, &speaker)?;
        film.present(&speaker, started, ended)?;
        let share = |colour, from: SystemTime, to| film.share(colour, film.at(from + SETTLES), film.at(to));
        let (before, during, after) = (
            share(PAPER, started, started + Duration::from_secs(5)),
            share(PAPER, shared, unshared),
            share(PAPER, unshared, ended),
        );
        // Paper is a good half of a slide.
        assert!(before < 0.01 && during > 0.25 && after < 0.01, "{before:.2} {during:.2} {after:.2}");
        let camera = |from, to| share(speaker.colour, from, to);
        let (alone, beside) = (camera(unshared, ended), camera(shared, unshared));
        assert!(
            alone > 2.0 * beside && beside > 0.005,
            "the camera fills {alone:.2} alone, {beside:.2} beside a slide"
        );

        let frames = film.film.between(film.at(shared + SETTLES), film.at(unshared));
        let codes: Vec<_> = frames.iter().filter_map(|f| f.time_code().map(|code| (f.at, code))).collect();
        let mute: Vec<_> = frames.iter().filter(|f| f.time_code().is_none()).map(|f| f.at).collect();
        assert!(mute.len() * 10 < frames.len(), "of {} pictures these do not tell the time: {mute:.2?}", frames.len());
        let ((first, begins), (last, ends)) = (codes[0], codes[codes.len() - 1]);
        let told = f64::from(ends.wrapping_sub(begins) % 65_536) / 10.0;
        assert!((told - (last - first)).abs() < 0.5, "{told} s on the slide in {:.1} s of film", last - first);
        Ok(())
    });
}

#[test]
fn a_browser_changes_size_mutes_and_shares_without_losing_its_place() {
    on_stage(async |stage| {
        let [constant, _, guest, _] = cast();
        let meeting = stage.meeting(&lecture("browsers")).await?;
        let person = stage.join(&meeting.room, &constant, &Media::default()).await?;
        let browser = stage.browser(&guest).await?;
        let started = meeting.started().await?;
        browser.join(&stage.janus.url(), meeting.room.id, &Entry::default()).await?;
        let came = SystemTime::now();
        passes(6).await;
        browser.scale(2).await?;
        let small = SystemTime::now();
        passes(7).await;
        let dark = SystemTime::now();
        browser.camera(false).await?;
        browser.mic(false).await?;
        passes(5).await;
        let light = SystemTime::now();
        browser.camera(true).await?;
        browser.mic(true).await?;
        passes(6).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        drop(person);
        browser.close().await?;

        let film = Recorded::open(stage, ready, started, &constant)?;
        film.present(&constant, started, ended)?;
        film.present(&guest, came, dark)?;
        film.absent(&guest, dark, light)?;
        film.present(&guest, light, ended)?;
        let place = |from: SystemTime, to| film.share(guest.colour, film.at(from + SETTLES), film.at(to));
        let (large, scaled) = (place(came, small), place(small, dark));
        assert!((large - scaled).abs() < 0.02, "the tile fills {large:.3}, then {scaled:.3}");
        Ok(())
    });
}
