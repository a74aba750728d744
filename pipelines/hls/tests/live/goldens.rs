//! Playlists as people and players see them. `UPDATE_EXPECT=1 cargo test -p hls` writes them anew.

use std::time::Duration;

use crate::worker::{NOON, SEGMENT, Worker};
use expect_test::expect;
use hls::{Rules, State, Webinar};
use media::Rendition;

fn short_window() -> Webinar {
    Webinar::new(Rules { window: Duration::from_secs(20), ..Rules::default() })
}

#[test]
fn nothing_is_shown_before_three_target_durations() {
    let mut webinar = Webinar::new(Rules::default());
    assert_eq!((webinar.state(), webinar.multivariant()), (State::Waiting, None));
    let mut worker = Worker::start(&mut webinar, 1, NOON);
    worker.run(&mut webinar, 2);
    assert_eq!((webinar.state(), webinar.multivariant()), (State::Waiting, None));
    worker.run(&mut webinar, 1);
    assert_eq!(webinar.state(), State::Live);
    expect![[r##"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MEDIA:TYPE=AUDIO,URI="audio/index.m3u8",GROUP-ID="audio",LANGUAGE="und",NAME="Room",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2"
        #EXT-X-STREAM-INF:BANDWIDTH=1994240,AVERAGE-BANDWIDTH=1372160,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30,AUDIO="audio",CLOSED-CAPTIONS=NONE
        video/index.m3u8
    "##]].assert_eq(&webinar.multivariant().unwrap());
    expect![[r##"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-TARGETDURATION:3
        #EXT-X-MEDIA-SEQUENCE:0
        #EXT-X-DISCONTINUITY-SEQUENCE:0
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MAP:URI="1-init.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.000Z
        #EXTINF:3.200000,
        1-0.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:03.200Z
        #EXTINF:3.200000,
        1-1.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:06.400Z
        #EXTINF:3.200000,
        1-2.m4s
    "##]]
    .assert_eq(&webinar.playlist(&Rendition::audio()).unwrap());
}

#[test]
fn a_new_epoch_breaks_the_timeline_and_counts_on() {
    let (video, audio) = (Rendition::video(), Rendition::audio());
    let mut webinar = short_window();
    let mut first = Worker::start(&mut webinar, 1, NOON);
    first.run(&mut webinar, 2);
    // The first worker dies after its third picture segment, before the sound.
    first.push(&mut webinar, &video, SEGMENT).unwrap();
    let mut second = Worker::start(&mut webinar, 2, NOON.plus(Duration::from_secs(15)));
    second.run(&mut webinar, 1);
    expect![[r##"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-TARGETDURATION:3
        #EXT-X-MEDIA-SEQUENCE:0
        #EXT-X-DISCONTINUITY-SEQUENCE:0
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MAP:URI="1-init.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.000Z
        #EXTINF:3.200000,
        1-0.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:03.200Z
        #EXTINF:3.200000,
        1-1.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:06.400Z
        #EXT-X-GAP
        #EXTINF:3.200000,
        1-2.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:09.600Z
        #EXT-X-GAP
        #EXTINF:2.700000,
        1-3.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:12.300Z
        #EXT-X-GAP
        #EXTINF:2.700000,
        1-4.m4s
        #EXT-X-DISCONTINUITY
        #EXT-X-MAP:URI="2-init.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:15.000Z
        #EXTINF:3.200000,
        2-0.m4s
    "##]]
    .assert_eq(&webinar.playlist(&audio).unwrap());

    second.run(&mut webinar, 6);
    webinar.end(2).unwrap();
    expect![[r##"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-TARGETDURATION:3
        #EXT-X-MEDIA-SEQUENCE:5
        #EXT-X-DISCONTINUITY-SEQUENCE:0
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-DISCONTINUITY
        #EXT-X-MAP:URI="2-init.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:15.000Z
        #EXTINF:3.200000,
        2-0.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:18.200Z
        #EXTINF:3.200000,
        2-1.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:21.400Z
        #EXTINF:3.200000,
        2-2.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:24.600Z
        #EXTINF:3.200000,
        2-3.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:27.800Z
        #EXTINF:3.200000,
        2-4.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:31.000Z
        #EXTINF:3.200000,
        2-5.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:34.200Z
        #EXTINF:3.200000,
        2-6.m4s
        #EXT-X-ENDLIST
    "##]]
    .assert_eq(&webinar.playlist(&video).unwrap());
}

#[test]
fn the_list_slides_past_a_break_and_counts_it() {
    let mut webinar = short_window();
    Worker::start(&mut webinar, 1, NOON).run(&mut webinar, 3);
    Worker::start(&mut webinar, 2, NOON.plus(Duration::from_secs(15))).run(&mut webinar, 9);
    expect![[r##"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-TARGETDURATION:3
        #EXT-X-MEDIA-SEQUENCE:7
        #EXT-X-DISCONTINUITY-SEQUENCE:1
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MAP:URI="2-init.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:21.400Z
        #EXTINF:3.200000,
        2-2.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:24.600Z
        #EXTINF:3.200000,
        2-3.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:27.800Z
        #EXTINF:3.200000,
        2-4.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:31.000Z
        #EXTINF:3.200000,
        2-5.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:34.200Z
        #EXTINF:3.200000,
        2-6.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:37.400Z
        #EXTINF:3.200000,
        2-7.m4s
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:40.600Z
        #EXTINF:3.200000,
        2-8.m4s
    "##]]
    .assert_eq(&webinar.playlist(&Rendition::video()).unwrap());
}
