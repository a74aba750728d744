//! What may be pushed, what is refused, what is answered.

use std::time::Duration;

use crate::worker::{NOON, SEGMENT, Worker, init, read};
use hls::{PushError, Rules, State, Webinar};
use media::Rendition;

fn live(segments: u64) -> (Webinar, Worker) {
    let mut webinar = Webinar::new(Rules::default());
    let mut worker = Worker::start(&mut webinar, 1, NOON);
    worker.run(&mut webinar, segments);
    (webinar, worker)
}

#[test]
fn a_segment_is_its_parts_in_order() {
    let (webinar, _) = live(2);
    let parts = webinar.segment(&Rendition::video(), 1, 1).unwrap().concat();
    assert_eq!(parts, b"video 1-1.0;video 1-1.1;video 1-1.2;video 1-1.3;video 1-1.4;video 1-1.5;");
    assert_eq!(webinar.init_section(&Rendition::audio(), 1).unwrap(), "init 1 audio".as_bytes());
    assert_eq!(webinar.segment(&Rendition::video(), 1, 2), None);
    assert_eq!(webinar.segment(&Rendition::video(), 2, 1), None);
}

#[test]
fn an_older_epoch_is_fenced_and_changes_nothing() {
    let (mut webinar, worker) = live(3);
    Worker::start(&mut webinar, 2, NOON.plus(Duration::from_secs(20))).run(&mut webinar, 1);
    let before = webinar.playlist(&Rendition::video());
    let fenced = PushError::Fenced { epoch: 1, newest: 2 };
    assert_eq!(worker.push(&mut webinar, &Rendition::video(), SEGMENT), Err(fenced));
    assert_eq!(webinar.init(1, init(1, Rendition::video())), Err(fenced));
    assert_eq!(webinar.end(1), Err(fenced));
    assert_eq!(webinar.playlist(&Rendition::video()), before);
    assert_eq!(webinar.state(), State::Live);
}

#[test]
fn pushes_may_be_repeated() {
    let (mut webinar, mut worker) = live(1);
    let video = Rendition::video();
    for part in worker.parts(&video, SEGMENT) {
        webinar.part(1, part.clone()).unwrap();
        webinar.part(1, part).unwrap();
    }
    webinar.init(1, init(1, Rendition::video())).unwrap();
    webinar.closed(1, &worker.end_of(&video, SEGMENT)).unwrap();
    let before = (webinar.playlist(&video), webinar.segment(&video, 1, 1));
    worker.push(&mut webinar, &video, SEGMENT).unwrap();
    assert_eq!((webinar.playlist(&video), webinar.segment(&video, 1, 1)), before);
    worker.advance(SEGMENT);
    worker.push(&mut webinar, &video, SEGMENT).unwrap();
    assert_eq!(read(&webinar.playlist(&video).unwrap()).segments.len(), 3);
}

#[test]
fn a_segment_without_all_its_parts_is_a_gap() {
    let (mut webinar, worker) = live(1);
    let video = Rendition::video();
    let mut parts = worker.parts(&video, SEGMENT).into_iter();
    webinar.part(1, parts.next().unwrap()).unwrap();
    let missing = PushError::PartsMissing { segment: 1, index: 2 };
    assert_eq!(webinar.part(1, parts.nth(1).unwrap()), Err(missing));
    webinar.closed(1, &worker.end_of(&video, SEGMENT)).unwrap();
    let last = read(&webinar.playlist(&video).unwrap()).segments.pop().unwrap();
    assert!(last.gap);
    assert_eq!((last.uri.as_str(), last.lasts), ("1-1.m4s", 3.2));
    assert_eq!(webinar.segment(&video, 1, 1), None);
}

#[test]
fn what_cannot_be_placed_is_refused() {
    let (mut webinar, mut worker) = live(1);
    let video = Rendition::video();
    let parts = worker.parts(&video, SEGMENT);
    let mut other = Webinar::new(Rules::default());
    assert_eq!(other.part(1, parts[0].clone()), Err(PushError::NoInit));
    // An origin that has just started hears of the second epoch's parts only.
    assert_eq!(webinar.part(2, parts[0].clone()), Err(PushError::NoInit));
    let mut changed = init(1, Rendition::video());
    changed.codec = "avc1.42c01f".into();
    assert_eq!(webinar.init(1, changed), Err(PushError::InitChanged));
    let lasts = Duration::from_millis(3500);
    let too_long = PushError::TooLong { segment: 1, lasts, target: 3 };
    assert_eq!(webinar.closed(1, &worker.end_of(&video, lasts)), Err(too_long));
    worker.segment = u64::MAX - 5;
    assert_eq!(worker.push(&mut webinar, &video, SEGMENT), Err(PushError::TooFarAhead { segment: u64::MAX - 5 }));
}

