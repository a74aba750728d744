//! What a viewer sees when one recorder takes over from another, in a real browser and in real time: with both at work,
//! and after the first has died. Every frame carries its wall time, so nothing is guessed.

use std::path::Path;
use std::time::{Duration, Instant};

use media::MediaTime;
use origin::Config;
use reqwest::StatusCode;

use crate::browser::Browser;
use crate::footage::{Cut, FPS, PART, PARTS, READ, footage, frames, part, seen_by_ffmpeg};
use crate::server::{NOON, Origin, Recorder, SEGMENT, recording, taken};

/// So much is there already when the test begins.
const BACKLOG: Duration = Duration::from_millis(12_800);

/// One recorder that works in real time: what it makes at `t` after noon is pushed then.
struct Live<'a> {
    recorder: Recorder<'a>,
    cuts: [Cut; 2],
    began: Duration,
    made: usize,
    /// When it was told that another has taken over.
    fenced: Option<Duration>,
}

impl<'a> Live<'a> {
    /// Its first frame is number `first` since noon.
    async fn join(origin: &'a Origin, cuts: [Cut; 2], session: &str, epoch: u32, first: u32) -> Self {
        let began = Duration::from_secs(1) * first / FPS;
        let recorder = Recorder { began: NOON.plus(began), ..Recorder::new(origin, recording(session), epoch) };
        for cut in &cuts {
            taken(&recorder.init(&cut.rendition, cut.init.clone()).await);
        }
        Self { recorder, cuts, began, made: 0, fenced: None }
    }

    fn due(&self) -> Duration {
        self.began + part() * u32::try_from(self.made + 1).unwrap()
    }

    async fn push(&mut self) {
        let (segment, index) = ((self.made / PARTS) as u64, u32::try_from(self.made % PARTS).unwrap());
        let mut answers = Vec::new();
        for cut in &self.cuts {
            let bytes = cut.parts[self.made].clone();
            answers.push(self.recorder.part(&cut.rendition, segment, index, part(), bytes).await.status());
            if index as usize == PARTS - 1 {
                let begins = MediaTime(segment * 3_200_000_000);
                answers.push(self.recorder.closed(&cut.rendition, segment, begins, SEGMENT).await.status());
            }
        }
        self.made += 1;
        if answers.contains(&StatusCode::CONFLICT) {
            self.fenced = Some(self.due());
        } else {
            assert!(answers.iter().all(|answer| *answer == StatusCode::NO_CONTENT), "{answers:?}");
        }
    }
}

/// Noon was so long ago that the backlog is made.
struct Clock(Instant);

impl Clock {
    /// Lets all work until `until` after noon.
    async fn run(&self, until: Duration, all: &mut [&mut Live<'_>]) {
        while let Some(next) =
            all.iter_mut().filter(|one| one.fenced.is_none() && one.due() <= until).min_by_key(|one| one.due())
        {
            tokio::time::sleep_until((self.0 + next.due().saturating_sub(BACKLOG)).into()).await;
            next.push().await;
        }
    }
}

/// What the viewer saw: when, in seconds, and which frame.
struct Seen(Vec<(f64, f64)>);

impl Seen {
    async fn begin(browser: &Browser) {
        let sample = format!(
            "{READ}
            window.seen = [];
            const video = document.querySelector('video');
            const look = (now) => {{
              const number = read(video);
              if (number >= 0) seen.push([now / 1000, number]);
              video.requestVideoFrameCallback(look);
            }};
            video.requestVideoFrameCallback(look);"
        );
        browser.ask(&sample).await;
    }

    async fn all(browser: &Browser) -> Self {
        let seen = browser.ask("return window.seen").await;
        let pair = |pair: &serde_json::Value| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
        Self(seen.as_array().unwrap().iter().map(pair).collect())
    }

    /// Wall time that was jumped over in the lecture, at once: more than playing accounts for.
    fn skipped(&self) -> f64 {
        let jump = |two: &[(f64, f64)]| (two[1].1 - two[0].1) / f64::from(FPS) - (two[1].0 - two[0].0) * 1.15;
        self.0.windows(2).map(jump).fold(0.0, f64::max)
    }

    /// The longest time without a new frame, and all times of more than half a second together.
    fn stalls(&self) -> (f64, f64) {
        let pauses = || self.0.windows(2).map(|two| two[1].0 - two[0].0);
        (pauses().fold(0.0, f64::max), pauses().filter(|pause| *pause > 0.5).sum::<f64>().max(0.0))
    }

