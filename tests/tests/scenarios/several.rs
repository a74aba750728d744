//! Two rooms at once on one worker.

use std::time::SystemTime;

use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::recorded::Recorded;

use crate::{lecture, on_stage, passes};

#[test]
fn two_rooms_at_once_become_two_films_that_share_nothing() {
    on_stage(async |stage| {
        let [one, other, ..] = cast();
        let (here, there) = (stage.meeting(&lecture("physics")).await?, stage.meeting(&lecture("music")).await?);
        let first = stage.join(&here.room, &one, &Media::default()).await?;
        let second = stage.join(&there.room, &other, &Media::default()).await?;
        let (here_started, there_started) = (here.started().await?, there.started().await?);
        passes(10).await;
        let ended = SystemTime::now();
        let (here_ready, there_ready) = tokio::try_join!(here.end(), there.end())?;
        drop((first, second));

        assert_ne!(here_ready.recording, there_ready.recording);
        let film = Recorded::open(stage, here_ready, here_started, &one)?;
        film.present(&one, here_started, ended)?;
        film.absent(&other, here_started, ended)?;
        let film = Recorded::open(stage, there_ready, there_started, &other)?;
        film.present(&other, there_started, ended)?;
        film.absent(&one, there_started, ended)
    });
}
