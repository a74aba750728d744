//! What the simulator is worth: each planted mistake is found within a bounded number of seeds, by a seed that finds it
//! again in the same way.

use simulator::{Mistake, run};

/// The rarest are found once in some thousand seeds.
const SEEDS: u64 = 20_000;

fn found(mistake: Mistake) -> (u64, String) {
    let first = 1;
    let broken = |seed| run(seed, Some(mistake), false).broken.map(|why| (seed, why));
    (first..first + SEEDS).find_map(broken).unwrap_or_else(|| panic!("{mistake:?} passes {SEEDS} seeds"))
}

#[test]
fn every_planted_mistake_is_found_and_its_seed_finds_it_again() {
    for mistake in Mistake::ALL {
        let (seed, why) = found(mistake);
        println!("{mistake:?}: seed {seed}: {why}");
        let again = run(seed, Some(mistake), true);
        assert_eq!(again.broken.as_deref(), Some(why.as_str()), "{mistake:?}, seed {seed}, tells another story");
        assert!(!again.story.text().is_empty());
        assert_eq!(run(seed, None, false).broken, None, "seed {seed} breaks without {mistake:?} as well");
    }
}
