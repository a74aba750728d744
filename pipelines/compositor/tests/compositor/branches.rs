//! What one track does must not matter to the others, nor to the recording.

use std::time::Duration;

use media::{Codec, Frame, Track};

use crate::support::decode::{Colour, Pictures, Sound};
use crate::support::film::Film;
use crate::support::rig::{Recorded, Rig};
use crate::support::{SMALL, rect, scene, spec, tile, track};

const RED: u32 = 0xffff_0000;
const GREEN: u32 = 0xff00_ff00;
const SECOND: Duration = Duration::from_secs(1);

/// The film's times and key-frame marks over bytes that are no stream at all.
fn garbage(film: Film, codec: Codec) -> Film {
    if codec == Codec::Opus {
        // Opus makes noise of nearly anything; a packet of no frames is against its rules (RFC 6716 3.2.5).
        return Film(film.0.into_iter().map(|frame| Frame { bytes: vec![0xff, 0].into(), ..frame }).collect());
    }
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    let spoilt = |frame: Frame| Frame { bytes: (0..64).flat_map(|_| noise()).collect::<Vec<_>>().into(), ..frame };
    Film(film.0.into_iter().map(spoilt).collect())
}

#[tokio::test]
async fn a_broken_stream_ends_its_own_branch_and_nothing_else() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let broken = [track("vp8", Codec::Vp8), track("opus", Codec::Opus)];
    let (good, voice) = (track("good", Codec::Vp8), track("voice", Codec::Opus));
    rig.compositor.arrange(&scene(
        SMALL,
        vec![tile(Some(&broken[0]), "", rect(0, 0, 160, 180)), tile(Some(&good), "", rect(160, 0, 160, 180))],
    ));
    let begin = rig.soon();
    let at = rig.position(begin);
    let films = [
        (&broken[0], garbage(Film::vp8("", (160, 90), 240), Codec::Vp8)),
        (&broken[1], garbage(Film::opus("", 5), Codec::Opus)),
        (&good, Film::vp8(&Film::colour(GREEN), (160, 180), 210)),
        (&voice, Film::opus("wave=sine freq=600 volume=0.4", 7)),
    ];
    let playing = films.map(|(track, film)| film.play(&rig.time, begin, rig.compositor.add_track(track).unwrap()));
    rig.until("the broken tracks are given up", |rig| rig.broken.len() == 2).await;
    rig.recorded(at + 6 * SECOND).await;
    drop(playing);
    let mut recorded = rig.drain().await;
    recorded.broken.sort();
    assert_eq!(recorded.broken, [broken[1].id.clone(), broken[0].id.clone()]);
    let pictures = Pictures::of(&recorded.video);
    for n in pictures.at(at + SECOND)..pictures.at(at + 6 * SECOND) {
        assert_eq!((pictures.colour(n, 80, 30), pictures.colour(n, 240, 90)), (Colour::Card, Colour::Green), "{n}");
    }
    assert!(Sound::of(&recorded.audio).tone(600.0, at + SECOND / 2, at + 6 * SECOND) > 0.3);
}

/// H.264 as a hostile sender has it: whole NAL units whose slices, SEI and parameter sets are spoilt after their first
/// bytes, and such of kinds that no meeting sends (prefix, subset SPS, slice extension: MVC and SVC).
fn spoilt(film: Film) -> Film {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut spoil = |(frame, n): (Frame, usize)| {
        let mut bytes = frame.bytes.to_vec();
        // The first picture is whole, so that the decoder starts.
        if n > 0 {
            for _ in 0..8 {
                let at = usize::try_from(next()).unwrap() % bytes.len();
                bytes[at.max(5)] ^= next().to_le_bytes()[0];
            }
            for kind in [0x6e, 0x6f, 0x74] {
                bytes.extend([0, 0, 0, 1, kind]);
                bytes.extend((0..4).flat_map(|_| next().to_le_bytes()));
            }
        }
        Frame { bytes: bytes.into(), ..frame }
    };
    Film(film.0.into_iter().zip(0..).map(&mut spoil).collect())
}

#[tokio::test]
async fn spoilt_h264_costs_its_own_tile_and_nothing_else() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let (bad, good) = (track("bad", Codec::H264), track("good", Codec::H264));
    let halves = vec![tile(Some(&bad), "", rect(0, 0, 160, 180)), tile(Some(&good), "", rect(160, 0, 160, 180))];
    rig.compositor.arrange(&scene(SMALL, halves));
    let begin = rig.soon();
    let at = rig.position(begin);
    let films = [
        (&bad, spoilt(Film::h264(&Film::colour(RED), (160, 180), 150))),
        (&good, Film::h264(&Film::colour(GREEN), (160, 180), 150)),
    ];
    let playing = films.map(|(track, film)| film.play(&rig.time, begin, rig.compositor.add_track(track).unwrap()));
    rig.recorded(at + 4 * SECOND).await;
    drop(playing);
    let recorded = rig.drain().await;
    assert!(!recorded.broken.contains(&good.id));
    let pictures = Pictures::of(&recorded.video);
    for n in pictures.at(at + SECOND)..pictures.at(at + 4 * SECOND) {
        assert_eq!(pictures.colour(n, 240, 90), Colour::Green, "{n}");
    }
}

