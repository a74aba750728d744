//! What a spool that fills still takes (the ladder): so that a full disk costs the picture first, then the end of a
//! recording, and never what was said before. Pure: bytes in, a level out.

/// From this share of the room on, in hundredths.
const LOW: u64 = 80;
const AUDIO_ONLY: u64 = 95;
const FULL: u64 = 98;

/// A level is left downward only so far below where it began, or each upload would change it.
const SLACK: u64 = 2;

/// How full a spool is. A higher level forbids all that a lower one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    #[default]
    Free,
    /// An alarm, and no new recordings. From 90 % on, tracks of single participants would be left out; nobody records
    /// those yet.
    Low,
    /// Pictures are no longer spooled.
    AudioOnly,
    /// Recordings are to end while there is room for their end.
    Full,
}

/// What is used of what there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    pub used: u64,
    pub room: u64,
}

/// How far a spool may fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// For what the spool itself holds. None: its file system alone is the bound.
    pub own: Option<u64>,
    /// Kept back, of the file system and of `own`, for what is still written when recordings end: the segments under
    /// way, the journal, the description and the log. It does not count as room.
    pub reserve: u64,
}

impl Level {
    /// Whether a worker may take one more recording.
    #[must_use]
    pub fn takes_new(self) -> bool {
        self < Self::Low
    }

    /// Whether pictures may be spooled. Sound always is.
    #[must_use]
    pub fn takes_video(self) -> bool {
        self < Self::AudioOnly
    }

    /// The level that follows `self` when the fuller of the `fills` is as it is. Rises at once, and falls late.
    pub(super) fn after(self, fills: impl IntoIterator<Item = Fill>, reserve: u64) -> Self {
        let fills: Vec<Fill> = fills.into_iter().collect();
        let of = |slack| fills.iter().map(|fill| fill.level(reserve, slack)).max().unwrap_or_default();
        of(0).max(of(SLACK).min(self))
    }

    /// For logs.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Low => "low",
            Self::AudioOnly => "audio-only",
            Self::Full => "full",
        }
    }
}

impl Fill {
    /// The level whose beginning, less `slack` hundredths, it has come to.
    fn level(self, reserve: u64, slack: u64) -> Level {
        let room = u128::from(self.room.saturating_sub(reserve));
        let at = |share: u64| u128::from(self.used) * 100 >= room * u128::from(share - slack);
        match () {
            () if at(FULL) => Level::Full,
            () if at(AUDIO_ONLY) => Level::AudioOnly,
            () if at(LOW) => Level::Low,
            () => Level::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn of(used: u64, room: u64) -> Level {
        Level::Free.after([Fill { used, room }], 0)
    }

    #[test]
    fn each_step_of_the_ladder_begins_where_it_is_written() {
        let table = [
            (0, Level::Free),
            (79, Level::Free),
            (80, Level::Low),
            (94, Level::Low),
            (95, Level::AudioOnly),
            (97, Level::AudioOnly),
            (98, Level::Full),
            (100, Level::Full),
            (250, Level::Full),
        ];
        for (hundredths, level) in table {
            assert_eq!(of(hundredths, 100), level, "{hundredths} %");
        }
        assert_eq!(of(80 * GIB / 100 - 1, GIB), Level::Free);
        assert!(of(u64::MAX, u64::MAX) == Level::Full && of(0, 0) == Level::Full);
    }

    #[test]
    fn each_level_forbids_what_it_says() {
        let may = |level: Level| (level.takes_new(), level.takes_video());
        assert_eq!(may(Level::Free), (true, true));
        assert_eq!(may(Level::Low), (false, true));
        assert_eq!(may(Level::AudioOnly), (false, false));
        assert_eq!(may(Level::Full), (false, false));
    }

    #[test]
    fn the_fuller_of_the_two_counts() {
        let (disk, own) = (Fill { used: 10, room: 100 }, Fill { used: 96, room: 100 });
        assert_eq!(Level::Free.after([disk, own], 0), Level::AudioOnly);
        assert_eq!(Level::Free.after([own, disk], 0), Level::AudioOnly);
    }

    /// Of 64 MiB, a reserve of 8 MiB stays free whatever the ladder says.
    #[test]
    fn what_the_end_of_a_recording_needs_is_not_room() {
        let (room, reserve) = (64 << 20, 8 << 20);
        let full = (0..room)
            .step_by(4096)
            .find(|used| Level::Free.after([Fill { used: *used, room }], reserve) == Level::Full);
        let left = room - full.unwrap();
        assert!((reserve..reserve + (2 << 20)).contains(&left), "{left} bytes are left");
    }

    #[test]
    fn a_level_is_left_late_so_that_each_upload_does_not_change_it() {
        let at = |before: Level, used| before.after([Fill { used, room: 100 }], 0);
        assert_eq!(at(Level::Low, 79), Level::Low);
        assert_eq!(at(Level::Low, 77), Level::Free);
        assert_eq!(at(Level::Full, 96), Level::Full);
        assert_eq!(at(Level::Full, 95), Level::AudioOnly);
        assert_eq!(at(Level::Full, 50), Level::Free);
    }

    proptest! {
        /// Never lower than what the fill itself says, never more than one threshold's slack above it, and more used is
        /// never a lower level.
        #[test]
        fn levels_grow_with_what_is_used(
            used in 0..2_000_u64, more in 0..2_000_u64, room in 1..1_500_u64, reserve in 0..200_u64, before in 0..4_usize,
        ) {
            let before = [Level::Free, Level::Low, Level::AudioOnly, Level::Full][before];
            let fill = |used| [Fill { used, room }];
            let level = before.after(fill(used), reserve);
            prop_assert!(level >= Level::Free.after(fill(used), reserve));
            prop_assert!(level <= before.max(Level::Free.after(fill(used), reserve)));
            prop_assert!(before.after(fill(used + more), reserve) >= level);
            prop_assert_eq!(level.after(fill(used), reserve), level, "the same fill moves it again");
        }
    }
}
