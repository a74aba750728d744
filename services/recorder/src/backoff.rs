//! How long a store that is away is left alone.

use std::time::Duration;

/// The longest pause: so long after the store is back, it is used again.
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles up to [`LONGEST`] with the times that the store was away in a row; `chance` spreads its upper half, so that not
/// all recorders come back at once.
pub(crate) fn pause(times: u32, chance: u8) -> Duration {
    let whole = Duration::from_millis(500 << times.min(8)).min(LONGEST);
    whole / 2 + whole / 2 * u32::from(chance) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_quarter_of_a_minute_and_are_spread() {
        for times in 0..40 {
            let whole = Duration::from_millis(500 << times.min(8)).min(LONGEST);
            assert!(pause(times, 0) == whole / 2 && pause(times, 255) < whole && pause(times, 255) > pause(times, 9));
        }
    }
}
