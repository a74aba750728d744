//! Watching live, in a real browser.

use std::time::Duration;

use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::participants::signal::{PAPER, Rgb};
use e2e::process::until;
use e2e::viewer::Viewer;

use crate::{lecture, on_stage, passes};

/// The share of the shown picture that is near a colour (in the browser's own decoding).
const SHARE: &str = "
  const video = document.querySelector('video'), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [160, 90];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 160, 90);
  const data = context.getImageData(0, 0, 160, 90).data;
  let near = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (Math.abs(data[i] - R) + Math.abs(data[i + 1] - G) + Math.abs(data[i + 2] - B) < 75) near++;
  }
  return near / (160 * 90);";

async fn share(viewer: &Viewer, Rgb(r, g, b): Rgb) -> anyhow::Result<f64> {
    let script = format!("const [R, G, B] = [{r}, {g}, {b}];{SHARE}");
    Ok(viewer.ask(&script).await?.as_f64().unwrap_or(0.0))
}

#[test]
fn a_browser_plays_the_webinar_live_and_is_told_when_it_ends() {
    on_stage(async |stage| {
        let [speaker, listener, ..] = cast();
        let meeting = stage.meeting(&lecture("watching")).await?;
        let talking = stage.join(&meeting.room, &speaker, &Media::default()).await?;
        let media = Media { codec: "h264", ..Media::default() };
        let quiet = stage.join(&meeting.room, &listener, &media).await?;
        let slides = stage.join(&meeting.room, &speaker, &Media::slides("The archive")).await?;
        let (_, recording) = meeting.news.started(Duration::from_secs(60)).await?;
        let page = stage.lectern.watch_page(recording);
        let viewer = Viewer::watch(&stage.chromium, &page, Duration::from_secs(40)).await?;
        until("slides are shown", Duration::from_secs(20), async || {
            Ok((share(&viewer, PAPER).await? > 0.25).then_some(()))
        })
        .await?;
        let before = viewer.played().await?;
        passes(8).await;
        let after = viewer.played().await?;
        assert!(after.seconds - before.seconds > 6.0, "{before:?} {after:?}");
        assert!(after.frames - before.frames > 150, "{before:?} {after:?}");
        assert_eq!(after.width, 640);
        assert_eq!(viewer.ask("return window.lectern.state").await?, "live");
        for person in [&speaker, &listener] {
            // Between two flashes at the latest, the colour is there.
            until("a person is shown", Duration::from_secs(5), async || {
                Ok((share(&viewer, person.colour).await? > 0.005).then_some(()))
            })
            .await?;
        }

        let picture = stage.opened().join("watch.png");
        viewer.screenshot(&picture).await?;
        // README shows this picture; it is taken anew only when asked for.
        if std::env::var_os("LECTERN_NEW_PICTURES").is_some() {
            std::fs::copy(&picture, e2e::root().join("samples/pictures/watch.png"))?;
        }

        meeting.end().await?;
        until("the page says that it is over", Duration::from_secs(30), async || {
            Ok((viewer.ask("return window.lectern.state").await? == "ended").then_some(()))
        })
        .await?;
        drop((talking, quiet, slides));
        viewer.close().await
    });
}

#[test]
fn a_page_that_is_open_before_the_webinar_starts_it_by_itself() {
    on_stage(async |stage| {
        let nowhere = stage.lectern.watch_page("00000000-0000-5000-8000-000000000000".parse()?);
        let window = stage.chromium.open((640, 480), &[]).await?;
        window.goto(&nowhere).await?;
        until("the page waits", Duration::from_secs(20), async || {
            Ok((window.execute("return window.lectern.state", vec![]).await? == "waiting").then_some(()))
        })
        .await?;
        Ok(window.close().await?)
    });
}
