//! Where parts and segments are cut, in whole video frames and whole AAC frames at once. Pure arithmetic.

use std::time::Duration;

/// Sample rate of the mixed sound.
pub(crate) const RATE: u32 = 48_000;
/// Samples in one AAC-LC frame (ISO/IEC 14496-3).
pub(crate) const AAC_FRAME: u32 = 1024;
/// AAC frames in a group of pictures of 1.6 s: 75 × 1024 / 48000 = 1.6 exactly.
const AAC_PER_GOP: u32 = 75;
/// Groups of pictures in a segment: 3.2 s.
const GOPS_PER_SEGMENT: u32 = 2;

/// The cuts of one rendition, counted in its own frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    pub(crate) part: u32,
    pub(crate) segment: u32,
}

/// The one grid that sound and picture share, so that their segments begin at the same instant for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) fps: u32,
    /// Frames from one key frame to the next: 1.6 s.
    pub(crate) gop: u32,
    pub(crate) video: Cuts,
    pub(crate) audio: Cuts,
}

impl Grid {
    /// The grid for a frame rate, or none: 1.6 s must be a whole number of frames, so the rate is a multiple of 5.
    ///
    /// A part is a third of a group of pictures where that is whole in both (30 fps: 16 video frames, 25 AAC frames,
    /// 0.5333 s), else a fifth (25 fps: 8 and 15, 0.32 s), else all of it.
    pub(crate) fn of(fps: u32) -> Option<Self> {
        if !(5..=60).contains(&fps) || !fps.is_multiple_of(5) {
            return None;
        }
        let gop = fps * 8 / 5;
        let parts = [3, 5].into_iter().find(|n| gop.is_multiple_of(*n)).unwrap_or(1);
        let cuts = |frames: u32| Cuts { part: frames / parts, segment: frames * GOPS_PER_SEGMENT };
        Some(Self { fps, gop, video: cuts(gop), audio: cuts(AAC_PER_GOP) })
    }

    /// How long a group of pictures lasts.
    pub(crate) const GOP: Duration = Duration::from_millis(1600);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_and_twenty_five_frames_a_second_have_the_grids_that_players_are_told() {
        let thirty = Grid::of(30).unwrap();
        assert_eq!(
            (thirty.gop, thirty.video, thirty.audio),
            (48, Cuts { part: 16, segment: 96 }, Cuts { part: 25, segment: 150 })
        );
        let pal = Grid::of(25).unwrap();
        assert_eq!(
            (pal.gop, pal.video, pal.audio),
            (40, Cuts { part: 8, segment: 80 }, Cuts { part: 15, segment: 150 })
        );
    }

    #[test]
    fn every_grid_cuts_sound_and_picture_at_the_same_instant() {
        for fps in 0..=240 {
            let Some(grid) = Grid::of(fps) else { continue };
            // frames / fps == aac × 1024 / 48000, without rounding
            let same =
                |video: u32, audio: u32| u64::from(video * RATE) == u64::from(audio * AAC_FRAME) * u64::from(fps);
            assert!(same(grid.video.part, grid.audio.part), "part at {fps}");
            assert!(same(grid.video.segment, grid.audio.segment), "segment at {fps}");
            assert_eq!(u128::from(grid.gop) * 1000, Grid::GOP.as_millis() * u128::from(fps), "group at {fps}");
            assert_eq!(grid.gop % grid.video.part, 0, "key frames begin parts at {fps}");
            assert_eq!(grid.video.segment / grid.video.part, grid.audio.segment / grid.audio.part);
        }
    }

    #[test]
    fn a_rate_without_a_grid_is_refused() {
        assert_eq!([0, 24, 29, 31, 65].map(Grid::of), [None; 5]);
    }
}
