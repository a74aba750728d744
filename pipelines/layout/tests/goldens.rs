//! Each layout for 1, 2, 4, 9 and 16 people, as SVG: look at `tests/golden/*.svg` in a browser, review them as text.
//! `UPDATE_EXPECT=1 cargo test -p layout` writes them anew.

use expect_test::expect_file;
use layout::{LayoutName, Person, Roster, Scene, arrange};
use media::{Canvas, ParticipantId, TrackId};

/// Every third person has no camera; the second speaks.
fn people(count: usize) -> Roster {
    let person = |n: usize| Person {
        id: ParticipantId(format!("p{n}")),
        name: format!("Person {n}"),
        camera: (!n.is_multiple_of(3)).then(|| TrackId(format!("camera-{n}"))),
        screen: None,
    };
    Roster { people: (1..=count).map(person).collect(), speaking: vec![ParticipantId("p2".into())] }
}

fn sharing(mut roster: Roster, who: usize) -> Roster {
    roster.people[who - 1].screen = Some(TrackId(format!("screen-{who}")));
    roster
}

fn svg(scene: &Scene) -> String {
    let Canvas { width, height, .. } = scene.canvas;
    let mut text =
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" fill=\"#345\">\n");
    text += "<rect width=\"100%\" height=\"100%\" fill=\"#111\"/>\n";
    for tile in &scene.tiles {
        let (at, what) = (tile.place, tile.track.as_ref().map_or("name only", |track| &track.0));
        text += &format!("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", at.x, at.y, at.width, at.height);
        let (x, y) = (at.x + 6, at.y + at.height - 8);
        text += &format!("<text x=\"{x}\" y=\"{y}\" fill=\"white\">{}: {what}</text>\n", tile.label);
    }
    text + "</svg>\n"
}

#[test]
fn layouts_look_as_they_were_reviewed() {
    let names = [("grid", LayoutName::Grid), ("speaker", LayoutName::Speaker)];
    for (name, layout) in names {
        for count in [1, 2, 4, 9, 16] {
            let scene = arrange(&people(count), Canvas::default(), layout);
            expect_file![format!("golden/{name}-{count}.svg")].assert_eq(&svg(&scene));
        }
    }
    for count in [1, 4, 16] {
        let scene = arrange(&sharing(people(count), 1), Canvas::default(), LayoutName::Speaker);
        expect_file![format!("golden/speaker-screen-{count}.svg")].assert_eq(&svg(&scene));
    }
}
