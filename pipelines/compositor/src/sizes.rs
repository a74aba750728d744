//! Whether a picture changes its size too often to be looked at.

use std::collections::VecDeque;
use std::time::Duration;

/// More changes than this in [`SPAN`] are no window that is being resized and no line that gets better or worse. Each
/// costs the scaler new buffers.
const MOST: usize = 10;
const SPAN: Duration = Duration::from_secs(1);

/// The latest changes of one stream, in its own time.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    changes: VecDeque<Duration>,
}

impl Sizes {
    /// A picture for `at` has come, `changed` when it is of another size than the one before. False when it is to be left
    /// out, so that the last one stands still until the stream has settled.
    pub(crate) fn bearable(&mut self, at: Duration, changed: bool) -> bool {
        if self.changes.back().is_some_and(|last| at < *last) {
            // Another timeline; what was counted is not in it.
            self.changes.clear();
        }
        if changed {
            self.changes.push_back(at);
            if self.changes.len() > MOST + 1 {
                self.changes.pop_front();
            }
        }
        !(self.changes.len() > MOST && self.changes.front().is_some_and(|first| at < *first + SPAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_changes_a_second_are_borne_and_more_are_not_until_it_has_settled() {
        let frame = |n: u32| Duration::from_millis(33) * n;
        let mut sizes = Sizes::default();
        // Every fourth picture: between seven and eight a second.
        assert!((0..300).all(|n| sizes.bearable(frame(n), n % 4 == 0)));
        let mut sizes = Sizes::default();
        let shown: Vec<_> = (0..60).filter(|&n| sizes.bearable(frame(n), true)).collect();
        assert_eq!(shown, (0..10).collect::<Vec<_>>());
        let still: Vec<_> = (60..120).filter(|&n| sizes.bearable(frame(n), false)).collect();
        // The eleventh change from the end was with picture 49, a second before number 80.
        assert_eq!(still.first(), Some(&80));
        assert_eq!(still.len(), 40);
        assert!(sizes.bearable(Duration::ZERO, true), "another timeline begins anew");
    }
}
