//! Which pads of the mux are taken, pure.

/// A source's place in a pipeline. A pad that is used again is another slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId {
    /// The number of the mux's pad, and so `pad_index` of the source's frames.
    pub pad: u32,
    /// Counts the slots of a pipeline.
    pub generation: u64,
}

#[derive(Clone, Debug)]
enum Pad<T> {
    /// Not in use; since when, in generations.
    Free {
        since: u64,
    },
    Taken {
        generation: u64,
        value: T,
    },
    /// Letting go of it hangs.
    Poisoned,
}

/// The pads of a mux and what is at each.
#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    pads: Vec<Pad<T>>,
    generation: u64,
}

impl<T> Slots<T> {
    pub(super) fn new(capacity: u32) -> Self {
        Self { pads: (0..capacity).map(|_| Pad::Free { since: 0 }).collect(), generation: 0 }
    }

    /// Takes the pad that has been free for longest; `None` where none is.
    pub(super) fn take(&mut self, value: T) -> Option<SlotId> {
        let free = self.pads.iter().enumerate().filter_map(|(pad, state)| match state {
            Pad::Free { since } => Some((*since, pad)),
            Pad::Taken { .. } | Pad::Poisoned => None,
        });
        let (_, pad) = free.min()?;
        self.generation += 1;
        self.pads[pad] = Pad::Taken { generation: self.generation, value };
        Some(SlotId { pad: pad as u32, generation: self.generation })
    }

    /// What is at `pad`.
    pub(super) fn at(&self, pad: u32) -> Option<(SlotId, &T)> {
        match self.pads.get(pad as usize)? {
            Pad::Taken { generation, value } => Some((SlotId { pad, generation: *generation }, value)),
            Pad::Free { .. } | Pad::Poisoned => None,
        }
    }

    /// What is at `slot`.
    pub(super) fn get(&self, slot: SlotId) -> Option<&T> {
        self.at(slot.pad).filter(|(found, _)| *found == slot).map(|(_, value)| value)
    }

    /// As [`Self::get`], to be changed.
    pub(super) fn get_mut(&mut self, slot: SlotId) -> Option<&mut T> {
        match self.pads.get_mut(slot.pad as usize)? {
            Pad::Taken { generation, value } if *generation == slot.generation => Some(value),
            _ => None,
        }
    }

    /// The pad of `slot` can be used again, or, `poisoned`, never. Returns what was there.
    pub(super) fn release(&mut self, slot: SlotId, poisoned: bool) -> Option<T> {
        self.get(slot)?;
        let pad = self.pads.get_mut(slot.pad as usize)?;
        self.generation += 1;
        let next = if poisoned { Pad::Poisoned } else { Pad::Free { since: self.generation } };
        match std::mem::replace(pad, next) {
            Pad::Taken { value, .. } => Some(value),
            Pad::Free { .. } | Pad::Poisoned => None,
        }
    }

    pub(super) fn taken(&self) -> impl Iterator<Item = &T> {
        self.pads.iter().filter_map(|pad| match pad {
            Pad::Taken { value, .. } => Some(value),
            Pad::Free { .. } | Pad::Poisoned => None,
        })
    }

    pub(super) fn poisoned(&self) -> usize {
        self.pads.iter().filter(|pad| matches!(pad, Pad::Poisoned)).count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pad_rests_as_long_as_it_can() {
        let mut slots = Slots::new(3);
        let first = slots.take('a').unwrap();
        assert_eq!(slots.release(first, false), Some('a'));
        let pads: Vec<_> = std::iter::from_fn(|| slots.take('b')).map(|slot| slot.pad).collect();
        assert_eq!(pads, [1, 2, 0]);
        assert_eq!(slots.get(first), None, "another slot has its pad");
    }

    proptest! {
        #[test]
        fn slots_are_never_mixed_up(steps in prop::collection::vec((any::<bool>(), 0_usize..8, 0_u8..5), 0..80)) {
            let mut slots = Slots::new(4);
            let mut held: Vec<(SlotId, u32)> = Vec::new();
            let (mut gone, mut poisoned) = (Vec::new(), 0);
            for (number, (take, which, poison)) in steps.into_iter().enumerate() {
                let number = number as u32;
                if take {
                    if let Some(slot) = slots.take(number) {
                        held.push((slot, number));
                    } else {
                        prop_assert_eq!(held.len() + poisoned, 4);
                    }
                } else if which < held.len() {
                    let (slot, value) = held.remove(which);
                    let poison = poison == 0;
                    prop_assert_eq!(slots.release(slot, poison), Some(value));
                    poisoned += usize::from(poison);
                    gone.push(slot);
                }
                prop_assert!(held.iter().all(|(slot, value)| slots.get(*slot) == Some(value)));
                prop_assert!(gone.iter().all(|slot| slots.get(*slot).is_none()));
                prop_assert_eq!(slots.taken().count(), held.len());
                prop_assert_eq!(slots.poisoned(), poisoned);
            }
        }
    }
}