    fn last(&self) -> f64 {
        self.0.last().map_or(0.0, |last| last.1 / f64::from(FPS))
    }
}

/// All frames of the picture as they are listed now, and how many GAPs.
async fn listed(origin: &Origin, folder: &Path, session: &str) -> (Vec<u32>, usize) {
    let base = format!("/hls/{}/video", recording(session));
    let text = origin.text(&format!("{base}/index.m3u8")).await;
    let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
    let (mut init, mut all) = (Vec::new(), Vec::new());
    let mut gaps = 0;
    for segment in &playlist.segments {
        if let Some(map) = &segment.map {
            init = origin.get(&format!("{base}/{}", map.uri)).await.bytes().await.unwrap().to_vec();
        }
        let answer = origin.get(&format!("{base}/{}", segment.uri)).await;
        if answer.status() == StatusCode::NOT_FOUND {
            gaps += 1;
            continue;
        }
        let numbers = frames(folder, &init, &answer.bytes().await.unwrap());
        let date = segment.program_date_time.unwrap().timestamp_millis();
        let said = (date * 1000 - NOON.0) as f64 / 1e6 * f64::from(FPS);
        assert!((said - f64::from(numbers[0])).abs() < 1.0, "dated {said} frames after noon, shows {}", numbers[0]);
        all.extend(numbers);
    }
    (all, gaps)
}

#[tokio::test]
async fn with_both_at_work_the_viewer_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start(&Config::default()).await;
    let session = "handover";
    let browser = Browser::open(folder.path(), (1280, 900), &[]).await;
    let [first, second] = [0, 642].map(|first| footage(folder.path(), first, 120));
    let clock = Clock(Instant::now());
    let mut old = Live::join(&origin, first, session, 1, 0).await;
    clock.run(BACKLOG, &mut [&mut old]).await;
    browser.goto(&format!("{}/watch/{}", origin.url, recording(session))).await;
    Seen::begin(&browser).await;
    let joined = Duration::from_millis(21_400);
    clock.run(joined, &mut [&mut old]).await;
    let mut new = Live::join(&origin, second, session, 2, 642).await;
    let until = Duration::from_secs(44);
    clock.run(until, &mut [&mut old, &mut new]).await;

    let seen = Seen::all(&browser).await;
    let fenced = old.fenced.expect("the old one is told to stop");
    // Its first segment takes 3.2 s; then the old one must have come as far, and its next push is refused.
    assert!(fenced > joined + SEGMENT && fenced < joined + SEGMENT + part() * 4, "{fenced:?}");
    let (numbers, gaps) = listed(&origin, folder.path(), session).await;
    assert_eq!(gaps, 0);
    let back: Vec<(u32, u32)> =
        numbers.windows(2).filter(|two| two[1] != two[0] + 1).map(|two| (two[0], two[1])).collect();
    assert!(matches!(back[..], [(last, next)] if next <= last + 1 && last + 1 - next < PART), "{back:?}");
    let (longest, stalled) = seen.stalls();
    let skipped = seen.skipped();
    let twice = back[0].0 + 1 - back[0].1;
    println!(
        "hand-over: 0 of {} frames missing, {twice} seen twice; the viewer skipped {skipped:.3} s at most, \
         stood still {longest:.3} s at most, {stalled:.3} s in all",
        numbers.len()
    );
    assert!(seen.last() > 30.0, "the viewer is at {} s", seen.last());
    assert!(skipped < 0.4, "the viewer skipped {skipped} s");
    assert!(longest < 3.0, "the viewer stood still for {longest} s");
}

#[tokio::test]
async fn after_a_death_the_viewer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start(&Config::default()).await;
    let session = "death";
    let browser = Browser::open(folder.path(), (1280, 900), &[]).await;
    let [first, second] = [0, 32 * FPS].map(|first| footage(folder.path(), first, 120));
    let clock = Clock(Instant::now());
    let mut old = Live::join(&origin, first, session, 1, 0).await;
    clock.run(BACKLOG, &mut [&mut old]).await;
    browser.goto(&format!("{}/watch/{}", origin.url, recording(session))).await;
    Seen::begin(&browser).await;
    clock.run(Duration::from_secs(24), &mut [&mut old]).await;
    // For 8 s there is nobody.
    tokio::time::sleep_until((clock.0 + Duration::from_secs(32) - BACKLOG).into()).await;
    let mut new = Live::join(&origin, second, session, 2, 32 * FPS).await;
    clock.run(Duration::from_secs(62), &mut [&mut new]).await;

    let seen = Seen::all(&browser).await;
    let (numbers, gaps) = listed(&origin, folder.path(), session).await;
    assert!(gaps >= 2, "{gaps}");
    let holes: Vec<(u32, u32)> =
        numbers.windows(2).filter(|two| two[1] != two[0] + 1).map(|two| (two[0], two[1])).collect();
    assert!(matches!(holes[..], [(_, 960)]), "{holes:?}");
    let (longest, stalled) = seen.stalls();
    let state = browser.ask("return lectern.state").await;
    println!(
        "death of 8 s: the viewer stood still {longest:.3} s at most, {stalled:.3} s in all, and is {:.1} s behind",
        62.0 - seen.last()
    );
    assert_eq!(state, "live");
    // A player that knows no GAP goes over them too; ffmpeg 5.1 lets go of a part where the new init section comes.
    taken(&new.recorder.end().await);
    let link = format!("{}/hls/{}/index.m3u8", origin.url, recording(session));
    let classic = tokio::task::spawn_blocking(move || seen_by_ffmpeg(&["-live_start_index", "0", "-i", &link]));
    let classic = classic.await.unwrap();
    let lost: Vec<&u32> = numbers.iter().filter(|number| !classic.contains(number)).collect();
    assert!(lost.len() <= PART as usize && classic.last() == numbers.last(), "{lost:?}");
    assert!(seen.last() > 45.0, "the viewer is at {} s", seen.last());
    assert!(longest < 12.0, "the viewer stood still for {longest} s");
}
