//! How sure a model was of what it reported, by class.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Classes of a model that have series of their own, the first by number; all others share one. Every label that COCO
/// has fits.
pub(super) const MAX_CLASSES: usize = 80;

/// The series of the classes beyond [`MAX_CLASSES`].
const OTHER: &str = "other";

/// Upper bounds of the buckets.
pub(super) const CONFIDENCE_BOUNDS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// What the classes of a model are called in series: a bounded number of names, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassNames {
    names: Vec<Arc<str>>,
    /// By class.
    name_of: Vec<usize>,
}

impl ClassNames {
    pub(super) fn of(labels: &[Arc<str>]) -> Self {
        let other: Arc<str> = OTHER.into();
        let (mut names, mut known) = (Vec::new(), HashMap::new());
        let name_of = labels.iter().enumerate().map(|(class, label)| {
            let name = if class < MAX_CLASSES { label } else { &other };
            *known.entry(Arc::clone(name)).or_insert_with(|| {
                names.push(Arc::clone(name));
                names.len() - 1
            })
        });
        let name_of = name_of.collect();
        Self { names, name_of }
    }

    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The index of a class's name; `None` for a class that the model has no label for, so that a broken model makes no
    /// series.
    pub(super) fn index(&self, class: usize) -> Option<usize> {
        self.name_of.get(class).copied()
    }
}

/// The confidences of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ConfidenceCounts {
    /// Objects by bucket, the last one for what is over every bound.
    pub(super) buckets: [u64; CONFIDENCE_BOUNDS.len() + 1],
    /// Sum of all confidences.
    pub(super) sum: f64,
}

#[derive(Debug, Default)]
struct Counters {
    buckets: [AtomicU64; CONFIDENCE_BOUNDS.len() + 1],
    /// In millionths.
    sum: AtomicU64,
}

impl Counters {
    fn now(&self) -> ConfidenceCounts {
        ConfidenceCounts {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)),
            sum: self.sum.load(Relaxed) as f64 / 1e6,
        }
    }
}

/// The confidences of one model's objects, of all sources together. Counted without locks.
#[derive(Debug)]
pub(super) struct Confidences {
    names: ClassNames,
    counters: Box<[Counters]>,
}

impl Confidences {
    /// For a model with these labels; a class that `before` had under the same name goes on from there.
    pub(super) fn new(labels: &[Arc<str>], before: Option<&Self>) -> Self {
        let names = ClassNames::of(labels);
        let carried = |name: &Arc<str>| {
            let counters = Counters::default();
            let before = before
                .and_then(|before| before.counters.get(before.names.names().iter().position(|other| other == name)?));
            if let Some(before) = before {
                for (counter, before) in counters.buckets.iter().zip(&before.buckets) {
                    counter.store(before.load(Relaxed), Relaxed);
                }
                counters.sum.store(before.sum.load(Relaxed), Relaxed);
            }
            counters
        };
        let counters = names.names().iter().map(carried).collect();
        Self { names, counters }
    }

    pub(super) fn is_for(&self, labels: &[Arc<str>]) -> bool {
        self.names == ClassNames::of(labels)
    }

    pub(super) fn record(&self, class: u32, confidence: f32) {
        let index = self.names.index(class as usize);
        let Some(counters) = index.and_then(|index| self.counters.get(index)) else { return };
        // As it is written: 0.9 as a double of its own digits, not the nearest above.
        let millionths = (f64::from(confidence.clamp(0.0, 1.0)) * 1e6).round();
        let above = |bound: &&f64| millionths > (**bound * 1e6).round();
        let bucket = CONFIDENCE_BOUNDS.iter().take_while(above).count();
        counters.buckets[bucket].fetch_add(1, Relaxed);
        counters.sum.fetch_add(millionths as u64, Relaxed);
    }

    /// The classes that were seen at least once.
    pub(super) fn seen(&self) -> Vec<(Arc<str>, ConfidenceCounts)> {
        let each = self.names.names().iter().zip(&self.counters);
        each.map(|(name, counters)| (Arc::clone(name), counters.now()))
            .filter(|(_, counts)| counts.buckets.iter().any(|count| *count > 0))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(count: usize) -> Vec<Arc<str>> {
        (0..count).map(|number| format!("class {number}").into()).collect()
    }

    proptest! {
        #[test]
        fn names_are_bounded_and_differ_whatever_the_labels(labels in prop::collection::vec("[a-c]|other|[a-z]{3}", 0..300)) {
            let labels: Vec<Arc<str>> = labels.into_iter().map(Into::into).collect();
            let names = ClassNames::of(&labels);
            prop_assert!(names.names().len() <= MAX_CLASSES + 1);
            let distinct: std::collections::BTreeSet<_> = names.names().iter().collect();
            prop_assert_eq!(distinct.len(), names.names().len());
            for (class, label) in labels.iter().enumerate() {
                let name = &names.names()[names.index(class).unwrap()];
                prop_assert_eq!(&**name, if class < MAX_CLASSES { &**label } else { OTHER });
            }
            prop_assert_eq!(names.index(labels.len()), None);
        }

        #[test]
        fn every_object_of_a_known_class_is_in_one_bucket(
            objects in prop::collection::vec((0_u32..200, 0.0_f32..=1.0), 0..100),
        ) {
            let confidences = Confidences::new(&labels(120), None);
            for (class, confidence) in &objects {
                confidences.record(*class, *confidence);
            }
            let known: Vec<_> = objects.iter().filter(|(class, _)| *class < 120).collect();
            let seen = confidences.seen();
            let counted: u64 = seen.iter().flat_map(|(_, counts)| counts.buckets).sum();
            prop_assert_eq!(counted, known.len() as u64);
            let sum: f64 = seen.iter().map(|(_, counts)| counts.sum).sum();
            let expected: f64 = known.iter().map(|(_, confidence)| f64::from(*confidence)).sum();
            prop_assert!((sum - expected).abs() < 1e-3);
        }
    }

    #[test]
    fn a_confidence_falls_into_the_bucket_of_its_bound() {
        let confidences = Confidences::new(&labels(1), None);
        for confidence in [0.1, 0.100_1, 0.9, 1.0, 0.0] {
            confidences.record(0, confidence);
        }
        assert_eq!(confidences.seen()[0].1.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn another_version_of_a_model_goes_on_where_the_classes_are_the_same() {
        let before = Confidences::new(&labels(2), None);
        before.record(0, 0.5);
        before.record(1, 0.5);
        let after = Confidences::new(&["class 1".into(), "new".into()], Some(&before));
        after.record(0, 0.7);
        let seen = after.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!((&*seen[0].0, seen[0].1.buckets.iter().sum::<u64>()), ("class 1", 2));
        assert!(before.is_for(&labels(2)) && !after.is_for(&labels(2)));
    }
}