#[tokio::test]
async fn tracks_of_nothing_and_of_one_packet_are_no_trouble() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let names = ["none", "none too", "one", "one delta", "one too"];
    let codecs = [Codec::Vp8, Codec::Opus, Codec::H264, Codec::Vp8, Codec::Opus];
    let tracks: Vec<_> = names.iter().zip(codecs).map(|(name, codec)| track(name, codec)).collect();
    let tiles = tracks.iter().zip(0..).map(|(t, n)| tile(Some(t), "", rect(n * 64, 0, 64, 180)));
    rig.compositor.arrange(&scene(SMALL, tiles.collect()));
    let delta = |film: Film| Film(film.0.into_iter().map(|frame| Frame { keyframe: false, ..frame }).collect());
    let films = [
        Film(vec![]),
        Film(vec![]),
        Film::h264(&Film::colour(GREEN), (160, 90), 1),
        delta(Film::vp8(&Film::colour(RED), (160, 90), 1)),
        Film(Film::opus("wave=sine", 1).0.into_iter().take(1).collect()),
    ];
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing: Vec<_> = films
        .into_iter()
        .zip(&tracks)
        .map(|(film, track)| film.play(&rig.time, begin, rig.compositor.add_track(track).unwrap()))
        .collect();
    rig.recorded(at + 2 * SECOND).await;
    for film in playing {
        film.finish();
    }
    let recorded = rig.drain().await;
    let frames = recorded.video.lasts().as_secs_f64() * 30.0;
    assert_eq!(Pictures::of(&recorded.video).count(), frames.round() as usize);
    // A decoder of Opus waits for the second packet, and says at the very end that it made nothing of the first.
    assert!(recorded.broken.iter().all(|track| *track == tracks[4].id), "{:?}", recorded.broken);
    let pictures = Pictures::of(&recorded.video);
    let n = pictures.at(at + 3 * SECOND / 2);
    assert_ne!(pictures.colour(n, 3 * 64 + 32, 90), Colour::Red, "nothing can be decoded before a key frame");
}

#[tokio::test]
async fn a_track_may_change_its_codec_in_mid_call() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    // To a connector, another codec is another track of the same person.
    let (before, after) = (track("vp8", Codec::Vp8), track("h264", Codec::H264));
    let show = |track| scene(SMALL, vec![tile(Some(track), "", rect(0, 0, 320, 180))]);
    rig.compositor.arrange(&show(&before));
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing =
        Film::vp8(&Film::colour(RED), (160, 90), 60).play(&rig.time, begin, rig.compositor.add_track(&before).unwrap());
    rig.recorded(at + SECOND).await;
    rig.compositor.drop_track(&before.id);
    drop(playing);
    let sink = rig.compositor.add_track(&after).unwrap();
    rig.compositor.arrange(&show(&after));
    let begin = rig.soon();
    let then = rig.position(begin);
    let playing = Film::h264(&Film::colour(GREEN), (320, 180), 90).play(&rig.time, begin, sink);
    rig.recorded(then + 2 * SECOND).await;
    drop(playing);
    let recorded = rig.drain().await;
    assert!(recorded.broken.is_empty(), "{:?}", recorded.broken);
    let pictures = Pictures::of(&recorded.video);
    assert_eq!(pictures.colour(pictures.at(at + SECOND / 2), 160, 90), Colour::Red);
    assert_eq!(pictures.colour(pictures.at(then + SECOND), 160, 90), Colour::Green);
}

#[tokio::test]
async fn a_broken_track_works_again_once_it_is_added_anew() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let camera = track("camera", Codec::Vp8);
    rig.compositor.arrange(&scene(SMALL, vec![tile(Some(&camera), "", rect(0, 0, 320, 180))]));
    let bad = garbage(Film::vp8("", (160, 90), 240), Codec::Vp8);
    let playing = bad.play(&rig.time, rig.time.now(), rig.compositor.add_track(&camera).unwrap());
    rig.until("the track is given up", |rig| !rig.broken.is_empty()).await;
    drop(playing);
    let begin = rig.soon();
    let at = rig.position(begin);
    let film = Film::vp8(&Film::colour(RED), (160, 90), 60);
    let playing = film.play(&rig.time, begin, rig.compositor.add_track(&camera).unwrap());
    rig.recorded(at + SECOND).await;
    drop(playing);
    let pictures = Pictures::of(&rig.drain().await.video);
    assert_eq!(pictures.colour(pictures.at(at + SECOND), 160, 90), Colour::Red);
}

