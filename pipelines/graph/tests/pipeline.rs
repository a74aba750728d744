//! A real pipeline: shared time, EOS, errors that name their element, and stops that never hang.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first surprise")]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use graph::{Event, Pipeline, StateError, Timebase};
use gstreamer::prelude::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn add(pipeline: &Pipeline, description: &str) -> gstreamer::Bin {
    let bin = gstreamer::parse::bin_from_description(description, false).unwrap();
    pipeline.gst().add(&bin).unwrap();
    bin
}

async fn next(events: &mut graph::Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = events.recv().await.expect("the pipeline is gone");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the event never came")
}

#[tokio::test]
async fn two_pipelines_started_apart_agree_on_the_time() {
    let time = Timebase::start().unwrap();
    let stamp = |name| {
        let (pipeline, _events) = Pipeline::new(name, &time);
        let (tell, stamps) = mpsc::channel();
        let bin = add(&pipeline, "fakesrc is-live=true do-timestamp=true name=s ! fakesink");
        let pad = bin.by_name("s").unwrap().static_pad("src").unwrap();
        pad.add_probe(gstreamer::PadProbeType::BUFFER, move |_, info| {
            let _ = tell.send(info.buffer().and_then(|b| b.pts()).unwrap().nseconds());
            gstreamer::PadProbeReturn::Ok
        });
        pipeline.play(PATIENCE).unwrap();
        let before = time.now().0;
        // What was queued before this reading may be older; the hundredth stamp is not.
        let pts = stamps.iter().nth(100).unwrap();
        (before, pts, time.now().0, pipeline)
    };
    let (_, first, after_first, one) = stamp("one");
    let (_, second, after_second, two) = stamp("two");
    assert!(first <= after_first && after_first <= second && second <= after_second);
    one.stop(PATIENCE).await.unwrap();
    two.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn finishing_ends_the_stream_and_the_owner_hears_it() {
    let time = Timebase::start().unwrap();
    let (pipeline, mut events) = Pipeline::new("ends", &time);
    add(&pipeline, "audiotestsrc is-live=true ! fakesink");
    pipeline.play(PATIENCE).unwrap();
    next(&mut events, |e| matches!(e, Event::State(gstreamer::State::Playing))).await;
    pipeline.finish();
    next(&mut events, |e| matches!(e, Event::Eos)).await;
    pipeline.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_error_is_traced_to_the_branch_that_made_it() {
    let time = Timebase::start().unwrap();
    let (pipeline, mut events) = Pipeline::new("fails", &time);
    let good = add(&pipeline, "audiotestsrc is-live=true ! fakesink");
    let bad = add(&pipeline, "audiotestsrc is-live=true ! identity error-after=3 ! fakesink async=false");
    // The error may come before or after PLAYING: both are fine.
    let _ = pipeline.play(PATIENCE);
    let Event::Error { node: Some(node), .. } = next(&mut events, |e| matches!(e, Event::Error { .. })).await else {
        panic!("an error without its element")
    };
    assert!(node.has_as_ancestor(&bad) && !node.has_as_ancestor(&good));
}

#[tokio::test]
async fn a_pipeline_that_hangs_is_reported_and_left_behind() {
    let time = Timebase::start().unwrap();
    let dots = tempfile::tempdir().unwrap();
    let (pipeline, _events) = Pipeline::new("hangs", &time);
    let pipeline = pipeline.with_dots(dots.path().to_path_buf());
    let bin = add(&pipeline, "audiotestsrc is-live=true name=s ! fakesink async=false");
    let (stuck, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let pad = bin.by_name("s").unwrap().static_pad("src").unwrap();
    let released = std::sync::Mutex::new(released);
    // A streaming thread that does not return: NULL has to wait for it.
    pad.add_probe(gstreamer::PadProbeType::BUFFER, move |_, _| {
        let _ = stuck.send(());
        let _ = released.lock().unwrap().recv();
        gstreamer::PadProbeReturn::Ok
    });
    pipeline.play(PATIENCE).unwrap();
    arrived.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    let error = pipeline.stop(Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, StateError::Late { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3));
    let picture = std::fs::read_to_string(dots.path().join("hangs-stop.dot")).unwrap();
    assert!(picture.contains("GstAudioTestSrc"));
    drop(release);
}

#[test]
fn what_is_not_installed_is_named_with_its_package() {
    let wanted = [("identity", "libgstreamer1.0-0"), ("nosuchelement", "gstreamer1.0-nowhere")];
    assert_eq!(graph::missing(&wanted), [("nosuchelement", "gstreamer1.0-nowhere")]);
}
