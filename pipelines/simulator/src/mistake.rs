//! Mistakes that can be planted: each one that somebody could make in the store that is bought or in the glue that is
//! written. None is in production code; the tests see the simulator find every one.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The store takes conditional writes whose condition does not hold.
    IgnoredConditions,
    /// The store says that a record was written, and it was not.
    LyingStore,
    /// A holder goes on when its record is another's.
    UnnoticedSuccessor,
    /// A worker deletes from its spool what it has sent, before the receipt.
    EarlyDelete,
    /// A worker whose media process died does not name what was open then.
    UnnamedLoss,
    /// A worker settles a request before the claim is written.
    EarlySettle,
    /// A finalizer puts its manifest whether one is there or not.
    CarelessPublisher,
    /// A finalizer replaces a manifest that was not signed when it looked, and may be by now.
    HastyPublisher,
    /// A finalizer takes an epoch that has begun and left nothing in the store for one that captured nothing.
    TrustfulFinalizer,
    /// A worker says of an epoch that it captured nothing, though its media process died while it did.
    RashNothing,
    /// A steward judges silence by the record's time and its own wall clock.
    WallClockSteward,
    /// A steward takes a store that does not answer for holders that say nothing.
    SightedSteward,
}

impl Mistake {
    pub const ALL: [Self; 12] = [
        Self::IgnoredConditions,
        Self::LyingStore,
        Self::UnnoticedSuccessor,
        Self::EarlyDelete,
        Self::UnnamedLoss,
        Self::EarlySettle,
        Self::CarelessPublisher,
        Self::HastyPublisher,
        Self::TrustfulFinalizer,
        Self::RashNothing,
        Self::WallClockSteward,
        Self::SightedSteward,
    ];

    /// By its name here.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mistake| format!("{mistake:?}") == name)
    }
}