/// A camera and the voice of the same person.
fn person(codec: Codec) -> (Track, Track) {
    let camera = track("camera", codec);
    let voice = Track { participant: camera.participant.clone(), ..track("voice", Codec::Opus) };
    (camera, voice)
}

/// Whether a tone of 500 Hz is in each tenth of a second.
fn is_heard(recorded: &Recorded, from: Duration, to: Duration) {
    let sound = Sound::of(&recorded.audio);
    for tenth in 0..u32::try_from((to - from).as_millis() / 100).unwrap() {
        let from = from + tenth * SECOND / 10;
        let tone = sound.tone(500.0, from, from + SECOND / 10);
        assert!(tone > 0.3, "{tone} after {tenth} tenths");
    }
}

#[tokio::test]
async fn a_giant_picture_is_refused_before_it_is_decoded() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let (giant, voice) = person(Codec::H264);
    rig.compositor.arrange(&scene(SMALL, vec![tile(Some(&giant), "", rect(0, 0, 320, 180))]));
    let begin = rig.soon();
    let at = rig.position(begin);
    let films = [
        (&giant, Film::h264(&Film::colour(RED), (4112, 64), 60)),
        (&voice, Film::opus("wave=sine freq=500 volume=0.5", 3)),
    ];
    let playing = films.map(|(track, film)| film.play(&rig.time, begin, rig.compositor.add_track(track).unwrap()));
    rig.until("the track is given up", |rig| rig.broken == [giant.id.clone()]).await;
    rig.recorded(at + 5 * SECOND / 2).await;
    drop(playing);
    let recorded = rig.drain().await;
    let pictures = Pictures::of(&recorded.video);
    for n in 0..pictures.count() {
        assert_ne!(pictures.colour(n, 160, 90), Colour::Red, "{n}");
    }
    is_heard(&recorded, at + SECOND / 5, at + 5 * SECOND / 2);
}

#[tokio::test]
async fn a_giant_vp8_picture_is_dropped_and_its_sender_is_heard() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let (camera, voice) = person(Codec::Vp8);
    rig.compositor.arrange(&scene(SMALL, vec![tile(Some(&camera), "", rect(0, 0, 320, 180))]));
    // Whole and wide, so that a decoder would show it; one that only says so, none would.
    let giant = Film::vp8(&Film::colour(RED), (4112, 64), 60);
    let begin = rig.soon();
    let at = rig.position(begin);
    let films = [
        (&camera, giant.then(Film::vp8(&Film::colour(GREEN), (160, 90), 60))),
        (&voice, Film::opus("wave=sine freq=500 volume=0.5", 4)),
    ];
    let playing = films.map(|(track, film)| film.play(&rig.time, begin, rig.compositor.add_track(track).unwrap()));
    rig.recorded(at + 7 * SECOND / 2).await;
    drop(playing);
    let recorded = rig.drain().await;
    assert!(recorded.broken.is_empty(), "{:?}", recorded.broken);
    let pictures = Pictures::of(&recorded.video);
    let colours = |from, to| (pictures.at(from)..pictures.at(to)).map(|n| pictures.colour(n, 160, 90));
    assert!(colours(Duration::ZERO, at + 7 * SECOND / 2).all(|colour| colour != Colour::Red));
    assert!(colours(at + SECOND / 2, at + 2 * SECOND).all(|colour| colour == Colour::Card));
    assert!(colours(at + 5 * SECOND / 2, at + 7 * SECOND / 2).all(|colour| colour == Colour::Green));
    is_heard(&recorded, at + SECOND / 5, at + 7 * SECOND / 2);
}

#[tokio::test]
async fn a_hidden_track_comes_back_with_its_next_key_frame() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let camera = track("camera", Codec::Vp8);
    let whole = rect(0, 0, 320, 180);
    let shown = scene(SMALL, vec![tile(Some(&camera), "", whole)]);
    // Key frames at 0 s and 4 s only: red, then green.
    let long = |colour, frames| {
        let mut film = Film::vp8(&Film::colour(colour), (160, 90), frames);
        for frame in &mut film.0[1..] {
            frame.keyframe = false;
        }
        film
    };
    let film = long(RED, 120).then(long(GREEN, 60));
    rig.compositor.arrange(&shown);
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing = film.play(&rig.time, begin, rig.compositor.add_track(&camera).unwrap());
    rig.recorded(at + SECOND).await;
    rig.compositor.arrange(&scene(SMALL, vec![]));
    rig.recorded(at + 2 * SECOND).await;
    rig.compositor.arrange(&shown);
    rig.recorded(at + 5 * SECOND).await;
    drop(playing);
    let pictures = Pictures::of(&rig.drain().await.video);
    let colour = |position| pictures.colour(pictures.at(position), 160, 60);
    assert_eq!(colour(at + SECOND / 2), Colour::Red);
    assert_eq!(colour(at + 39 * SECOND / 20), Colour::Black, "hidden");
    assert_eq!(colour(at + 7 * SECOND / 2), Colour::Card, "shown again, but nothing can be decoded yet");
    assert_eq!(colour(at + 9 * SECOND / 2), Colour::Green);
}

