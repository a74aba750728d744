//! One picture large: the screen that is shared, or else who speaks or spoke last; the others around it.
//!
//! The canvas is k by k cells. The large picture takes (k-1) by (k-1) of them at the upper left, which leaves k cells
//! in the column at its right and k-1 in the row below. With few others the column suffices, and the large picture
//! stands in the middle beside it. More people make k greater, so the others shrink and the large picture never does.

use media::Canvas;

use crate::cells::{self, Cells};
use crate::{Rect, Roster, Tile, seats};

/// One large and fifteen around it: on 1280 by 720 the smallest are then 152 by 84.
const LIMIT: usize = 16;

/// Below five the large picture would get less than two thirds of the canvas.
const LEAST: u32 = 5;

pub(crate) fn arrange(roster: &Roster, canvas: Canvas) -> Vec<Tile> {
    let mut guests = seats::seated(roster, LIMIT);
    // Who is large swaps with the first seat, so that a change of speaker moves three tiles and shifts none.
    let large = seats::first(&guests);
    if !guests.is_empty() {
        guests.swap(0, large);
    }
    let places = match guests.len() {
        0 | 1 => vec![cells::whole(canvas)],
        count => places(canvas, count - 1),
    };
    guests.iter().zip(places).map(|(guest, place)| guest.at(place)).collect()
}

fn places(canvas: Canvas, others: usize) -> Vec<Rect> {
    let others = u32::try_from(others).unwrap_or(u32::MAX);
    let side = LEAST.max((others + 1).div_ceil(2));
    let Some(block) = Cells::fit(canvas, side, side) else { return vec![cells::whole(canvas)] };
    let mut places = vec![cells::inscribe(block.span(0, 0, side - 1, side - 1))];
    places.extend((0..others.min(side)).map(|row| block.span(side - 1, row, 1, 1)));
    if others <= side {
        cells::centre_column(canvas, &mut places[..1]);
        cells::centre_column(canvas, &mut places[1..]);
    }
    places.extend((side..others).map(|n| block.span(n - side, side - 1, 1, 1)));
    places
}
