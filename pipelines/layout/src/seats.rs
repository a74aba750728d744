//! Who is shown, and in which seat. Knows no pixels.
//!
//! A seat is an index counted in the order of joining. Whoever has room keeps that seat; when there are more people
//! than seats, a late comer who speaks is lent the seat of whoever spoke longest ago; everyone in an own seat stays.

use std::cmp::Reverse;

use media::{ParticipantId, TrackId};

use crate::{Rect, Roster, Tile};

/// One picture that could be shown, or the name of somebody who sends none.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    participant: &'a ParticipantId,
    name: &'a str,
    track: Option<&'a TrackId>,
    rank: Rank,
}

/// Smaller is more important: screens, then the latest speakers, then cameras, then the order of joining.
type Rank = (Reverse<bool>, usize, Reverse<bool>, usize);

impl Guest<'_> {
    pub(crate) fn at(&self, place: Rect) -> Tile {
        Tile { participant: self.participant.clone(), track: self.track.cloned(), label: self.name.to_owned(), place }
    }
}

/// At most `limit` guests, seat by seat.
pub(crate) fn seated(roster: &Roster, limit: usize) -> Vec<Guest<'_>> {
    let mut guests = guests(roster);
    if guests.len() <= limit {
        return guests;
    }
    let mut ranks: Vec<Rank> = guests.iter().map(|guest| guest.rank).collect();
    ranks.sort_unstable();
    let shown = |guest: &Guest<'_>| guest.rank < ranks[limit];
    let mut late = guests.split_off(limit).into_iter().filter(shown);
    // As many of the first `limit` are not shown as late comers are.
    guests.into_iter().filter_map(|guest| if shown(&guest) { Some(guest) } else { late.next() }).collect()
}

/// The seat of the most important guest.
pub(crate) fn first(guests: &[Guest<'_>]) -> usize {
    guests.iter().enumerate().min_by_key(|(_, guest)| guest.rank).map_or(0, |(seat, _)| seat)
}

/// A screen and a camera are a guest each. Who shares a screen without a camera is there by the screen's label; who
/// sends nothing is there by name.
fn guests(roster: &Roster) -> Vec<Guest<'_>> {
    let mut guests = Vec::new();
    for person in &roster.people {
        let spoke = roster.speaking.iter().position(|id| *id == person.id).unwrap_or(usize::MAX);
        let mut add = |track, screen| {
            let rank = (Reverse(screen), spoke, Reverse(Option::is_some(&track)), guests.len());
            guests.push(Guest { participant: &person.id, name: &person.name, track, rank });
        };
        if person.screen.is_some() {
            add(person.screen.as_ref(), true);
        }
        if person.camera.is_some() || person.screen.is_none() {
            add(person.camera.as_ref(), false);
        }
    }
    guests
}