#[tokio::test]
async fn a_frozen_track_keeps_its_last_picture_to_the_end() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let camera = track("camera", Codec::Vp8);
    rig.compositor.arrange(&scene(SMALL, vec![tile(Some(&camera), "", rect(0, 0, 320, 180))]));
    let begin = rig.soon();
    let at = rig.position(begin);
    let film = Film::vp8(&Film::colour(RED), (160, 90), 16);
    film.play(&rig.time, begin, rig.compositor.add_track(&camera).unwrap()).finish();
    rig.recorded(at + 2 * SECOND).await;
    let pictures = Pictures::of(&rig.drain().await.video);
    for n in pictures.at(at + SECOND)..pictures.count() {
        assert_eq!(pictures.colour(n, 160, 90), Colour::Red, "picture {n} of {}", pictures.count());
    }
}

#[tokio::test]
async fn tracks_may_come_and_go_in_any_order_at_any_time() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let quarter = |n: u32| rect(n % 2 * 160, n / 2 * 90, 160, 90);
    let camera = Film::vp8(&Film::colour(GREEN), (160, 90), 60);
    let voice = Film::opus("wave=sine freq=800 volume=0.1", 2);
    let mut playing = Vec::new();
    for round in 0..12_u32 {
        let people: Vec<_> = (round..round + 4).map(|n| track(&format!("camera {n}"), Codec::Vp8)).collect();
        let gone = round
            .checked_sub(1)
            .map(|n| (track(&format!("camera {n}"), Codec::Vp8), track(&format!("mic {n}"), Codec::Opus)));
        let newest = people.last().unwrap();
        let mic = track(&format!("mic {round}"), Codec::Opus);
        for (track, film) in [(newest, &camera), (&mic, &voice)] {
            let sink = rig.compositor.add_track(track).unwrap();
            playing.push(film.clone().play(&rig.time, rig.time.now(), sink));
        }
        let tiles = people.iter().zip(0..).map(|(t, n)| tile(Some(t), "someone", quarter(n))).collect();
        rig.compositor.arrange(&scene(SMALL, tiles));
        if let Some((camera, mic)) = gone {
            rig.compositor.drop_track(&camera.id);
            rig.compositor.drop_track(&mic.id);
        }
        // Some changes come within one frame, some apart.
        if round % 3 == 0 {
            let now = rig.position(rig.time.now());
            rig.recorded(now).await;
        }
    }
    rig.recorded(5 * SECOND).await;
    drop(playing);
    let recorded = rig.drain().await;
    assert!(recorded.broken.is_empty(), "{:?}", recorded.broken);
    let frames = recorded.video.lasts().as_secs_f64() * 30.0;
    assert_eq!(Pictures::of(&recorded.video).count(), frames.round() as usize);
}

#[tokio::test]
async fn two_compositors_in_one_process_do_not_meet() {
    let spec = spec(SMALL);
    let (mut one, mut two) = tokio::join!(Rig::start(&spec), Rig::start(&spec));
    let camera = track("camera", Codec::Vp8);
    let whole = scene(SMALL, vec![tile(Some(&camera), "", rect(0, 0, 320, 180))]);
    let show = |rig: &Rig, colour| {
        rig.compositor.arrange(&whole);
        let sink = rig.compositor.add_track(&camera).unwrap();
        Film::vp8(&Film::colour(colour), (160, 90), 90).play(&rig.time, rig.time.now(), sink)
    };
    let playing = (show(&one, RED), show(&two, GREEN));
    one.recorded(2 * SECOND).await;
    two.recorded(2 * SECOND).await;
    drop(playing);
    // One is killed without draining; the other goes on to its end.
    one.compositor.kill();
    let first = Pictures::of(&one.video);
    let second = Pictures::of(&two.drain().await.video);
    assert_eq!(first.colour(first.count() - 1, 160, 90), Colour::Red);
    assert_eq!(second.colour(second.count() - 1, 160, 90), Colour::Green);
}
