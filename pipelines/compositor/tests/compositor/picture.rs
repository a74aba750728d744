//! What is seen where: tiles, names, cards, borders, and how they change.

use std::time::Duration;

use media::{Codec, Frame, RunningTime};

use crate::support::decode::{Colour, Pictures};
use crate::support::film::Film;
use crate::support::rig::Rig;
use crate::support::{SMALL, rect, scene, spec, tile, track};

const RED: u32 = 0xffff_0000;
const GREEN: u32 = 0xff00_ff00;
const BLUE: u32 = 0xff00_00ff;
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn every_tile_shows_its_own_track_in_its_own_place() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let (red, green, narrow) = (track("red", Codec::Vp8), track("green", Codec::H264), track("narrow", Codec::Vp8));
    let films = [
        (&red, Film::vp8(&Film::colour(RED), (320, 180), 75)),
        (&green, Film::h264(&Film::colour(GREEN), (640, 360), 75)),
        // Square, for a tile that is wider.
        (&narrow, Film::vp8(&Film::colour(BLUE), (96, 96), 75)),
    ];
    rig.compositor.arrange(&scene(
        SMALL,
        vec![
            tile(Some(&red), "", rect(0, 0, 160, 90)),
            tile(Some(&green), "", rect(160, 0, 160, 90)),
            tile(Some(&narrow), "", rect(0, 90, 160, 90)),
            tile(None, "", rect(160, 90, 160, 90)),
        ],
    ));
    let playing = films.map(|(track, film)| {
        let sink = rig.compositor.add_track(track).unwrap();
        film.play(&rig.time, rig.time.now(), sink)
    });
    rig.recorded(2 * SECOND).await;
    drop(playing);
    let pictures = Pictures::of(&rig.drain().await.video);
    let n = pictures.at(2 * SECOND);
    #[rustfmt::skip]
    let table = [
        ( 80,  45, Colour::Red),
        (  4,   4, Colour::Red),
        (156,  86, Colour::Red),
        (164,   4, Colour::Green),
        (316,  86, Colour::Green),
        ( 80, 135, Colour::Blue),
        // beside the square
        ( 16, 135, Colour::Black),
        (144, 135, Colour::Black),
        (240, 120, Colour::Card),
    ];
    for (x, y, colour) in table {
        assert_eq!(pictures.colour(n, x, y), colour, "at {x}, {y}");
    }
}

/// How many pixels of white text there are in the lower left of a tile.
fn letters(luma: &[u8]) -> usize {
    luma.iter().filter(|&&y| y > 180).count()
}

#[tokio::test]
async fn names_are_drawn_as_they_are_and_never_read_as_markup() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let people = ["plain", "hostile", "nameless", "long"].map(|id| track(id, Codec::Vp8));
    let labels = [
        "Kari Nordmann",
        // Were this markup, it would be one giant letter, or nothing at all.
        "<span size='90000'>K</span>&<b",
        "",
        "A very long name that goes on and on, far beyond the right edge of its own tile",
    ];
    let place = |n: u32| rect(n % 2 * 160, n / 2 * 90, 160, 90);
    let tiles = people.iter().zip(labels).zip(0..).map(|((t, label), n)| tile(Some(t), label, place(n))).collect();
    rig.compositor.arrange(&scene(SMALL, tiles));
    let film = Film::vp8(&Film::colour(BLUE), (160, 90), 75);
    let playing = people.map(|t| film.clone().play(&rig.time, rig.time.now(), rig.compositor.add_track(&t).unwrap()));
    rig.recorded(2 * SECOND).await;
    drop(playing);
    let pictures = Pictures::of(&rig.drain().await.video);
    let n = pictures.at(2 * SECOND);
    let text = |tile: u32| {
        let place = place(tile);
        letters(&pictures.luma(n, rect(place.x, place.y + 66, 160, 24)))
    };
    assert!(text(0) > 60, "a name is drawn: {}", text(0));
    assert!(text(1) > 60 && text(1) < 3 * text(0), "markup is letters: {}", text(1));
    assert_eq!(text(2), 0, "no name, no letters");
    assert!(text(3) > text(0));
    for tile in 0..4 {
        let place = place(tile);
        assert_eq!(pictures.colour(n, place.x + 80, place.y + 20), Colour::Blue, "tile {tile} above its name");
        // A cut name leaves the last letter's distance to the edge.
        assert_eq!(letters(&pictures.luma(n, rect(place.x + 156, place.y, 4, 90))), 0, "tile {tile} keeps its edge");
    }
}

#[tokio::test]
async fn a_card_bears_the_name_of_someone_without_picture() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let place = rect(0, 0, 320, 180);
    rig.compositor.arrange(&scene(SMALL, vec![tile(None, "Ola", place)]));
    rig.recorded(2 * SECOND).await;
    rig.compositor.arrange(&scene(SMALL, vec![]));
    rig.recorded(Duration::from_millis(3500)).await;
    let pictures = Pictures::of(&rig.drain().await.video);
    let middle = rect(100, 70, 120, 40);
    assert!(letters(&pictures.luma(pictures.at(Duration::from_millis(1500)), middle)) > 40);
    let last = pictures.count() - 1;
    assert_eq!((pictures.colour(last, 160, 90), letters(&pictures.luma(last, place))), (Colour::Black, 0));
}

