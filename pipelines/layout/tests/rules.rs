//! What holds for every roster on every canvas.

use std::collections::BTreeMap;

use layout::{LayoutName, Person, Rect, Roster, Scene, arrange};
use media::{Canvas, ParticipantId, TrackId};
use proptest::prelude::*;

fn id(n: usize) -> ParticipantId {
    ParticipantId(format!("p{n}"))
}

fn rosters() -> impl Strategy<Value = Roster> {
    let sends = prop::collection::vec((any::<bool>(), prop::bool::weighted(0.05)), 0..60);
    (sends, prop::collection::vec(0..64_usize, 0..20)).prop_map(|(sends, spoke)| Roster {
        people: sends
            .into_iter()
            .enumerate()
            .map(|(n, (camera, screen))| Person {
                id: id(n),
                name: format!("Person {n}"),
                camera: camera.then(|| TrackId(format!("camera-{n}"))),
                screen: screen.then(|| TrackId(format!("screen-{n}"))),
            })
            .collect(),
        speaking: spoke.into_iter().map(id).collect(),
    })
}

fn canvases() -> impl Strategy<Value = Canvas> {
    (80..2000_u32, 80..1100_u32).prop_map(|(w, h)| Canvas { width: 2 * w, height: 2 * h, fps: 30 })
}

fn layouts() -> impl Strategy<Value = LayoutName> {
    prop_oneof![Just(LayoutName::Speaker), Just(LayoutName::Grid)]
}