#[test]
fn after_the_end_nothing_is_taken_and_all_is_served() {
    let (mut webinar, worker) = live(4);
    webinar.end(1).unwrap();
    webinar.end(1).unwrap();
    assert_eq!(worker.push(&mut webinar, &Rendition::video(), SEGMENT), Err(PushError::Ended));
    assert_eq!(webinar.init(1, init(1, Rendition::video())), Err(PushError::Ended));
    assert_eq!(webinar.state(), State::Ended);
    assert!(read(&webinar.playlist(&Rendition::audio()).unwrap()).ended);
    assert!(webinar.segment(&Rendition::audio(), 1, 0).is_some());
    assert!(webinar.multivariant().is_some());
}

/// A worker that is told to stop ends its epoch; the worker that takes over must find the webinar open.
#[test]
fn a_higher_epoch_goes_on_after_the_end() {
    let (mut webinar, _) = live(4);
    webinar.end(1).unwrap();
    Worker::start(&mut webinar, 2, NOON.plus(Duration::from_secs(30))).run(&mut webinar, 1);
    let playlist = read(&webinar.playlist(&Rendition::video()).unwrap());
    // 12.8 s of lecture and 17.2 s of nothing.
    assert_eq!((playlist.ended, playlist.segments.len(), webinar.state()), (false, 10, State::Live));
    assert!(playlist.segments[4..9].iter().all(|listed| listed.gap && !listed.breaks));
    assert!(playlist.segments[9].breaks);
}

/// A restart of the origin loses what it held; players that had a playlist must be able to go on
/// (video-dev/hls.js#4309, ossrs/srs#3506).
#[test]
fn an_origin_that_forgot_all_never_counts_backwards() {
    let video = Rendition::video();
    let (before, mut worker) = live(40);
    let mut after = Webinar::new(Rules::default());
    Worker::start(&mut after, 1, NOON);
    worker.run(&mut after, 1);
    let (old, new) = (read(&before.playlist(&video).unwrap()), read(&after.playlist(&video).unwrap()));
    assert_eq!(new.segments[0].msn, old.segments[39].msn + 1);

    let mut in_epoch_2 = Webinar::new(Rules::default());
    Worker::start(&mut in_epoch_2, 2, NOON).run(&mut in_epoch_2, 1);
    let new = read(&in_epoch_2.playlist(&video).unwrap());
    assert!(new.segments[0].msn > 100_000_000);
    assert_eq!(new.turn, 1);
}

#[test]
fn memory_is_freed_from_the_oldest_on_but_players_keep_six_segments() {
    let mut webinar = Webinar::new(Rules { window: Duration::from_secs(30), ..Rules::default() });
    Worker::start(&mut webinar, 1, NOON).run(&mut webinar, 40);
    let full = webinar.bytes();
    let before = read(&webinar.playlist(&Rendition::video()).unwrap());
    let mut freed = 0;
    while webinar.forget_oldest() {
        freed += 1;
    }
    let after = read(&webinar.playlist(&Rendition::video()).unwrap());
    assert_eq!(after.segments.len(), 6);
    assert_eq!(after.segments.last(), before.segments.last());
    assert!(webinar.bytes() * 3 < full, "{} of {full} after {freed}", webinar.bytes());
    for listed in &after.segments {
        assert!(webinar.segment(&Rendition::video(), 1, listed.msn).is_some());
    }
}

#[test]
fn the_multivariant_playlist_names_both_codecs_and_what_they_need() {
    let (webinar, _) = live(3);
    let text = webinar.multivariant().unwrap();
    let theirs = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
    let [variant] = &theirs.variants[..] else { panic!("one variant: {text}") };
    assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
    assert_eq!((variant.uri.as_str(), variant.frame_rate), ("video/index.m3u8", Some(30.0)));
    assert!(variant.average_bandwidth.unwrap() < variant.bandwidth);
    let [sound] = &theirs.alternatives[..] else { panic!("one rendition of sound: {text}") };
    assert_eq!(variant.audio.as_deref(), Some(sound.group_id.as_str()));
    assert!(sound.default && sound.autoselect && sound.language.is_some());
    assert_eq!(sound.uri.as_deref(), Some("audio/index.m3u8"));
}

#[test]
fn bandwidth_follows_what_was_measured() {
    let mut webinar = Webinar::new(Rules::default());
    let mut worker = Worker::start(&mut webinar, 1, NOON);
    worker.run(&mut webinar, 3);
    let declared = |webinar: &Webinar| {
        let text = webinar.multivariant().unwrap();
        m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap().variants[0].bandwidth
    };
    let quiet = declared(&webinar);
    for mut part in worker.parts(&Rendition::video(), SEGMENT) {
        part.bytes = vec![0; 1_000_000].into();
        webinar.part(1, part).unwrap();
    }
    webinar.closed(1, &worker.end_of(&Rendition::video(), SEGMENT)).unwrap();
    // 6 MB in 3.2 s, and the sound's 128 kbit/s.
    assert_eq!(declared(&webinar), 15_000_000 + 128_000);
    assert!(quiet < 2_500_000, "{quiet}");
}
