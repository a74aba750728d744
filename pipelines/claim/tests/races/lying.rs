//! Over a store that does not keep its word they break, and the tests above would see it. Such a store is refused when a
//! recorder starts.

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use crate::store::Vice;
use crate::world::{run, steps};

fn breaks(vice: Vice) -> String {
    let config =
        ProptestConfig { cases: 4_000, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
    let tried = TestRunner::new(config).run(&steps(), |steps| run(vice, &steps).map(drop).map_err(TestCaseError::fail));
    match tried {
        Err(TestError::Fail(why, _)) => why.to_string(),
        other => panic!("nothing comes of {vice:?}: {other:?}"),
    }
}

#[test]
fn a_store_that_ignores_conditions_is_seen() {
    let why = breaks(Vice::IgnoresConditions);
    assert!(!why.is_empty());
}

#[test]
fn a_store_that_confirms_what_it_does_not_write_is_seen() {
    let why = breaks(Vice::WritesNothing);
    assert!(why.contains("never stood there"), "{why}");
}

#[test]
fn a_store_that_reads_what_has_been_replaced_is_seen() {
    let why = breaks(Vice::ReadsStale);
    assert!(!why.is_empty());
}