fn limit(layout: LayoutName) -> usize {
    match layout {
        LayoutName::Speaker => 16,
        LayoutName::Grid => 49,
    }
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

/// Screens, cameras, and people who send neither, in the order of joining.
fn everyone(roster: &Roster) -> Vec<String> {
    let name = |p: &Person, track: &Option<TrackId>| format!("{} {track:?}", p.id);
    let of = |p: &Person| {
        let camera = (p.camera.is_some() || p.screen.is_none()).then(|| name(p, &p.camera));
        p.screen.as_ref().map(|_| name(p, &p.screen)).into_iter().chain(camera).collect::<Vec<_>>()
    };
    roster.people.iter().flat_map(of).collect()
}

fn seats(scene: &Scene) -> BTreeMap<String, Rect> {
    scene.tiles.iter().map(|t| (format!("{} {:?}", t.participant, t.track), t.place)).collect()
}

fn says(roster: &Roster, who: usize) -> Roster {
    let mut next = roster.clone();
    next.speaking.retain(|spoke| *spoke != id(who));
    next.speaking.insert(0, id(who));
    next
}

proptest! {
    #[test]
    fn tiles_are_even_inside_and_apart(roster in rosters(), canvas in canvases(), layout in layouts()) {
        let scene = arrange(&roster, canvas, layout);
        for (n, tile) in scene.tiles.iter().enumerate() {
            let at = tile.place;
            prop_assert!([at.x, at.y, at.width, at.height].iter().all(|v| v % 2 == 0), "{at:?}");
            prop_assert!(at.width > 0 && at.height > 0, "{at:?}");
            prop_assert!(at.x + at.width <= canvas.width && at.y + at.height <= canvas.height, "{at:?}");
            for other in &scene.tiles[n + 1..] {
                prop_assert!(!overlap(at, other.place), "{at:?} {:?}", other.place);
            }
        }
    }

    #[test]
    fn cells_are_16_by_9_and_one_alone_has_it_all(roster in rosters(), canvas in canvases(), layout in layouts()) {
        let scene = arrange(&roster, canvas, layout);
        if let [alone] = &scene.tiles[..] {
            let all = Rect { x: 0, y: 0, width: canvas.width, height: canvas.height };
            prop_assert_eq!(alone.place, all);
        } else {
            for Rect { width, height, .. } in scene.tiles.iter().map(|tile| tile.place) {
                // Both sides are rounded to even: less than two pixels of height are lost.
                prop_assert!(width * 9 >= height * 16 && width * 9 < (height + 3) * 16, "{width} x {height}");
            }
        }
    }

    #[test]
    fn nobody_is_left_out_while_there_is_room(roster in rosters(), layout in layouts()) {
        let scene = arrange(&roster, Canvas::default(), layout);
        prop_assert_eq!(scene.tiles.len(), everyone(&roster).len().min(limit(layout)));
        prop_assert_eq!(seats(&scene).len(), scene.tiles.len(), "somebody is shown twice");
        for person in &roster.people {
            let screen = scene.tiles.iter().any(|tile| tile.track.is_some() && tile.track == person.screen);
            prop_assert_eq!(screen, person.screen.is_some(), "a screen is always shown");
        }
    }

    #[test]
    fn the_latest_speaker_is_shown(roster in rosters(), who in 0..60_usize, layout in layouts()) {
        prop_assume!(who < roster.people.len());
        let scene = arrange(&says(&roster, who), Canvas::default(), layout);
        prop_assert!(scene.tiles.iter().any(|tile| tile.participant == id(who)));
    }

    #[test]
    fn the_grid_stands_still_while_visible_people_speak(roster in rosters(), who in 0..60_usize) {
        let before = arrange(&roster, Canvas::default(), LayoutName::Grid);
        let camera = Some(TrackId(format!("camera-{who}")));
        prop_assume!(before.tiles.iter().any(|tile| tile.participant == id(who) && tile.track == camera));
        let after = arrange(&says(&roster, who), Canvas::default(), LayoutName::Grid);
        prop_assert_eq!(seats(&before), seats(&after));
    }

    /// Beyond the limit lent seats may be dealt anew; an own seat never is.
    #[test]
    fn a_new_speaker_moves_nobody_from_an_own_seat(roster in rosters(), who in 0..60_usize, layout in layouts()) {
        prop_assume!(who < roster.people.len());
        let (before, after) = (
            seats(&arrange(&roster, Canvas::default(), layout)),
            seats(&arrange(&says(&roster, who), Canvas::default(), layout)),
        );
        let own = everyone(&roster).into_iter().take(limit(layout));
        let moved = own.filter(|seat| before.contains_key(seat) && after.contains_key(seat))
            .filter(|seat| before[seat] != after[seat])
            .count();
        // In `speaker`: who was large, who is large now, and the first seat's owner.
        prop_assert!(moved <= if layout == LayoutName::Grid { 0 } else { 3 }, "{moved} moved");
    }

    #[test]
    fn without_a_screen_who_speaks_is_the_largest(mut roster in rosters(), who in 0..60_usize) {
        prop_assume!(who < roster.people.len() && roster.people.len() > 1);
        for person in &mut roster.people {
            person.screen = None;
        }
        let scene = arrange(&says(&roster, who), Canvas::default(), LayoutName::Speaker);
        let large = scene.tiles.iter().max_by_key(|tile| tile.place.width).map(|tile| tile.participant.clone());
        prop_assert_eq!(large, Some(id(who)));
        let smaller = scene.tiles.iter().filter(|tile| tile.place.width * 3 < scene.canvas.width).count();
        prop_assert_eq!(smaller, scene.tiles.len() - 1);
    }
}

#[test]
fn a_shared_screen_is_large_whoever_speaks() {
    let person = |n: usize, screen: Option<&str>| Person {
        id: id(n),
        name: String::new(),
        camera: Some(TrackId(format!("camera-{n}"))),
        screen: screen.map(|name| TrackId(name.into())),
    };
    let roster =
        Roster { people: vec![person(0, None), person(1, Some("slides")), person(2, None)], speaking: vec![id(2)] };
    let scene = arrange(&roster, Canvas::default(), LayoutName::Speaker);
    let largest = scene.tiles.iter().max_by_key(|tile| tile.place.width).unwrap();
    assert_eq!(largest.track, Some(TrackId("slides".into())));
    assert!(largest.place.width * 3 > scene.canvas.width * 2);
    assert_eq!(scene.tiles.len(), 4);
}

#[test]
fn an_empty_room_has_no_tiles() {
    for layout in [LayoutName::Speaker, LayoutName::Grid] {
        assert_eq!(arrange(&Roster::default(), Canvas::default(), layout).tiles.len(), 0);
    }
}
