//! Who goes where: `arrange(&Roster, Canvas, LayoutName) -> Scene`. Pure arithmetic; draws nothing and keeps nothing
//! between two calls.
//!
//! # Design
//! A viewer is disturbed by tiles that jump, so everyone has a seat, in the order of joining, and keeps it (see
//! [`seats`]): speaking lends a seat or swaps two, it never shifts a row. That needs no memory of the last scene, so
//! the same roster always gives the same scene, whichever worker draws it.
//!
//! Cells are 16:9 whatever the canvas is, and all coordinates are even, because 4:2:0 video has one colour sample for
//! two by two pixels.

mod cells;
mod grid;
mod seats;
mod speaker;

use media::{Canvas, ParticipantId, TrackId};
use serde::{Deserialize, Serialize};

pub use events::LayoutName;

/// Who is here and what they show, in the order they joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    pub people: Vec<Person>,
    /// Who speaks, the latest first. Ids of people who left are passed over.
    pub speaking: Vec<ParticipantId>,
}

/// One person. `name` is personal data and stays out of `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    pub id: ParticipantId,
    /// Cleaned for display.
    pub name: String,
    pub camera: Option<TrackId>,
    pub screen: Option<TrackId>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person")
            .field("id", &self.id)
            .field("camera", &self.camera)
            .field("screen", &self.screen)
            .finish_non_exhaustive()
    }
}

/// What the compositor draws. Tiles never overlap; all coordinates are even. Without tiles the slate is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    pub canvas: Canvas,
    pub tiles: Vec<Tile>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile {
    pub participant: ParticipantId,
    /// None: nobody sends a picture here; only the name is drawn.
    pub track: Option<TrackId>,
    /// Drawn at the lower left of the tile.
    pub label: String,
    pub place: Rect,
}

impl std::fmt::Debug for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tile").field("track", &self.track).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Pixels from the upper left corner of the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// Places everyone in `roster` on `canvas`, as far as the layout has room: screens first, then the latest speakers,
/// then cameras, then names. A picture that is alone gets the whole canvas.
#[must_use]
pub fn arrange(roster: &Roster, canvas: Canvas, layout: LayoutName) -> Scene {
    let tiles = match layout {
        LayoutName::Speaker => speaker::arrange(roster, canvas),
        LayoutName::Grid => grid::arrange(roster, canvas),
    };
    Scene { canvas, tiles }
}
