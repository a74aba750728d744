//! Names as they are drawn. A name is text that a stranger chose: it is never read as markup, and never runs out of
//! its tile.

use gstreamer::glib;
use layout::Rect;

/// Wide enough for nearly every Latin, Greek or Cyrillic letter of a sans-serif face, in parts of the font's size.
const NARROW: f32 = 0.62;
/// East Asian letters and emoji fill a square.
const WIDE: f32 = 1.05;

/// What `textoverlay` is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) markup: String,
    pub(crate) font: String,
}

/// A name at the lower left of a picture.
pub(crate) fn caption(name: &str, place: Rect) -> Text {
    text(name, place, (place.height / 20).clamp(11, 32))
}

/// A name in the middle of a tile without picture.
pub(crate) fn title(name: &str, place: Rect) -> Text {
    text(name, place, (place.height / 10).clamp(12, 64))
}

fn text(name: &str, place: Rect, size: u32) -> Text {
    // Both ends of the line keep one letter's distance from the tile's edge.
    let room = (place.width as f32 / size as f32 - 2.0).max(1.0);
    Text { markup: glib::markup_escape_text(&fit(name, room)).to_string(), font: format!("Sans Bold {size}px") }
}

/// The beginning of `name` that fits into `room` (in font sizes), with an ellipsis where something was left out.
fn fit(name: &str, room: f32) -> String {
    let width = |c: char| if c < '\u{1100}' || ('\u{2000}'..'\u{2600}').contains(&c) { NARROW } else { WIDE };
    let clean = || name.chars().map(|c| if c.is_control() { ' ' } else { c });
    if clean().map(width).sum::<f32>() <= room {
        return clean().collect();
    }
    let mut used = NARROW;
    let mut short: String = clean()
        .take_while(|&c| {
            used += width(c);
            used <= room
        })
        .collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(width: u32, height: u32) -> Rect {
        Rect { x: 0, y: 0, width, height }
    }

    #[test]
    fn markup_in_a_name_is_only_letters() {
        let text = caption("<b>Åse</b> & \"Bo\"", place(640, 360));
        assert_eq!(text.markup, "&lt;b&gt;Åse&lt;/b&gt; &amp; &quot;Bo&quot;");
    }

    #[test]
    fn a_long_name_is_cut_to_its_tile_and_says_so() {
        let long = "Professor Emerita Ingeborg Refling Hagen Hansen";
        let cut = caption(long, place(160, 90)).markup;
        assert!(cut.ends_with('…') && cut.chars().count() < 25, "{cut}");
        assert_eq!(caption(long, place(1280, 720)).markup, long);
    }

    #[test]
    fn wide_letters_take_their_width() {
        let cut = |name| fit(name, 10.0).chars().count();
        assert!(cut("漢字漢字漢字漢字漢字漢字漢字") < cut("abcdefghijklmnopqrstuvwxyz"));
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(fit("a\nb\u{0}c", 50.0), "a b c");
    }
}
