//! Objects of one source by class.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use super::confidence::Confidences;
use crate::model::ModelInfo;

/// How often a class was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCount {
    /// Its number in the model.
    pub class: usize,
    /// The class.
    pub label: Arc<str>,
    /// Objects in all published frames.
    pub total: u64,
    /// Objects in the last published frame.
    pub in_view: u32,
}

/// Counts by index into one model's labels. An index that the model has no label for is not counted, so that a
/// broken model cannot make series without bound.
#[derive(Debug)]
pub(super) struct ClassCounters {
    model: Arc<ModelInfo>,
    /// Those of the model, which its sources share.
    confidences: Option<Arc<Confidences>>,
    total: Box<[AtomicU64]>,
    in_view: Box<[AtomicU32]>,
}

impl ClassCounters {
    /// Counters for `model`; classes that `before` had under the same name go on from there.
    pub(super) fn new(model: &Arc<ModelInfo>, confidences: Option<Arc<Confidences>>, before: Option<&Self>) -> Self {
        let carried = |label: &Arc<str>| {
            let before = before?;
            let index = before.model.labels.iter().position(|other| other == label)?;
            before.total.get(index).map(|count| count.load(Relaxed))
        };
        Self {
            model: Arc::clone(model),
            confidences,
            total: model.labels.iter().map(|label| AtomicU64::new(carried(label).unwrap_or(0))).collect(),
            in_view: model.labels.iter().map(|_| AtomicU32::new(0)).collect(),
        }
    }

    pub(super) const fn model(&self) -> &Arc<ModelInfo> {
        &self.model
    }

    /// The objects of one frame. Called by one thread at a time.
    pub(super) fn count(&self, objects: impl Iterator<Item = (u32, f32)>) {
        for count in &self.in_view {
            count.store(0, Relaxed);
        }
        for (class, confidence) in objects {
            if let Some(confidences) = &self.confidences {
                confidences.record(class, confidence);
            }
            let class = class as usize;
            if let (Some(total), Some(in_view)) = (self.total.get(class), self.in_view.get(class)) {
                total.fetch_add(1, Relaxed);
                in_view.fetch_add(1, Relaxed);
            }
        }
    }

    /// Classes that were seen at least once.
    pub(super) fn seen(&self) -> Vec<ClassCount> {
        self.model
            .labels
            .iter()
            .zip(&self.total)
            .zip(&self.in_view)
            .enumerate()
            .map(|(class, ((label, total), in_view))| ClassCount {
                class,
                label: Arc::clone(label),
                total: total.load(Relaxed),
                in_view: in_view.load(Relaxed),
            })
            .filter(|count| count.total > 0)
            .collect()
    }
}
