//! Who goes where: `arrange(&Roster, Canvas, LayoutName) -> Scene`. Pure arithmetic.

use media::{Canvas, ParticipantId, TrackId};
use serde::{Deserialize, Serialize};

pub use events::LayoutName;

/// Who is here and what they show, in the order they joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    pub people: Vec<Person>,
    /// Who speaks, the latest first.
    pub speaking: Vec<ParticipantId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: ParticipantId,
    /// Cleaned for display.
    pub name: String,
    pub camera: Option<TrackId>,
    pub screen: Option<TrackId>,
}

/// What the compositor draws. Tiles never overlap; all coordinates are even.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// Places everyone in `roster` on `canvas`.
#[must_use]
pub fn arrange(_roster: &Roster, _canvas: Canvas, _layout: LayoutName) -> Scene {
    todo!()
}
