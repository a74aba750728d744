//! People come late, leave, come back.

use std::time::SystemTime;

use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::recorded::Recorded;

use crate::{lecture, on_stage, passes};

#[test]
fn a_latecomer_is_in_the_film_from_then_on_and_disturbs_nobody() {
    on_stage(async |stage| {
        let [first, late, ..] = cast();
        let meeting = stage.meeting(&lecture("coming late")).await?;
        let early = stage.join(&meeting.room, &first, &Media::default()).await?;
        let started = meeting.started().await?;
        passes(5).await;
        let before = SystemTime::now();
        let media = Media { codec: "h264", ..Media::default() };
        let second = stage.join(&meeting.room, &late, &media).await?;
        let came = SystemTime::now();
        passes(8).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        drop((early, second));

        let film = Recorded::open(stage, ready, started, &first)?;
        film.present(&first, started, ended)?;
        film.absent(&late, started, before)?;
        film.present(&late, came, ended)?;
        for person in [&first, &late] {
            let skew = film.skew(person).unwrap();
            assert!(skew <= 80.0, "{skew:.0} ms for {}", person.colour);
        }
        Ok(())
    });
}

#[test]
fn who_leaves_and_rejoins_is_gone_in_between_and_back_afterwards() {
    on_stage(async |stage| {
        let [stays, leaves, ..] = cast();
        let meeting = stage.meeting(&lecture("leaving")).await?;
        let constant = stage.join(&meeting.room, &stays, &Media::default()).await?;
        let started = meeting.started().await?;
        let once = stage.join(&meeting.room, &leaves, &Media::default()).await?;
        let came = SystemTime::now();
        passes(6).await;
        let left = SystemTime::now();
        once.leave()?;
        passes(6).await;
        let returns = SystemTime::now();
        let again = stage.join(&meeting.room, &leaves, &Media::default()).await?;
        let back = SystemTime::now();
        passes(7).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        drop((constant, again));

        let film = Recorded::open(stage, ready, started, &stays)?;
        film.present(&stays, started, ended)?;
        film.present(&leaves, came, left)?;
        film.absent(&leaves, left, returns)?;
        film.present(&leaves, back, ended)
    });
}