#[tokio::test]
async fn a_track_may_change_its_size_in_mid_stream() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let place = rect(0, 0, 320, 180);
    let changing = track("changing", Codec::Vp8);
    let other = track("other", Codec::H264);
    // The same colour in three sizes: only a lost picture or a wrong scale would show.
    let vp8 = |size| Film::vp8(&Film::colour(RED), size, 20);
    let h264 = |size| Film::h264(&Film::colour(GREEN), size, 20);
    let film = vp8((320, 180)).then(vp8((640, 360))).then(vp8((160, 90))).then(vp8((320, 180)));
    let film2 = h264((320, 180)).then(h264((640, 360))).then(h264((160, 90))).then(h264((320, 180)));
    let halves = (rect(0, 0, 160, 90), rect(160, 0, 160, 90));
    rig.compositor.arrange(&scene(SMALL, vec![tile(Some(&changing), "", halves.0), tile(Some(&other), "", halves.1)]));
    let begin = rig.soon();
    let playing = film.play(&rig.time, begin, rig.compositor.add_track(&changing).unwrap());
    let playing2 = film2.play(&rig.time, begin, rig.compositor.add_track(&other).unwrap());
    let at = rig.position(begin);
    rig.recorded(at + 3 * SECOND).await;
    playing.finish();
    playing2.finish();
    let recorded = rig.drain().await;
    assert!(recorded.broken.is_empty(), "{:?}", recorded.broken);
    let pictures = Pictures::of(&recorded.video);
    for tenth in 5..26 {
        let n = pictures.at(at + tenth * SECOND / 10);
        for (x, y) in [(4, 4), (80, 45), (156, 86)] {
            assert_eq!(pictures.colour(n, x, y), Colour::Red, "at {x}, {y} after {tenth} tenths");
            assert_eq!(pictures.colour(n, x + 160, y), Colour::Green, "at {x}, {y} after {tenth} tenths");
        }
    }
    assert_eq!(pictures.luma(0, place).len(), 320 * 180);
}

#[tokio::test]
async fn a_picture_that_changes_its_size_all_the_time_stands_still_until_it_has_settled() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let camera = track("camera", Codec::Vp8);
    rig.compositor.arrange(&scene(SMALL, vec![tile(Some(&camera), "", rect(0, 0, 320, 180))]));
    // Green until it has changed ten times, then red: at first in a new size each time, from 1.5 s on in one.
    let frames = (0..45).map(|n| {
        let colour = if n < 10 { GREEN } else { RED };
        let size = (64 + 32 * (n % 9), 36 + 18 * (n % 9));
        Film::vp8(&Film::colour(colour), size, 1).0.remove(0)
    });
    let film = Film(frames.zip(0..).map(|(f, n)| Frame { pts: RunningTime(n * 33_333_333), ..f }).collect());
    let film = film.then(Film::vp8(&Film::colour(RED), (320, 180), 75));
    let begin = rig.soon();
    let at = rig.position(begin);
    let playing = film.play(&rig.time, begin, rig.compositor.add_track(&camera).unwrap());
    rig.recorded(at + 7 * SECOND / 2).await;
    playing.finish();
    let recorded = rig.drain().await;
    assert!(recorded.broken.is_empty(), "{:?}", recorded.broken);
    let pictures = Pictures::of(&recorded.video);
    let looks = |from: u32, to: u32, colour| {
        for n in pictures.at(at + from * SECOND / 10)..pictures.at(at + to * SECOND / 10) {
            for (x, y) in [(4, 4), (160, 90), (316, 176)] {
                assert_eq!(pictures.colour(n, x, y), colour, "at {x}, {y} in picture {n}");
            }
        }
    };
    looks(4, 15, Colour::Green);
    looks(26, 34, Colour::Red);
}

#[tokio::test]
async fn a_new_arrangement_is_in_force_for_all_tiles_from_one_picture_to_the_next() {
    let mut rig = Rig::start(&spec(SMALL)).await;
    let (red, green) = (track("red", Codec::Vp8), track("green", Codec::Vp8));
    let (left, right) = (rect(0, 0, 160, 180), rect(160, 0, 160, 180));
    let one = scene(SMALL, vec![tile(Some(&red), "", left), tile(Some(&green), "", right)]);
    let two = scene(SMALL, vec![tile(Some(&green), "", left), tile(Some(&red), "", right)]);
    rig.compositor.arrange(&one);
    let film = |colour| Film::vp8(&Film::colour(colour), (160, 180), 150);
    let playing = [(&red, RED), (&green, GREEN)]
        .map(|(t, colour)| film(colour).play(&rig.time, rig.time.now(), rig.compositor.add_track(t).unwrap()));
    rig.recorded(SECOND).await;
    for n in 2..5 {
        rig.compositor.arrange(if n % 2 == 0 { &two } else { &one });
        rig.recorded(n * SECOND).await;
    }
    drop(playing);
    let pictures = Pictures::of(&rig.drain().await.video);
    let seen: Vec<_> = (pictures.at(SECOND)..pictures.count() - 30)
        .map(|n| (pictures.colour(n, 80, 90), pictures.colour(n, 240, 90)))
        .collect();
    let (before, after) = ((Colour::Red, Colour::Green), (Colour::Green, Colour::Red));
    let torn = seen.iter().filter(|pair| ![before, after].contains(pair)).count();
    let changes = seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!((torn, changes), (0, 3));
}
