//! What is heard when.

use std::time::Duration;

use media::{Codec, Frame};

use crate::support::decode::{Colour, Pictures, Sound};
use crate::support::film::{Film, OPUS_DELAY};
use crate::support::rig::Rig;
use crate::support::{SMALL, rect, scene, spec, tile, track};

const SECOND: Duration = Duration::from_secs(1);

fn off(one: Duration, other: Duration) -> Duration {
    one.abs_diff(other)
}

#[tokio::test]
async fn voices_are_mixed_and_a_dropped_one_falls_silent() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let (low, high) = (track("low", Codec::Opus), track("high", Codec::Opus));
    let films = [(&low, 440), (&high, 1000)];
    let begin = rig.soon();
    let playing = films.map(|(track, hertz)| {
        let film = Film::opus(&format!("wave=sine freq={hertz} volume=0.3"), 5);
        film.play(&rig.time, begin, rig.compositor.add_track(track).unwrap())
    });
    let at = rig.position(begin);
    rig.recorded(at + 2 * SECOND).await;
    rig.compositor.drop_track(&high.id);
    let dropped = rig.position(rig.time.now());
    rig.recorded(dropped + 2 * SECOND).await;
    drop(playing);
    let sound = Sound::of(&rig.drain().await.audio);
    let both = (at + SECOND / 2, at + 3 * SECOND / 2);
    for hertz in [440.0, 1000.0] {
        let tone = sound.tone(hertz, both.0, both.1);
        assert!((0.2..0.4).contains(&tone), "{hertz} Hz at {tone}");
    }
    assert!(sound.tone(700.0, both.0, both.1) < 0.01, "nobody sings this");
    let after = (dropped + SECOND / 4, dropped + SECOND);
    assert!(sound.tone(440.0, after.0, after.1) > 0.2);
    assert!(sound.tone(1000.0, after.0, after.1) < 0.01);
    assert!(sound.tone(440.0, Duration::ZERO, at) < 0.01, "silence before the first word");
}

#[tokio::test]
async fn what_is_seen_and_heard_at_a_position_happened_then() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let (flash, beep) = (track("flash", Codec::Vp8), track("beep", Codec::Opus));
    let colour = |argb, frames| Film::vp8(&Film::colour(argb), (160, 90), frames);
    let (black, white) = (0xff00_0000, 0xffff_ffff);
    // One second dark and quiet, then a flash and a beep at once.
    let picture = colour(black, 30).then(colour(white, 60));
    let sound = Film::voices(&[("wave=silence", 1), ("wave=sine freq=1000 volume=0.5", 1)]);
    rig.compositor.arrange(&scene(SMALL, vec![tile(Some(&flash), "", rect(0, 0, 320, 180))]));
    let begin = rig.soon();
    let playing = [
        picture.play(&rig.time, begin, rig.compositor.add_track(&flash).unwrap()),
        sound.play(&rig.time, begin, rig.compositor.add_track(&beep).unwrap()),
    ];
    let expected = rig.position(begin) + SECOND;
    rig.recorded(expected + SECOND).await;
    drop(playing);
    let recorded = rig.drain().await;
    let pictures = Pictures::of(&recorded.video);
    let first = (0..pictures.count()).find(|&n| pictures.colour(n, 160, 90) == Colour::White).expect("no flash");
    let seen = Duration::from_secs(first as u64) / 30;
    let heard = Sound::of(&recorded.audio).onset(0.2, Duration::ZERO).expect("no beep") - OPUS_DELAY;
    // A picture waits for the canvas' next step; sound does not.
    assert!(off(seen, expected) <= Duration::from_millis(35), "flash at {seen:?}, made at {expected:?}");
    assert!(off(heard, expected) <= Duration::from_millis(5), "beep at {heard:?}, made at {expected:?}");
    assert!(off(seen, heard) <= Duration::from_millis(40), "flash at {seen:?}, beep at {heard:?}");
}

