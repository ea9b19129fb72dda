//! Which access unit a decoded picture came from.
//!
//! Access units are numbered as they arrive, pictures as they are shown, from the same numbers: where a camera sends
//! frames out of order, the numbers of its pictures still rise.

use std::collections::VecDeque;

/// Access units in a decoder at the most: H.264 and H.265 hold back 16 pictures, and as many again may be broken.
const HELD_AT_MOST: usize = 32;

/// What was given to a decoder and has not come out as a picture.
#[derive(Debug)]
pub(in crate::engine) struct Pending<T> {
    units: VecDeque<(Option<u64>, T)>,
    /// As many as there are units, rising.
    numbers: VecDeque<u64>,
}

/// See [`Pending::take`].
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) struct Taken<T> {
    /// The picture's number and what it came from; `None` for a picture too many.
    pub(in crate::engine) unit: Option<(u64, T)>,
    /// Units that can give no picture any more.
    pub(in crate::engine) lost: usize,
}

impl<T> Pending<T> {
    pub(in crate::engine) fn new() -> Self {
        Self { units: VecDeque::new(), numbers: VecDeque::new() }
    }

    /// The access unit that arrived as `number` goes into the decoder. Returns how many can give no picture any more.
    pub(in crate::engine) fn put(&mut self, time: Option<u64>, number: u64, unit: T) -> usize {
        self.units.push_back((time, unit));
        self.numbers.push_back(number);
        if self.units.len() > HELD_AT_MOST {
            self.units.pop_front();
            self.numbers.pop_front();
            return 1;
        }
        0
    }

    /// A picture presented at `time` comes out. Pictures come in presentation order, so a unit presented before it is
    /// lost. Where times are missing or were changed, the oldest unit is taken.
    pub(in crate::engine) fn take(&mut self, time: Option<u64>) -> Taken<T> {
        let position = time
            .and_then(|time| self.units.iter().position(|(unit, _)| *unit == Some(time)))
            .or(if self.units.is_empty() { None } else { Some(0) });
        let unit = position.and_then(|position| self.units.remove(position));
        let before = self.units.len();
        if let Some((Some(taken), _)) = unit {
            self.units.retain(|(time, _)| time.is_none_or(|time| time > taken));
        }
        let lost = before - self.units.len();
        // What was lost would have been shown before.
        self.numbers.drain(..lost);
        let unit = unit.and_then(|(_, unit)| Some((self.numbers.pop_front()?, unit)));
        Taken { unit, lost }
    }

    /// How many have not come out.
    pub(in crate::engine) fn len(&self) -> usize {
        self.units.len()
    }

    /// The numbers that are left, rising.
    pub(in crate::engine) fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.numbers.iter().copied()
    }

    /// The decoder gives no more pictures. Returns how many units had none.
    pub(in crate::engine) fn clear(&mut self) -> usize {
        let lost = self.units.len();
        self.units.clear();
        self.numbers.clear();
        lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_unit_is_taken_or_lost_once(times in prop::collection::vec(0_u64..1_000, 0..200), broken in any::<u64>()) {
            let mut pending = Pending::new();
            let (mut taken, mut lost, mut newest) = (0, 0, None);
            for (index, &time) in times.iter().enumerate() {
                lost += pending.put((time % 7 != 0).then_some(time), index as u64, ());
                if broken >> (index % 64) & 1 == 0 {
                    let result = pending.take(Some(time));
                    if let Some((number, ())) = result.unit {
                        taken += 1;
                        prop_assert!(Some(number) > newest && number <= index as u64);
                        newest = Some(number);
                    }
                    lost += result.lost;
                }
            }
            lost += pending.clear();
            prop_assert_eq!(taken + lost, times.len());
        }
    }

    #[test]
    fn pictures_find_their_units_across_reordering() {
        let mut pending = Pending::new();
        // Decoding order I P B B.
        for (number, (time, unit)) in [(0, 'i'), (3, 'p'), (1, 'b'), (2, 'c')].into_iter().enumerate() {
            pending.put(Some(time), number as u64, unit);
        }
        assert_eq!(pending.take(Some(0)), Taken { unit: Some((0, 'i')), lost: 0 });
        assert_eq!(pending.take(Some(2)), Taken { unit: Some((2, 'c')), lost: 1 });
        assert_eq!(pending.take(Some(3)), Taken { unit: Some((3, 'p')), lost: 0 });
        assert_eq!(pending.take(Some(4)), Taken { unit: None, lost: 0 });
    }

    #[test]
    fn pictures_without_times_come_in_order() {
        let mut pending = Pending::new();
        pending.put(None, 1, 'a');
        pending.put(None, 2, 'b');
        assert_eq!(pending.take(None), Taken { unit: Some((1, 'a')), lost: 0 });
        assert_eq!(pending.take(Some(77)), Taken { unit: Some((2, 'b')), lost: 0 });
    }
}
