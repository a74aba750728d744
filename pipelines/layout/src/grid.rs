//! All alike: as many columns as make the cells largest, the last row centred.

use media::Canvas;

use crate::cells::{self, Cells};
use crate::{Rect, Roster, Tile, seats};

/// Seven by seven: on 1280 by 720 a tile is then 176 by 98, about the smallest in which a face is told from another.
const LIMIT: usize = 49;

pub(crate) fn arrange(roster: &Roster, canvas: Canvas) -> Vec<Tile> {
    let guests = seats::seated(roster, LIMIT);
    let places = match guests.len() {
        0 | 1 => vec![cells::whole(canvas)],
        count => places(canvas, count),
    };
    guests.iter().zip(places).map(|(guest, place)| guest.at(place)).collect()
}

fn places(canvas: Canvas, count: usize) -> Vec<Rect> {
    let wanted = u32::try_from(count).unwrap_or(u32::MAX);
    let fits =
        (1..=wanted).filter_map(|columns| Some((columns, Cells::fit(canvas, columns, wanted.div_ceil(columns))?)));
    // Of equally large cells the first, with fewer columns, would waste the canvas' width: prefer the later.
    let Some((columns, grid)) = fits.max_by_key(|(_, grid)| grid.width) else { return Vec::new() };
    let mut places: Vec<Rect> = (0..wanted).map(|n| grid.span(n % columns, n / columns, 1, 1)).collect();
    let last = (wanted - 1) / columns * columns;
    cells::centre_row(canvas, &mut places[last as usize..]);
    places
}
