//! Over a store that keeps its word, the promises hold in whatever order calls land and answers come.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::store::Vice;
use crate::world::{run, steps};

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The cell's history is legal; an epoch has one owner, by everybody's belief; what is believed to stand there has
    /// stood there; who is told to be superseded is; and every conversation ends once the store answers.
    #[test]
    fn the_history_is_legal_and_every_epoch_has_one_owner(steps in steps()) {
        if let Err(why) = run(Vice::None, &steps) {
            prop_assert!(false, "{why}");
        }
    }
}

/// Runs in which nothing happens would prove nothing.
#[test]
fn the_runs_go_through_many_epochs() {
    let (mut writes, mut epochs) = (0, 0);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() });
    let runs = 300;
    for _ in 0..runs {
        let seen = run(Vice::None, &steps().new_tree(&mut runner).unwrap().current()).unwrap();
        writes += seen.writes;
        epochs += seen.epochs as usize;
    }
    assert!(writes > 2 * runs && epochs > runs, "{writes} writes and {epochs} epochs in {runs} runs");
}
