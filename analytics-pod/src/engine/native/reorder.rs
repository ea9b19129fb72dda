//! Results of frames that were in flight side by side, back in order.

use std::collections::BTreeMap;

/// Hands out what is put in by the order of its numbers, which run from 0 without gaps.
#[derive(Debug)]
pub(super) struct Reorder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Reorder<T> {
    pub(super) fn new() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }

    /// Number `number` is there.
    pub(super) fn put(&mut self, number: u64, value: T) {
        self.early.insert(number, value);
    }

    /// The next in order, if it is there.
    pub(super) fn pop(&mut self) -> Option<T> {
        let value = self.early.remove(&self.next)?;
        self.next += 1;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_comes_out_in_order_and_as_early_as_it_can(order in Just((0_u64..50).collect::<Vec<_>>()).prop_shuffle()) {
            let mut reorder = Reorder::new();
            let (mut out, mut put) = (Vec::new(), Vec::new());
            for number in order {
                reorder.put(number, number);
                put.push(number);
                out.extend(std::iter::from_fn(|| reorder.pop()));
                let complete = (0..50).take_while(|number| put.contains(number)).count();
                prop_assert_eq!(out.len(), complete);
            }
            prop_assert_eq!(out, (0..50).collect::<Vec<_>>());
        }
    }
}
