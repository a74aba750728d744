//! The meeting itself: who comes, who speaks, who watches, and how it ends.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use e2e::canary::{Hit, Scanned, TITLE};
use e2e::measure::Meter;
use e2e::participants::browser::Entry;
use e2e::participants::publisher::Media;
use e2e::participants::{Person, cast};
use e2e::room::Plan;
use e2e::speech::{lecture, speak};
use e2e::stage::{Ready, Stage};
use e2e::viewer::{Played, Viewer};
use events::RecordingId;

/// Who was in the meeting, and when.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) person: Person,
    pub(crate) from: SystemTime,
    /// Flash and beep in step at their source: browsers start their fake devices apart.
    pub(crate) in_step: bool,
}

/// What there is to check.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) recording: RecordingId,
    pub(crate) ready: Ready,
    /// From the end of the room to the transcript.
    pub(crate) transcript_after: Duration,
    pub(crate) presences: Vec<Presence>,
    /// When the recording had started, as announced.
    pub(crate) started: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) room_s: f64,
    pub(crate) spoken: String,
    pub(crate) played: Played,
    pub(crate) worker: Vec<e2e::measure::Cost>,
    pub(crate) media: Vec<e2e::measure::Cost>,
    /// What the canary scan found while the meeting ran.
    pub(crate) live_scan: (Vec<Hit>, Scanned),
    /// The two `age` commands that open the film.
    pub(crate) commands: [String; 2],
}

fn say(since: Instant, what: &str) {
    println!("[{:6.1} s] {what}", since.elapsed().as_secs_f64());
}

/// Runs a meeting of `seconds` and waits until all of it is ready.
pub(crate) async fn tell(work: &Path, seconds: u64) -> anyhow::Result<(Stage, Told)> {
    let t = Instant::now();
    say(t, &format!("starting RabbitMQ, Janus, Chromium and Lectern; all they write is in {}", work.display()));
    let stage = Stage::set(work, "").await?;
    let meter = Meter::of(stage.lectern.pid().context("lectern is up")?);
    let sentences = lecture(&stage.inputs().join("speech"))?;

    let title = format!("{TITLE}: the archive");
    say(t, &format!("opening the room {title:?}, which the policy wants recorded and shown live"));
    println!("            (its odd title, the names and the speech are looked for later: they must stand in no file)");
    let meeting = stage.meeting(&Plan::titled(&title)).await?;
    let [speaker, listener, guest, _] = cast();
    let talking = stage.join(&meeting.room, &speaker, &Media::default()).await?;
    let begun = SystemTime::now();
    let (_, recording) = meeting.news.started(Duration::from_secs(60)).await?;
    let started = SystemTime::now();
    let end = Instant::now() + Duration::from_secs(seconds);
    say(t, &format!("recording {recording} has started; the meeting lasts {seconds} s from now"));
    let watch = stage.lectern.watch_page(recording);
    println!("            watch       {watch}");
    println!("            recordings  {}", stage.lectern.portal()?.entrance());

    let lecture = async {
        // A lecturer waits for the sign before the first word.
        tokio::time::sleep(Duration::from_secs(2)).await;
        speak(&talking, &sentences, end).await
    };
    let (spoken, rest) = tokio::join!(lecture, async {
        let media = Media { codec: "h264", ..Media::default() };
        let quiet = stage.join(&meeting.room, &listener, &media).await?;
        let quiet_from = SystemTime::now();
        let slides = stage.join(&meeting.room, &speaker, &Media::slides("The archive")).await?;
        say(t, "a second person is there, and the first one shares slides");
        let browser = stage.browser(&guest).await?;
        browser.join(&stage.janus.url(), meeting.room.id, &Entry::default()).await?;
        let browser_from = SystemTime::now();
        say(t, "a person with a real browser is there");
        let viewer = Viewer::watch(&stage.chromium, &watch, Duration::from_secs(40)).await?;
        say(t, "a viewer's browser plays the webinar");
        let live_scan = stage.scan()?;
        anyhow::Ok((quiet, quiet_from, slides, browser, browser_from, viewer, live_scan))
    });
    let (quiet, quiet_from, slides, browser, browser_from, viewer, live_scan) = rest?;
    let spoken = spoken?;
    tokio::time::sleep_until(end.into()).await;
    viewer.screenshot(&stage.opened().join("watch.png")).await?;

    let room_s = started.elapsed()?.as_secs_f64();
    let ended = SystemTime::now();
    let over = Instant::now();
    meeting.room.destroy().await?;
    say(t, "the meeting has ended");
    let ready = meeting.ready(over).await?;
    say(t, &format!("the film is ready, {:.1} s after the end", ready.after.as_secs_f64()));
    let (at, _) = meeting.news.wait("transcript.ready", Duration::from_secs(120)).await?;
    let transcript_after = at.saturating_duration_since(over);
    say(t, &format!("the transcript is ready, {:.1} s after the end", transcript_after.as_secs_f64()));
    let played = viewer.finish(Duration::from_secs(20)).await?;
    drop((talking, quiet, slides));
    browser.close().await?;

    let out = stage.opened().join(format!("{recording}.mp4"));
    let commands = stage.archive(recording)?.open(&stage.lectern.key("archive.key"), &out)?;
    let presence = |person, from, in_step| Presence { person, from, in_step };
    let told = Told {
        recording,
        ready,
        transcript_after,
        presences: vec![
            presence(speaker, begun, true),
            presence(listener, quiet_from, true),
            presence(guest, browser_from, false),
        ],
        started,
        ended,
        room_s,
        spoken,
        played,
        worker: meter.of_kind("recorder"),
        media: meter.of_kind("media"),
        live_scan,
        commands,
    };
    Ok((stage, told))
}