#[tokio::test]
async fn a_pause_in_a_voice_is_silence_and_what_follows_is_in_time() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let voice = track("voice", Codec::Opus);
    let frames = Film::opus("wave=sine freq=500 volume=0.5", 3).0;
    // DTX: nothing is sent from 1 s to 1.5 s. A lost packet at 0.5 s is concealed.
    let sent = |frame: &Frame| {
        let at = frame.pts.0 / 1_000_000;
        !(1000..1500).contains(&at) && !(500..520).contains(&at)
    };
    let film = Film(frames.into_iter().filter(sent).collect());
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing = film.play(&rig.time, begin, rig.compositor.add_track(&voice).unwrap());
    rig.recorded(at + 5 * SECOND / 2).await;
    drop(playing);
    let sound = Sound::of(&rig.drain().await.audio);
    let tone = |from: u64, to: u64| sound.tone(500.0, at + Duration::from_millis(from), at + Duration::from_millis(to));
    assert!(tone(100, 480) > 0.4);
    assert!(tone(505, 515) > 0.2, "a lost packet leaves no hole: {}", tone(505, 515));
    assert!(tone(1060, 1480) < 0.02, "silence where nothing was sent: {}", tone(1060, 1480));
    let back = sound.onset(0.2, at + Duration::from_millis(1100)).unwrap();
    assert!(off(back, at + Duration::from_millis(1500)) < Duration::from_millis(25), "back at {:?}", back - at);
}

#[tokio::test]
async fn a_voice_may_turn_from_one_channel_to_two() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let voice = track("voice", Codec::Opus);
    let film = Film::channels(4);
    let stereo = |frame: &Frame| frame.bytes[0] & 4 != 0;
    assert!(!stereo(&film.0[10]) && stereo(&film.0[60]) && !stereo(&film.0[110]) && stereo(&film.0[160]));
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing = film.play(&rig.time, begin, rig.compositor.add_track(&voice).unwrap());
    rig.recorded(at + 4 * SECOND).await;
    drop(playing);
    let recorded = rig.drain().await;
    assert!(recorded.broken.is_empty(), "{:?}", recorded.broken);
    let sound = Sound::of(&recorded.audio);
    for tenth in 2..38 {
        let from = at + tenth * SECOND / 10;
        let tone = sound.tone(500.0, from, from + SECOND / 10);
        assert!(tone > 0.3, "{tone} after {tenth} tenths");
    }
}

#[tokio::test]
async fn packets_of_120_ms_are_heard_whole() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let voice = track("voice", Codec::Opus);
    let film = Film::opus("wave=sine freq=500 volume=0.5", 3).in_long_packets();
    assert_eq!(film.0.len(), 25);
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing = film.play(&rig.time, begin, rig.compositor.add_track(&voice).unwrap());
    rig.recorded(at + 7 * SECOND / 2).await;
    drop(playing);
    let recorded = rig.drain().await;
    assert!(recorded.broken.is_empty(), "{:?}", recorded.broken);
    let sound = Sound::of(&recorded.audio);
    // All but the last: a decoder that mends losses keeps each packet back until it has the next, or the end.
    for twentieth in 1..57 {
        let from = at + twentieth * SECOND / 20;
        let tone = sound.tone(500.0, from, from + SECOND / 20);
        assert!((0.45..0.55).contains(&tone), "{tone} after {twentieth} twentieths");
    }
    assert!(sound.tone(500.0, at + 16 * SECOND / 5, at + 17 * SECOND / 5) < 0.02, "and no longer");
}

#[tokio::test]
async fn many_loud_voices_are_cut_off_and_do_not_turn_over() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let film = Film::opus("wave=sine freq=500 volume=1.0", 3);
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing = ["one", "two", "three"].map(|name| {
        let voice = track(name, Codec::Opus);
        film.clone().play(&rig.time, begin, rig.compositor.add_track(&voice).unwrap())
    });
    rig.recorded(at + 5 * SECOND / 2).await;
    drop(playing);
    let sound = Sound::of(&rig.drain().await.audio);
    // Three times too loud and cut off, a tone is nearly square: 1.2. Turned over, 0.6 of it would be left.
    let tone = sound.tone(500.0, at + SECOND / 2, at + 5 * SECOND / 2);
    assert!(tone > 0.9, "{tone}");
}
