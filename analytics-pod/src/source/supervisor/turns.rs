//! Which of a source's URIs is tried next. Pure.

/// The first URI and its fallbacks take turns: each failure passes on to the next, at once; when all have failed one
/// after another the round is over, a wait follows, and the first begins anew. A fallback that streamed well before it
/// failed gives its place to the first, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    count: u32,
    current: u32,
    /// URIs of this round that have failed.
    failed: u32,
    /// Rounds in a row in which every URI failed.
    rounds: u32,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another URI, without a wait.
    AtOnce,
    /// The first URI, after the wait for so many rounds in a row.
    AfterRound(u32),
}

impl Turns {
    /// A source with `count` URIs.
    pub(super) fn new(count: usize) -> Self {
        Self { count: u32::try_from(count).unwrap_or(u32::MAX).max(1), current: 0, failed: 0, rounds: 0 }
    }

    /// The one whose turn it is, counted from 0.
    pub(super) fn current(&self) -> usize {
        self.current as usize
    }

    /// The one whose turn it is has failed, after it had streamed well or not.
    pub(super) fn failed(&mut self, was_well: bool) -> Next {
        if was_well {
            self.rounds = 0;
            self.failed = 0;
            if self.current > 0 {
                self.current = 0;
                return Next::AtOnce;
            }
        }
        self.failed += 1;
        if self.failed < self.count {
            self.current = (self.current + 1) % self.count;
            return Next::AtOnce;
        }
        self.current = 0;
        self.failed = 0;
        self.rounds = self.rounds.saturating_add(1);
        Next::AfterRound(self.rounds)
    }

    /// The first takes its turn again while another one streams.
    pub(super) fn back_to_first(&mut self) {
        *self = Self { count: self.count, current: 0, failed: 0, rounds: 0 };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_source_with_one_uri_waits_after_each_failure() {
        let mut turns = Turns::new(1);
        assert_eq!(turns.failed(false), Next::AfterRound(1));
        assert_eq!(turns.failed(false), Next::AfterRound(2));
        assert_eq!(turns.failed(true), Next::AfterRound(1), "it was well in between");
        assert_eq!(turns.current(), 0);
    }

    #[test]
    fn a_fallback_that_was_well_gives_its_place_to_the_first() {
        let mut turns = Turns::new(3);
        assert_eq!((turns.failed(false), turns.current()), (Next::AtOnce, 1));
        assert_eq!((turns.failed(true), turns.current()), (Next::AtOnce, 0));
        assert_eq!((turns.failed(false), turns.current()), (Next::AtOnce, 1));
        assert_eq!((turns.failed(false), turns.current()), (Next::AtOnce, 2));
        assert_eq!((turns.failed(false), turns.current()), (Next::AfterRound(1), 0));
    }

    proptest! {
        /// Whatever fails and however well it was: waits are never further apart than two rounds, nothing is tried
        /// twice in a row without a wait unless it was well, and before each wait every URI was tried.
        #[test]
        fn every_uri_is_tried_before_each_wait(count in 1_usize..8, well in prop::collection::vec(any::<bool>(), 1..100)) {
            let mut turns = Turns::new(count);
            let mut tried = BTreeSet::new();
            for was_well in well {
                let current = turns.current();
                prop_assert!(current < count);
                if was_well {
                    tried.clear();
                }
                tried.insert(current);
                match turns.failed(was_well) {
                    Next::AtOnce => {
                        prop_assert!(count > 1);
                        prop_assert_ne!(turns.current(), current);
                    }
                    Next::AfterRound(rounds) => {
                        prop_assert!(rounds >= 1);
                        prop_assert_eq!(turns.current(), 0);
                        prop_assert_eq!(tried.len(), count);
                        tried.clear();
                    }
                }
            }
        }

        /// While nothing streams, each round tries every URI once, in order, and counts on.
        #[test]
        fn rounds_are_in_order(count in 1_usize..8, rounds in 1_u32..5) {
            let mut turns = Turns::new(count);
            for round in 1..=rounds {
                for index in 0..count {
                    prop_assert_eq!(turns.current(), index);
                    let expected = if index + 1 == count { Next::AfterRound(round) } else { Next::AtOnce };
                    prop_assert_eq!(turns.failed(false), expected);
                }
            }
        }
    }
}
